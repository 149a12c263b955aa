package bucket

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
)

// ahead is an upload in parts that begins while its blob is still written. What is sent may be wrong: who wrote it
// may write it anew. So each part is remembered with a sum of what went over the wire, and PutBlob, which knows
// that nobody writes any more, takes the upload over and sends again what has another sum now.
type ahead struct {
	size   int64
	takers chan context.Context // whose PutBlob goes on with it
	begun  chan begun           // what it is given; closed if there is nothing to go on with
}

// begun is an upload some parts of which are sent.
type begun struct {
	m     *multipart
	parts []part
	sent  []sentPart // by number; one that was not sent has no ETag
}

type sentPart struct {
	etag *string
	sum  uint64
}

// aheads are the uploads of a client that began ahead.
type aheads struct {
	mu sync.Mutex // guards following; a leaf
	by map[digest.Digest]*ahead
}

// enter notes an upload, if there is none of that blob and wanted agrees, which is told how many there are.
func (x *aheads) enter(d digest.Digest, size int64, wanted func(others int) bool) *ahead {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.by[d] != nil || !wanted(len(x.by)) {
		return nil
	}
	a := &ahead{size: size, takers: make(chan context.Context), begun: make(chan begun)}
	x.by[d] = a
	return a
}

func (x *aheads) leave(d digest.Digest, a *ahead) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.by, d)
	close(a.begun)
}

// take ends an upload ahead, and returns what there is of it. It waits for the parts that are on their way.
func (x *aheads) take(ctx context.Context, d digest.Digest, size int64) (begun, bool) {
	x.mu.Lock()
	a := x.by[d]
	x.mu.Unlock()
	if a == nil || a.size != size {
		return begun{}, false
	}
	select {
	case a.takers <- ctx:
	case b, ok := <-a.begun: // it has failed
		return b, ok
	case <-ctx.Done():
		return begun{}, false
	}
	select {
	case b, ok := <-a.begun:
		return b, ok
	case <-ctx.Done():
		return begun{}, false
	}
}

const (
	// fewAheads is how many blobs that would go up in one request are begun ahead at once, and how many requests of
	// others may carry blobs then.
	fewAheads = 2
	// idleLink is how long no large blob went up where the link is taken to be idle.
	idleLink = time.Second
)

// worthAhead says whether to begin a blob ahead: always if it goes up in parts, and else, which costs more requests
// and a second hash, only where the link has nothing to do until the first blobs of an export are complete.
func (c *Client) worthAhead(size int64, others int) bool {
	if size > c.single {
		return true
	}
	idle := others < fewAheads && len(c.uploads) <= fewAheads && time.Since(time.Unix(0, c.busy.Load())) > idleLink
	return size > c.part && idle
}

// partAhead is the size of the parts of a blob that begins ahead. Those of a smaller one are smaller: each is sent when
// all of it is there.
func (c *Client) partAhead(size int64) int64 {
	if size > c.single {
		return c.part
	}
	return c.part / 2
}

// PutAhead uploads what there is of a blob that is still written to r, if it is so large that this is of use.
// written tells how many bytes there are so far. It returns when PutBlob has taken over what was sent. When written is
// closed or the context ends, what was sent is dropped. The blob is in the bucket after PutBlob alone: an error
// here means no more than that it will take longer.
func (c *Client) PutAhead(ctx context.Context, d digest.Digest, r io.ReaderAt, size int64, written <-chan int64) error {
	a := c.aheads.enter(d, size, func(others int) bool { return c.worthAhead(size, others) })
	if a == nil {
		return nil
	}
	defer c.aheads.leave(d, a)
	return c.fail(ctx, c.putAhead(ctx, a, c.blobKey(d), localReader{r}, written), "upload blob %s of %d bytes while it is written", d, size)
}

func (c *Client) putAhead(ctx context.Context, a *ahead, key string, r io.ReaderAt, written <-chan int64) error {
	m, err := c.begin(ctx, key, nil)
	if err != nil {
		return err
	}
	parts := cut(a.size, c.partAhead(a.size))
	sent, taker, err := m.sendAhead(ctx, r, parts, a.takers, written)
	if err == nil && taker != nil {
		select {
		case a.begun <- begun{m: m, parts: parts, sent: sent}:
			return nil
		case <-taker.Done():
		}
	}
	return m.drop(ctx, err)
}

// sendAhead sends parts as they are written, until somebody takes them over. taker is nil if nobody does.
func (m *multipart) sendAhead(ctx context.Context, r io.ReaderAt, parts []part, takers <-chan context.Context, written <-chan int64) (sent []sentPart, taker context.Context, err error) {
	sent = make([]sentPart, len(parts))
	group, groupCtx := errgroup.WithContext(ctx)
	places := make(chan struct{}, partsPerBlob)
	next, there, more := 0, int64(0), true
	for more && taker == nil && groupCtx.Err() == nil {
		var place chan<- struct{} // none unless the next part is there
		if next < len(parts) && parts[next].end() <= there {
			place = places
		}
		select {
		case there, more = <-written:
		case taker = <-takers:
		case <-groupCtx.Done():
		case place <- struct{}{}:
			p, to := parts[next], &sent[next]
			next++
			group.Go(func() (err error) {
				defer func() { <-places }()
				*to, err = m.sendPart(groupCtx, r, p)
				return err
			})
		}
	}
	err = group.Wait()
	return sent, taker, err
}

func (m *multipart) sendPart(ctx context.Context, r io.ReaderAt, p part) (sent sentPart, err error) {
	err = m.inTurn(ctx, p, func() error {
		body := m.c.summed(r, p)
		etag, err := m.put(ctx, p, body)
		sent = sentPart{etag: etag, sum: body.sum()}
		return err
	})
	return sent, err
}

// count is how many parts are sent.
func (b begun) count() (n int) {
	for _, s := range b.sent {
		if s.etag != nil {
			n++
		}
	}
	return n
}

// finish sends what is not sent yet, and what is not as it was when it was sent.
func (b begun) finish(ctx context.Context, r io.ReaderAt) error {
	return b.m.finish(ctx, b.parts, func(ctx context.Context, m *multipart, p part) (*string, error) {
		if was := b.sent[p.number-1]; was.etag != nil {
			sum, err := m.c.sumOf(r, p)
			if err != nil {
				return nil, err
			}
			if sum == was.sum {
				return was.etag, nil
			}
		}
		return putPart(r)(ctx, m, p)
	})
}
