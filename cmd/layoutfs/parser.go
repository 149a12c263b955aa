package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/layoutfs/layoutfs/daemon"
)

// parser reads flags and collects what is wrong with them.
type parser struct {
	c    *cli.Command
	errs []error
}

func (p *parser) failed(flag string, err error) {
	p.errs = append(p.errs, fmt.Errorf("--%s: %w", flag, err))
}

func (p *parser) err() error { return errors.Join(p.errs...) }

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

// duration must not be negative.
func (p *parser) duration(flag string) time.Duration {
	value := p.c.String(flag)
	d, err := time.ParseDuration(value)
	if err != nil || d < 0 {
		p.failed(flag, fmt.Errorf("%q is no time: write it as 30s, 5m or 1h", value))
	}
	return d
}

// id is that of a user or a group.
func (p *parser) id(flag string, otherwise int) uint32 {
	value := p.c.String(flag)
	if value == "" {
		return uint32(otherwise)
	}
	n, err := strconv.ParseUint(value, 10, 32)
	if err != nil {
		p.failed(flag, fmt.Errorf("%q is no number: give what `id` prints for the user", value))
	}
	return uint32(n)
}

func (p *parser) umask(flag string) uint32 {
	value := p.c.String(flag)
	n, err := strconv.ParseUint(value, 8, 32)
	if err != nil || n > 0o777 {
		p.failed(flag, fmt.Errorf("%q is no mask: write it in octal, from 000 to 777", value))
	}
	return uint32(n)
}

// webAddress is empty if none is given.
func (p *parser) webAddress(flag string) string {
	value := p.c.String(flag)
	if value == "" {
		return ""
	}
	at, err := daemon.ParseWebAddress(value)
	if err != nil {
		p.failed(flag, err)
	}
	return at
}
