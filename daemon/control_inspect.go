package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	iofs "io/fs"
	"iter"
	"net/http"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/index"
	"github.com/layoutfs/layoutfs/inspect"
	"github.com/layoutfs/layoutfs/sync"
	"github.com/layoutfs/layoutfs/sync/bucket"
	"github.com/layoutfs/layoutfs/sync/disk"
)

// The part of the control socket for commands that look. Lists are one JSON document a line, a reply[T] each;
// one with an error ends the list.
//
//	GET /v1/names?prefix=P  -> names, as last listed
//	GET /v1/summaries       -> the same, summarised where what they reach is known
//	GET /v1/blobs?local=B   -> local copies, then, unless B is true, what the bucket has
//	GET /v1/blob?digest=D   -> one blob
const (
	namesPath     = "/v1/names"
	summariesPath = "/v1/summaries"
	blobsPath     = "/v1/blobs"
	blobPath      = "/v1/blob"
)

// reply is one element of a list, or why there are no more.
type reply[T any] struct {
	Item   *T     `json:"item,omitempty"`
	Error  string `json:"error,omitempty"`
	Absent bool   `json:"absent,omitempty"` // the error is that it is not there
}

// parts are those of a mount that are looked at.
type parts struct {
	bucket *bucket.Client
	disk   *disk.Store
	index  *index.Index
	engine *sync.Engine
}

// serveInspect answers the commands that look.
func (d *Daemon) serveInspect(mux *http.ServeMux) {
	d.serveBucket(mux)
	mux.HandleFunc("GET "+namesPath, func(w http.ResponseWriter, r *http.Request) {
		stream(w, d.names(r.URL.Query().Get("prefix")))
	})
	mux.HandleFunc("GET "+summariesPath, func(w http.ResponseWriter, r *http.Request) {
		stream(w, d.summaries(r.Context()))
	})
	mux.HandleFunc("GET "+blobsPath, func(w http.ResponseWriter, r *http.Request) {
		stream(w, d.blobs(r.Context(), r.URL.Query().Get("local") == "true"))
	})
	mux.HandleFunc("GET "+blobPath, func(w http.ResponseWriter, r *http.Request) {
		stream(w, one(d.statBlob(r.Context(), digest.Digest(r.URL.Query().Get("digest")))))
	})
}

// stream sends a list. Who hangs up ends it.
func stream[T any](w http.ResponseWriter, list iter.Seq2[T, error]) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	enc := json.NewEncoder(w)
	for item, err := range list {
		line := reply[T]{Item: &item}
		if err != nil {
			line = reply[T]{Error: err.Error(), Absent: errors.Is(err, iofs.ErrNotExist)}
		}
		if enc.Encode(line) != nil || err != nil {
			return
		}
	}
}

func one[T any](item T, err error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) { yield(item, err) }
}

// names lists what the index has, and what it has not: names that cannot be shown, and those that wait for
// their publication.
func (d *Daemon) names(prefix string) iter.Seq2[inspect.Name, error] {
	return func(yield func(inspect.Name, error) bool) {
		waiting, err := d.parts.disk.Pending()
		if err != nil {
			yield(inspect.Name{}, err)
			return
		}
		unreadable := d.engine.Status().Unreadable
		for n, err := range d.parts.index.Names(prefix) {
			if _, ok := waiting[n.Name]; ok && err == nil {
				continue
			}
			known := nameOf(n)
			known.Broken = unreadable[n.Name]
			delete(unreadable, n.Name)
			if !yield(known, err) || err != nil {
				return
			}
		}
		for name, why := range unreadable {
			if !yield(inspect.Name{Name: name, Broken: why}, nil) {
				return
			}
		}
		for name, doc := range waiting {
			var p struct {
				Descriptor ocispec.Descriptor `json:"descriptor"`
			}
			if err := json.Unmarshal(doc, &p); err == nil && !yield(inspect.Name{Name: name, Descriptor: p.Descriptor}, nil) {
				return
			}
		}
	}
}

func nameOf(n index.Name) inspect.Name {
	return inspect.Name{
		Name: n.Name, Descriptor: n.Descriptor, Updated: n.Version.LastModified, Synthetic: n.Synthetic, Closure: n.Closure,
	}
}

// blobs lists local copies, then what the bucket has; if it does not answer, what it had when last seen.
func (d *Daemon) blobs(ctx context.Context, local bool) iter.Seq2[inspect.Blob, error] {
	return func(yield func(inspect.Blob, error) bool) {
		for info := range d.parts.disk.All() {
			if !yield(localBlob(info), nil) {
				return
			}
		}
		if local {
			return
		}
		if d.config.Offline {
			d.knownBlobs(yield)
			return
		}
		for o, err := range d.parts.bucket.ListBlobs(ctx) {
			if errors.Is(err, bucket.ErrUnreachable) {
				d.knownBlobs(yield)
				return
			}
			if !yield(bucketBlob(o), err) || err != nil {
				return
			}
		}
	}
}

func (d *Daemon) knownBlobs(yield func(inspect.Blob, error) bool) {
	for b, err := range d.parts.index.Blobs() {
		if err == nil && b.Where&index.Bucket == 0 {
			continue
		}
		if !yield(inspect.Blob{Digest: b.Digest, Size: b.Size, In: inspect.Bucket}, err) || err != nil {
			return
		}
	}
}

func localBlob(info disk.Info) inspect.Blob {
	return inspect.Blob{Digest: info.Digest, Size: info.Size, In: placeOf(info.State), Used: info.Used}
}

func placeOf(s disk.State) inspect.Place {
	switch s {
	case disk.Staged:
		return inspect.Staged
	case disk.Warm:
		return inspect.Warm
	case disk.Partial:
		return inspect.Partial
	}
	return 0
}

func bucketBlob(o bucket.Object) inspect.Blob {
	return inspect.Blob{Digest: o.Digest, Size: o.Size, In: inspect.Bucket, Modified: o.LastModified}
}

// statBlob says where a blob is.
func (d *Daemon) statBlob(ctx context.Context, dg digest.Digest) (inspect.Blob, error) {
	if err := dg.Validate(); err != nil {
		return inspect.Blob{}, fmt.Errorf("look for blob %q: %w", dg, err)
	}
	b := localBlob(d.parts.disk.Stat(dg))
	size, modified, err := d.inBucket(ctx, dg)
	switch {
	case err == nil:
		b.In |= inspect.Bucket
		b.Size, b.Modified = size, modified
		return b, nil
	case b.In.Complete():
		return b, nil
	case !errors.Is(err, iofs.ErrNotExist):
		return inspect.Blob{}, err
	}
	if size, ok := d.synthesised(dg); ok {
		return inspect.Blob{Digest: dg, Size: size, In: b.In | inspect.Made}, nil
	}
	if b.In != 0 {
		return b, nil
	}
	return inspect.Blob{}, err
}

// inBucket asks the bucket for a blob; if it does not answer, the index.
func (d *Daemon) inBucket(ctx context.Context, dg digest.Digest) (size int64, modified time.Time, err error) {
	if !d.config.Offline {
		o, err := d.parts.bucket.StatBlob(ctx, dg)
		if !errors.Is(err, bucket.ErrUnreachable) {
			return o.Size, o.LastModified, err
		}
	}
	rec, ok, err := d.parts.index.Blob(dg)
	if err == nil && (!ok || rec.Where&index.Bucket == 0) {
		err = fmt.Errorf("look for blob %s: %w", dg, iofs.ErrNotExist)
	}
	return rec.Size, time.Time{}, err
}

// synthesised says whether a blob is the manifest or config of a name that a type=s3 client wrote.
func (d *Daemon) synthesised(dg digest.Digest) (size int64, ok bool) {
	if reached, err := d.parts.index.Reached(dg); err != nil || !reached {
		return 0, false
	}
	for n, err := range d.parts.index.Names("") {
		if err != nil || !n.Synthetic {
			continue
		}
		for _, made := range n.Closure[:min(2, len(n.Closure))] {
			if made.Digest == dg {
				return made.Size, true
			}
		}
	}
	return 0, false
}
