package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/opencontainers/go-digest"
)

// ErrDropped: the local copy of a blob was wrong or could not be read, and there is none any more.
var ErrDropped = errors.New("the local copy was dropped")

// OpenVerified is Open of a copy that was hashed in the last minutes and not changed since, or is hashed now; who
// opens it meanwhile waits for that. A warm one that is wrong or cannot be read is dropped (ErrDropped); a staged
// one stays, since it may be the only one. What has wrong bytes is an ErrMismatch.
func (s *Store) OpenVerified(ctx context.Context, d digest.Digest) (*os.File, error) {
	e, f, err := s.openNoted(d)
	if err == nil {
		if err = s.examine(ctx, e, f); err != nil {
			err = errors.Join(err, f.Close())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open local copy of blob %s: %w", d, err)
	}
	return f, nil
}

// examine makes sure that the file of an entry is what it claims.
func (s *Store) examine(ctx context.Context, e *entry, f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	of := stampOf(info)
	known, release, err := s.seals.recall(ctx, e, of)
	if err != nil {
		return err
	}
	if known != nil {
		return s.spoilt(e, known.bad)
	}
	defer release()
	err = s.rehash(ctx, e.digest, io.NewSectionReader(f, 0, info.Size()))
	if err != nil && ctx.Err() != nil {
		return err
	}
	if err == nil || errors.Is(err, ErrMismatch) {
		s.seals.put(e, seal{of: of, bad: err})
	}
	if err != nil {
		s.rotten.Add(1)
		s.log.Error("a local copy is not what it was", "blob", e.digest, "err", err)
	}
	return s.spoilt(e, err)
}

// rehash says whether what is read is the blob.
func (s *Store) rehash(ctx context.Context, d digest.Digest, r *io.SectionReader) error {
	select {
	case s.seals.places <- struct{}{}:
		defer func() { <-s.seals.places }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return s.compare(ctx, r, r.Size(), d)
}

// spoilt drops a warm copy for what is wrong with it.
func (s *Store) spoilt(e *entry, wrong error) error {
	if wrong == nil {
		return nil
	}
	s.mu.Lock()
	if s.table.live(e) && e.state == Staged {
		s.mu.Unlock()
		return wrong
	}
	s.distrust(e.digest)
	var gone []trash
	if s.table.live(e) {
		gone = append(gone, s.drop(e))
	}
	s.mu.Unlock()
	s.discard(gone)
	return fmt.Errorf("%w: %w", ErrDropped, wrong)
}

// Distrust notes that the local copy of a blob is wrong, for who drops it.
func (s *Store) Distrust(d digest.Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.distrust(d)
}

// distrust bounds what is noted. With mu held.
func (s *Store) distrust(d digest.Digest) {
	if len(s.wrong) >= maxSeals {
		clear(s.wrong)
	}
	s.wrong[d] = true
}

// WasWrong says whether a local copy of a blob was dropped since start because it was wrong.
func (s *Store) WasWrong(d digest.Digest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wrong[d]
}
