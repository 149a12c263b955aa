package disk

import (
	"errors"
	iofs "io/fs"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
)

// A blob that moves between staged and warm is there at every moment.
func TestNoMomentWithoutTheBlob(t *testing.T) {
	s := newStore(t, Options{})
	b := random(1, 1000)
	d := stage(t, s, b)
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if got, err := content(s, d); err != nil || got != string(b) {
					t.Error(len(got), err)
					return
				}
			}
		})
	}
	for range 100 {
		must(t, s.Promote(d))
		must(t, s.Demote(d))
	}
	close(done)
	wg.Wait()
}

// Whatever happens at once, what is read is what the digest says, and the totals add up.
func TestEverythingAtOnce(t *testing.T) {
	s := newStore(t, Options{CacheSize: 6 * ChunkSize})
	blobs := make([][]byte, 6)
	for i := range blobs {
		blobs[i] = random(byte(i), ChunkSize+i*ChunkSize/2)
	}
	var wg sync.WaitGroup
	for g := range uint64(6) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(g, 1))
			for range 40 {
				if err := disturb(t, s, r, blobs[r.IntN(len(blobs))]); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	for _, b := range blobs {
		_ = s.Promote(digest.FromBytes(b))
	}
	var warm, partial int64
	for info := range s.All() {
		if info.State == Warm {
			warm += info.Size
		}
	}
	if u := s.Usage(); u.WarmBytes != warm || u.StagedBytes != 0 || u.WarmBytes+u.PartialBytes > 6*ChunkSize {
		t.Errorf("usage %+v, warm %d partial %d", u, warm, partial)
	}
	must(t, s.Close())
	s = reopen(t, s.dir, Options{})
	for _, b := range blobs {
		if s.Stat(digest.FromBytes(b)).State == Warm {
			wantContent(t, s, b)
		}
	}
}

func disturb(t *testing.T, s *Store, r *rand.Rand, b []byte) error {
	d := digest.FromBytes(b)
	switch r.IntN(6) {
	case 0:
		_, err := s.Stage(t.Context(), scratch(t, s, b), d)
		return err
	case 1:
		return gone(s.Promote(d))
	case 2:
		return gone(s.Demote(d))
	case 3:
		return s.Remove(d)
	case 4:
		got, err := content(s, d)
		if err == nil && got != string(b) {
			return errors.New("wrong bytes")
		}
		return gone(err)
	}
	p, err := s.Part(d, int64(len(b)))
	if err != nil {
		return err
	}
	for i := range p.Chunks() {
		if r.IntN(4) > 0 {
			err = errors.Join(err, p.WriteChunk(i, chunk(b, i)))
		}
	}
	if p.Complete() {
		err = errors.Join(err, p.Finish(t.Context()))
	}
	return errors.Join(err, p.Close())
}

func gone(err error) error {
	if errors.Is(err, iofs.ErrNotExist) {
		return nil
	}
	return err
}
