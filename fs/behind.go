package fs

import (
	"context"
	"io"
	"os"
	"syscall"
)

// look is how a file was found that the kernel writes itself.
type look struct {
	size    int64
	changed syscall.Timespec
}

func lookAt(f *os.File) (look, error) {
	var st syscall.Stat_t
	if err := syscall.Fstat(int(f.Fd()), &st); err != nil {
		return look{}, os.NewSyscallError("fstat", err)
	}
	return look{size: st.Size, changed: st.Mtim}, nil
}

// behind finds out what the kernel wrote since the handle was opened. It is an error if that took room that is to
// stay free, or if the file was a blob already and has other bytes now.
func (h *scratchHandle) behind(ctx context.Context) syscall.Errno {
	if !h.writes || !h.backed {
		return 0
	}
	now, err := lookAt(h.f)
	if err != nil || now == h.seen {
		return h.n.t.fail(ctx, "stat", h.n, err)
	}
	p, err := h.n.draft.gate.wait(ctx)
	switch {
	case err != nil:
		return errnoOf(ctx, err)
	case p == committed:
		return h.agrees(ctx)
	}
	h.n.draft.wrote()
	if now.size <= h.seen.size {
		return 0
	}
	return h.n.t.admitBytes(1)
}

// agrees says whether what is behind the handle is the blob that the file was made: EPERM if a late writer changed
// it, which is seen by him alone.
func (h *scratchHandle) agrees(ctx context.Context) syscall.Errno {
	v := h.n.digestNow().Verifier()
	if _, err := io.Copy(v, io.NewSectionReader(h.f, 0, 1<<62)); err != nil {
		return h.n.t.fail(ctx, "close", h.n, err)
	}
	if !v.Verified() {
		return syscall.EPERM
	}
	return 0
}
