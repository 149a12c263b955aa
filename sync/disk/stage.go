package disk

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// Stage verifies the file at path (a scratch file) against d, fsyncs it, and moves it to staged/.
// On ErrMismatch the file is left where it is. A copy that is there already is kept and path removed.
//
// A process that still has the file open for writing could change it afterwards; who hands a file over
// must refuse such writes. One that changes while it is verified is an error.
func (s *Store) Stage(ctx context.Context, path string, d digest.Digest) (size int64, err error) {
	if err := d.Validate(); err != nil {
		return 0, fmt.Errorf("stage %q: %w", d, err)
	}
	if size, err = s.stage(ctx, path, d); err != nil {
		return 0, fmt.Errorf("stage blob %s: %w", d, err)
	}
	return size, nil
}

func (s *Store) stage(ctx context.Context, path string, d digest.Digest) (int64, error) {
	f, info, err := openRegular(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if err := s.verify(ctx, f, info.Size(), d); err != nil {
		return 0, err
	}
	gone, err := s.adopt(path, d, info)
	s.discard(gone)
	if err != nil {
		return 0, err
	}
	// Also when there was a copy: another caller may not have come as far as this with it.
	if err := syncDir(filepath.Dir(s.file(stagedDir, d))); err != nil {
		return 0, err
	}
	return info.Size(), syncDir(filepath.Dir(path))
}

// openRegular opens what must be a regular file, without waiting for the writer of a pipe.
func openRegular(path string) (*os.File, os.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", path)
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}

// verify hashes a file and makes it durable, both at once.
func (s *Store) verify(ctx context.Context, f *os.File, size int64, d digest.Digest) error {
	synced := make(chan error, 1)
	go func() { synced <- f.Sync() }()
	if err := s.compare(ctx, f, size, d); err != nil {
		return err
	}
	select {
	case err := <-synced:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// compare hashes the size bytes of r; other bytes than those of d are an ErrMismatch.
func (s *Store) compare(ctx context.Context, r io.Reader, size int64, d digest.Digest) error {
	sum := d.Algorithm().Hash()
	if err := s.hash(ctx, sum, r); err != nil {
		return err
	}
	if found := digest.NewDigest(d.Algorithm(), sum); found != d {
		return s.mismatch(d, found, size)
	}
	return nil
}

// hash feeds r to sum.
func (s *Store) hash(ctx context.Context, sum hash.Hash, r io.Reader) error {
	buf := s.buffers.Get().(*[]byte)
	defer s.buffers.Put(buf)
	for ctx.Err() == nil {
		n, err := r.Read(*buf)
		sum.Write((*buf)[:n])
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

// mismatch counts and words an ErrMismatch.
func (s *Store) mismatch(want, found digest.Digest, size int64) error {
	s.mismatches.Add(1)
	return fmt.Errorf("%w: its %d bytes should be %s and are %s", ErrMismatch, size, want, found)
}

// adopt moves a verified file to staged/, or removes it if there is a copy.
func (s *Store) adopt(path string, d digest.Digest, verified os.FileInfo) (gone []trash, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, os.ErrClosed
	}
	if err := unchanged(path, verified); err != nil {
		return nil, err
	}
	e := s.table.get(d)
	if e != nil && e.complete() && s.whole(e) {
		s.used(e)
		t := trash{digest: d, path: s.tempPath(), bytes: verified.Size()}
		s.space.doom(t.bytes)
		return []trash{t}, os.Rename(path, t.path)
	}
	if e != nil && s.table.live(e) {
		gone = append(gone, s.drop(e))
	}
	target := s.file(stagedDir, d)
	if err := os.Rename(path, target); err != nil {
		return gone, err
	}
	if err := os.Chmod(target, 0o444); err != nil {
		s.log.Debug("make a staged blob read-only", "blob", d, "err", err)
	}
	now := time.Now()
	e = &entry{
		digest: d, state: Staged, dir: stagedDir,
		size: verified.Size(), held: verified.Size(), used: now, noted: now,
	}
	s.table.add(e)
	s.seals.putPath(e, target)
	return append(gone, s.trim(0)...), nil
}

// whole says whether the file of a complete blob is there as it should be, before another copy is
// given up for it. With mu held.
func (s *Store) whole(e *entry) bool {
	if known, ok := s.seals.get(e); ok && known.bad != nil {
		return false
	}
	f, err := s.openWhole(e)
	if err != nil {
		return false
	}
	return f.Close() == nil
}

// unchanged makes sure that path is still the file that was verified, as it was.
func unchanged(path string, verified os.FileInfo) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if !os.SameFile(info, verified) || info.Size() != verified.Size() || !info.ModTime().Equal(verified.ModTime()) {
		return fmt.Errorf("%w: %s was changed while it was verified", ErrMismatch, path)
	}
	return nil
}

// Keep makes a warm blob of content that can be had again. A copy that is there already is kept.
func (s *Store) Keep(b []byte, d digest.Digest) error {
	if err := s.keep(b, d); err != nil {
		return fmt.Errorf("keep blob %s: %w", d, err)
	}
	return nil
}

func (s *Store) keep(b []byte, d digest.Digest) error {
	if err := d.Validate(); err != nil {
		return err
	}
	if found := d.Algorithm().FromBytes(b); found != d {
		return s.mismatch(d, found, int64(len(b)))
	}
	if err := s.Admit(int64(len(b))); err != nil {
		return err
	}
	path, err := s.writeTemp(b)
	if err != nil {
		return err
	}
	s.mu.Lock()
	gone, err := s.adoptWarm(path, d, int64(len(b)))
	s.mu.Unlock()
	s.discard(gone)
	if err != nil {
		return errors.Join(err, remove(path))
	}
	return nil
}

// adoptWarm moves a file to blobs/, or removes it if there is a copy. With mu held.
func (s *Store) adoptWarm(path string, d digest.Digest, size int64) (gone []trash, err error) {
	if s.closed {
		return nil, os.ErrClosed
	}
	e := s.table.get(d)
	if e != nil && e.complete() && s.whole(e) {
		s.used(e)
		return nil, os.Remove(path)
	}
	if e != nil && s.table.live(e) {
		gone = append(gone, s.drop(e))
	}
	if err := errors.Join(os.Chmod(path, 0o444), os.Rename(path, s.file(warmDir, d))); err != nil {
		return gone, err
	}
	now := time.Now()
	e = &entry{digest: d, state: Warm, dir: warmDir, size: size, held: size, used: now, noted: now}
	s.table.add(e)
	s.seals.putPath(e, s.path(e))
	return append(gone, s.trim(0)...), nil
}
