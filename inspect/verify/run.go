package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"runtime"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/inspect"
)

// Options of Run.
type Options struct {
	Where  string // bucket, disk or folder: for reports
	Source inspect.Source
	In     inspect.Place // the blobs to verify are those that are listed there
	// Partial says that what names reach need not be there: local disk has some of it.
	Partial bool
	Quick   bool   // do not read blobs: only look whether they are there, and how large
	State   *State // of a run that was broken off; nil: none
	Fixer   *Fixer // nil: nothing is repaired

	Problem func(Problem)        // is told of each, one at a time
	Listed  func(n int, b int64) // may be nil; told of blobs and bytes that will be read, as they are listed
	Read    func(b int64)        // may be nil; told of bytes that were read, by several goroutines
	Workers int                  // blobs that are read at once; 0: a good number
}

// run is one verification.
type run struct {
	o     Options
	table table
	types map[string]string

	mu     sync.Mutex // guards following, and the calls of Problem
	report Report
}

// Run verifies a source. Its error is one of the source; what is found wrong is told to Problem and counted.
func Run(ctx context.Context, o Options) (report Report, err error) {
	if o.Fixer != nil && o.Fixer.Close != nil {
		defer func() { err = errors.Join(err, o.Fixer.Close()) }()
	}
	r := &run{o: o, table: table{}, types: map[string]string{}, report: Report{Where: o.Where}}
	if r.o.Workers == 0 {
		r.o.Workers = max(8, 2*runtime.NumCPU()) // most wait for a bucket, some hash
	}
	if err := r.readNames(ctx); err != nil {
		return r.report, err
	}
	if err := r.readBlobs(ctx); err != nil {
		return r.report, err
	}
	r.findMissing(ctx)
	return r.report, o.State.finish()
}

// problem reports one, after trying to repair it.
func (r *run) problem(ctx context.Context, p Problem) {
	p.Where = r.o.Where
	if r.o.Fixer != nil {
		p.Repair = r.o.Fixer.fix(ctx, p)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Problems++
	if p.Repair != "" {
		r.report.Repaired++
	}
	r.o.Problem(p)
}

// readBlobs verifies every blob that is listed.
func (r *run) readBlobs(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	work := make(chan inspect.Blob)
	var wg sync.WaitGroup
	for range r.o.Workers {
		wg.Go(func() {
			buf := make([]byte, 1<<20)
			for b := range work {
				r.blob(ctx, b, buf)
			}
		})
	}
	err := r.list(ctx, work)
	close(work)
	wg.Wait()
	return errors.Join(err, context.Cause(ctx))
}

// list hands out the blobs, each once. It alone touches the table's entries.
func (r *run) list(ctx context.Context, work chan<- inspect.Blob) error {
	alone := map[digest.Digest]bool{} // that no name reaches
	for b, err := range r.o.Source.Blobs(ctx) {
		if err != nil {
			return err
		}
		if b.In&r.o.In == 0 {
			continue
		}
		e, reached := r.table[b.Digest]
		switch {
		case reached && e.seen, alone[b.Digest]:
			continue
		case reached:
			e.seen = true
			if e.size != b.Size {
				r.problem(ctx, Problem{
					Kind: WrongSize, Name: e.name, Digest: b.Digest,
					Text: fmt.Sprintf("it has %d bytes and should have %d", b.Size, e.size),
				})
			}
		default:
			alone[b.Digest] = true
		}
		if !r.count(b, reached) {
			continue
		}
		select {
		case work <- b:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// count counts a blob that is listed, and says whether it is to be read.
func (r *run) count(b inspect.Blob, reached bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !reached {
		r.report.Orphans++
	}
	r.report.Blobs++
	r.report.Bytes += b.Size
	if r.o.Quick || r.o.State.has(b) {
		r.report.Skipped++
		return false
	}
	if r.o.Listed != nil {
		r.o.Listed(1, b.Size)
	}
	return true
}

// blob reads one blob.
func (r *run) blob(ctx context.Context, b inspect.Blob, buf []byte) {
	var name, mediaType string
	if e, ok := r.table[b.Digest]; ok {
		name, mediaType = e.name, e.mediaType
	}
	found, head, err := r.hash(ctx, b, buf)
	p := Problem{Name: name, Digest: b.Digest, only: b.In&inspect.Staged != 0}
	switch gone := errors.Is(err, iofs.ErrNotExist); {
	case ctx.Err() != nil, gone && (name == "" || r.o.Partial): // evicted, or pruned, meanwhile
		return
	case gone:
		p.Kind, p.Text = Missing, "it was there a moment ago"
	case err != nil:
		p.Kind, p.Text = Unreadable, err.Error()
	case found != b.Digest:
		p.Kind, p.Text = WrongBytes, fmt.Sprintf("its %d bytes have the digest %s", b.Size, found)
		if p.only {
			p.Text += ", and it is not in the bucket yet"
		}
	default:
		if p.Text = wrongType(mediaType, head); p.Text == "" {
			r.o.State.add(b)
			return
		}
		p.Kind = WrongMediaType
	}
	r.problem(ctx, p)
}

// hash is the digest of a blob's bytes, and the first of these.
func (r *run) hash(ctx context.Context, b inspect.Blob, buf []byte) (digest.Digest, []byte, error) {
	if err := b.Digest.Validate(); err != nil {
		return "", nil, err
	}
	body, err := r.o.Source.Open(ctx, b.Digest, 0, -1)
	if err != nil {
		return "", nil, err
	}
	sum := b.Digest.Algorithm().Hash()
	var head []byte
	for {
		n, err := body.Read(buf)
		sum.Write(buf[:n])
		if missing := 4 - len(head); missing > 0 {
			head = append(head, buf[:min(n, missing)]...)
		}
		if r.o.Read != nil {
			r.o.Read(int64(n))
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", nil, errors.Join(err, body.Close())
		}
	}
	return digest.NewDigest(b.Digest.Algorithm(), sum), head, body.Close()
}

// findMissing reports what names reach and was not listed.
func (r *run) findMissing(ctx context.Context) {
	if r.o.Partial {
		return
	}
	for d, e := range r.table {
		if !e.seen && !e.made {
			r.problem(ctx, Problem{Kind: Missing, Name: e.name, Digest: d, Text: "it is not there"})
		}
	}
}
