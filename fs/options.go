package fs

import (
	"errors"
	"log/slog"
	"time"
)

// Options are the parameters of a mount.
type Options struct {
	// Blobs and Names are what is mounted.
	Blobs Blobs
	Names Names

	// Scratch is a local folder for scratch files, on the file system of the blob store so that a
	// commit is a rename. It is created if it is missing; one mount uses it at a time.
	Scratch string

	// Admit is asked before scratch grows by n bytes; its error refuses the write, as ENOSPC unless
	// it wraps another errno. Nil admits everything.
	Admit func(n int64) error

	// Ample says whether there is so much room that scratch may grow for a while without being admitted.
	// Then the kernel writes it itself, and Admit is asked behind it. Nil never has it.
	Ample func() bool

	// ReadOnly mounts read-only: whatever writes is answered with EROFS.
	ReadOnly bool

	// AllowOther lets users other than the mounting one in, as far as UID, GID and Umask let them.
	AllowOther bool

	// UID and GID own everything in the mount.
	UID, GID uint32

	// Umask is taken away from the permissions of everything in the mount, which start at 0777 for
	// directories, 0666 for files (blobs as well: to write one again is no harm), and what the client
	// asked for elsewhere. Zero takes nothing away; 022 is usual.
	Umask uint32

	// Refresh is how old a list of names may be; the kernel remembers the directories of names for
	// that long. Zero stands for one second.
	Refresh time.Duration

	// Log receives what clients are told as EIO, with its cause. Nil discards it.
	Log *slog.Logger

	// Failed is told of the same; nil is not. It must not wait.
	Failed func(error)

	lockWait time.Duration // see lockWait; zero stands for that, less in tests
	remember int           // see maxRemembered; the same

	// Source is the first column of mount and df. Empty stands for "layoutfs".
	Source string
}

// withDefaults checks the options and fills in what was left out.
func (o Options) withDefaults() (Options, error) {
	if o.Blobs == nil || o.Names == nil || o.Scratch == "" {
		return o, errors.New("mount: Blobs, Names and Scratch are required")
	}
	if o.Refresh <= 0 {
		o.Refresh = time.Second
	}
	if o.lockWait <= 0 {
		o.lockWait = lockWait
	}
	if o.remember <= 0 {
		o.remember = maxRemembered
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Failed == nil {
		o.Failed = func(error) {}
	}
	if o.Source == "" {
		o.Source = "layoutfs"
	}
	o.Umask &= 0o777
	return o, nil
}
