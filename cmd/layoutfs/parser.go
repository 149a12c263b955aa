package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/layoutfs/layoutfs/daemon"
)

// parser reads flags and collects what is wrong with them.
type parser struct {
	c    *cli.Context
	errs []error
}

func (p *parser) failed(flag string, err error) {
	p.errs = append(p.errs, fmt.Errorf("--%s: %w", flag, err))
}

// path is absolute, because the daemon's working directory is another.
func (p *parser) path(flag string) string {
	value := p.c.String(flag)
	if value == "" {
		return ""
	}
	abs, err := filepath.Abs(value)
	if err != nil {
		p.failed(flag, err)
	}
	return abs
}

func (p *parser) size(flag string) daemon.Size {
	s, err := daemon.ParseSize(p.c.String(flag))
	if err != nil {
		p.failed(flag, err)
	}
	return s
}

func (p *parser) oneOf(flag string, allowed ...string) string {
	value := p.c.String(flag)
	if !slices.Contains(allowed, value) {
		p.failed(flag, fmt.Errorf("%q must be %s", value, strings.Join(allowed, " or ")))
	}
	return value
}

func (p *parser) number(flag string, base, otherwise int) uint32 {
	value := p.c.String(flag)
	if value == "" {
		return uint32(otherwise)
	}
	n, err := strconv.ParseUint(value, base, 32)
	if err != nil {
		p.failed(flag, fmt.Errorf("%q is no number (of base %d)", value, base))
	}
	return uint32(n)
}
