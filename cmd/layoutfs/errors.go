package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// The exit statuses.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// usageError is for what was asked, rather than for what went wrong: nothing was tried.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errTold ends a command with status 1 when everything has been printed.
var errTold = errors.New("told already")

// report prints an error, each line with our name before it, and gives the exit status.
func report(err error) int {
	if err == nil {
		return exitDone
	}
	if !errors.Is(err, errTold) {
		for line := range strings.SplitSeq(strings.TrimSpace(err.Error()), "\n") {
			fmt.Fprintln(os.Stderr, "layoutfs: "+line)
		}
	}
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	return exitFailed
}
