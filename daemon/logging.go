package daemon

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
)

// LogConfig says where the log goes and what it looks like.
type LogConfig struct {
	File   string // empty: standard error
	Level  string // debug, info, warn or error
	Format string // text or json
}

// maxLogFile is the size, in bytes, above which a log file is put aside when a daemon starts.
const maxLogFile = 16 << 20

func (c LogConfig) validate() error {
	var errs []error
	if _, err := c.level(); err != nil {
		errs = append(errs, err)
	}
	if c.Format != "text" && c.Format != "json" {
		errs = append(errs, fmt.Errorf("--log-format %q: must be text or json", c.Format))
	}
	if c.File != "" {
		errs = append(errs, absolute("--log-file", c.File))
	}
	return errors.Join(errs...)
}

func (c LogConfig) level() (slog.Level, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(c.Level)); err != nil {
		return 0, fmt.Errorf("--log-level %q: must be debug, info, warn or error", c.Level)
	}
	return l, nil
}

// logger writes to w.
func (c LogConfig) logger(w io.Writer) *slog.Logger {
	level, _ := c.level() // validated
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// open opens the log file for appending. One that has grown large is put aside as FILE.1.
func (c LogConfig) open() (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(c.File), 0o700); err != nil {
		return nil, fmt.Errorf("folder of the log file %s: %w; choose another with --log-file", c.File, err)
	}
	if info, err := os.Stat(c.File); err == nil && info.Mode().IsRegular() && info.Size() > maxLogFile {
		if err := os.Rename(c.File, c.File+".1"); err != nil {
			return nil, fmt.Errorf("put the log file aside: %w", err)
		}
	}
	f, err := os.OpenFile(c.File, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("log file: %w; choose another with --log-file", err)
	}
	return f, nil
}
