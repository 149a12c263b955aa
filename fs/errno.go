package fs

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"slices"
	"syscall"
)

// ofFiles are the errnos that mean the same to a client of ours as where they came from. Others, of
// the network above all, would mislead: a rename does not end with ECONNREFUSED.
var ofFiles = []syscall.Errno{
	syscall.E2BIG, syscall.EACCES, syscall.EBADF, syscall.EBUSY, syscall.EDQUOT, syscall.EEXIST,
	syscall.EFBIG, syscall.EINTR, syscall.EINVAL, syscall.EISDIR, syscall.ELOOP, syscall.EMFILE,
	syscall.ENAMETOOLONG, syscall.ENFILE, syscall.ENOENT, syscall.ENOMEM, syscall.ENOSPC, syscall.ENOSYS,
	syscall.ENOTDIR, syscall.ENOTEMPTY, syscall.ENOTTY, syscall.ENXIO, syscall.EOPNOTSUPP,
	syscall.EPERM, syscall.EROFS, syscall.ESTALE, syscall.ETXTBSY, syscall.EXDEV,
}

// errnoOf is what a client is told of an error that came up in its request ctx. EINTR is said only to
// a client that was interrupted: it makes most of them try again at once.
func errnoOf(ctx context.Context, err error) syscall.Errno {
	var errno syscall.Errno
	switch {
	case err == nil:
		return 0
	case errors.As(err, &errno) && slices.Contains(ofFiles, errno):
		return errno
	case errors.Is(err, iofs.ErrNotExist):
		return syscall.ENOENT
	case errors.Is(err, iofs.ErrPermission):
		return syscall.EPERM
	case errors.Is(err, iofs.ErrExist):
		return syscall.EEXIST
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return syscall.EINTR
	}
	return syscall.EIO
}

// named is what an error may be about.
type named interface{ what() string }

// localPath is a path on local disk as what an error is about.
type localPath string

func (p localPath) what() string { return string(p) }

// fail turns the error of an operation into the client's errno. EIO says nothing of the cause, and EPERM
// not which flag would have to allow it, so those are logged, once, here.
func (t *tree) fail(ctx context.Context, op string, on named, err error) syscall.Errno {
	if err == nil {
		return 0
	}
	errno := errnoOf(ctx, err)
	var local syscall.Errno
	switch {
	case errno == syscall.EIO:
		t.log.Error("a client is told of an input/output error", "op", op, "path", on.what(), "err", err)
		t.failed(fmt.Errorf("%s %s: %w", op, on.what(), err))
	case errno == syscall.EPERM && !errors.As(err, &local):
		t.log.Warn("a client is told that an operation is not permitted", "op", op, "path", on.what(), "err", err)
	}
	return errno
}
