package disk

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
)

// Stage verifies the file at path (a scratch file) against d, makes it durable, and moves it to where
// staged blobs are. On any error the file is left where it is; on ErrMismatch the error names both
// digests. If d is staged already, that copy is kept and path is removed.
func (s *Store) Stage(ctx context.Context, path string, d digest.Digest) (size int64, err error) {
	if err := check(d); err != nil {
		return 0, err
	}
	if size, err = verifyFile(ctx, path, d); err != nil {
		return 0, fmt.Errorf("stage %s: %w", d, err)
	}
	if err := s.admitStaged(path, d, size); err != nil {
		return 0, fmt.Errorf("stage %s: %w", d, err)
	}
	// The new entry is what makes the blob durable; that the old one is gone needs no sync: scratch is
	// swept at start.
	if err := syncDir(filepath.Dir(s.path(Staged, d))); err != nil {
		return 0, fmt.Errorf("stage %s: %w", d, err)
	}
	return size, nil
}

// admitStaged moves a verified file to where staged blobs are and enters it.
func (s *Store) admitStaged(path string, d digest.Digest, size int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.copies[d]
	if was != nil && was.state == Staged {
		return os.Remove(path)
	}
	if err := s.rename(path, Staged, d); err != nil {
		return err
	}
	if was != nil {
		// A warm or partial copy of what is staged now. One that is open is dropped when it is closed.
		if err := s.remove(d); err != nil {
			return err
		}
	}
	s.put(d, Staged, size)
	return nil
}

// verifyFile hashes a regular file and makes it durable.
func verifyFile(ctx context.Context, path string, d digest.Digest) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, fmt.Errorf("%s is no regular file", path)
	}
	h := d.Algorithm().Hash()
	size, err := io.CopyBuffer(onlyWriter{h}, contextReader{ctx, f}, make([]byte, ChunkSize))
	if err != nil {
		return 0, err
	}
	if err := match(h, d, size); err != nil {
		return 0, err
	}
	return size, f.Sync()
}

func match(h hash.Hash, d digest.Digest, size int64) error {
	if got := digest.NewDigest(d.Algorithm(), h); got != d {
		return fmt.Errorf("%w: expected %s, the %d bytes hash to %s", ErrMismatch, d, size, got)
	}
	return nil
}

// onlyWriter hides other methods, so that io.CopyBuffer uses the buffer.
type onlyWriter struct{ io.Writer }

// contextReader ends with its context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}

// StageBytes stages content that is in memory.
func (s *Store) StageBytes(ctx context.Context, b []byte, d digest.Digest) error {
	f, err := os.CreateTemp(s.Scratch(), ".stage-*")
	if err != nil {
		return fmt.Errorf("stage %s: %w", d, err)
	}
	_, err = f.Write(b)
	if err := errors.Join(err, f.Close()); err != nil {
		return errors.Join(fmt.Errorf("stage %s: %w", d, err), os.Remove(f.Name()))
	}
	if _, err := s.Stage(ctx, f.Name(), d); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
