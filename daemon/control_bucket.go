package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"net/http"
	"strconv"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/index"
	"github.com/layoutfs/layoutfs/sync/bucket"
	"github.com/layoutfs/layoutfs/sync/disk"
)

// The part of the control socket that hands on what commands want of the bucket, whose keys the daemon alone
// has. It is for who may open the socket: the user who mounted.
//
//	POST /v1/bucket  bucketRequest -> a list of reply[…], of one element unless Op lists
//	GET  /v1/bucket/blob?digest=D&off=O&n=N -> the bytes, as the bucket has them
const (
	bucketPath     = "/v1/bucket"
	bucketBlobPath = "/v1/bucket/blob"
)

// bucketRequest is one call of bucket.Client.
type bucketRequest struct {
	Op         string              `json:"op"`
	Name       string              `json:"name,omitempty"`
	Digest     digest.Digest       `json:"digest,omitempty"`
	Size       int64               `json:"size,omitempty"`
	Body       []byte              `json:"body,omitempty"`
	Descriptor *ocispec.Descriptor `json:"descriptor,omitempty"`
	Upload     *bucket.Upload      `json:"upload,omitempty"`
}

// The operations; those after opPutName change the bucket.
const (
	opListNames   = "list-names"
	opGetName     = "get-name"
	opListBlobs   = "list-blobs"
	opStatBlob    = "stat-blob"
	opListUploads = "list-uploads"
	opPins        = "pins"
	opPutName     = "put-name"
	opDeleteName  = "delete-name"
	opDeleteBlob  = "delete-blob"
	opTouchBlob   = "touch-blob"
	opUploadBlob  = "upload-blob" // of the local copy
	opDropUpload  = "drop-upload"
	opPutPin      = "put-pin"
	opDeletePin   = "delete-pin"
	opDropLocal   = "drop-local" // the local copy; the bucket is left alone
	opWarm        = "warm"       // bring a blob to local disk
)

// maxBucketRequest bounds a request, in bytes: the body of a name is the longest.
const maxBucketRequest = 2 * bucket.MaxNameSize

func (d *Daemon) serveBucket(mux *http.ServeMux) {
	mux.HandleFunc("POST "+bucketPath, func(w http.ResponseWriter, r *http.Request) {
		var in bucketRequest
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBucketRequest)).Decode(&in); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		d.bucketCall(r.Context(), w, in)
	})
	mux.HandleFunc("GET "+bucketBlobPath, func(w http.ResponseWriter, r *http.Request) {
		if err := d.copyBlob(r, w); err != nil {
			status := http.StatusBadGateway
			switch {
			case errors.Is(err, iofs.ErrNotExist):
				status = http.StatusNotFound
			case errors.Is(err, io.ErrUnexpectedEOF):
				status = http.StatusRequestedRangeNotSatisfiable
			}
			http.Error(w, err.Error(), status)
		}
	})
}

// bucketCall makes the call and streams what comes of it.
func (d *Daemon) bucketCall(ctx context.Context, w http.ResponseWriter, in bucketRequest) {
	c := d.parts.bucket
	switch {
	case in.Op == opDropLocal:
		stream(w, one(struct{}{}, d.parts.engine.Drop(in.Digest)))
		return
	case in.Op == opWarm:
		stream(w, one(struct{}{}, d.warm(ctx, in.Digest)))
		return
	case d.config.Offline:
		stream(w, one(struct{}{}, fmt.Errorf("%w: the mount is offline", bucket.ErrUnreachable)))
		return
	case in.Op == opListNames:
		stream(w, c.ListNames(ctx, in.Name))
		return
	case in.Op == opGetName:
		stream(w, one(c.GetName(ctx, in.Name)))
		return
	case in.Op == opListBlobs:
		stream(w, c.ListBlobs(ctx))
		return
	case in.Op == opStatBlob:
		stream(w, one(c.StatBlob(ctx, in.Digest)))
		return
	case in.Op == opListUploads:
		stream(w, c.ListUploads(ctx))
		return
	case in.Op == opPins:
		stream(w, one(c.Pins(ctx)))
		return
	}
	err := fmt.Errorf("the mount is read-only: %w", iofs.ErrPermission)
	if !d.config.ReadOnly {
		err = d.bucketChange(ctx, in)
	}
	stream(w, one(struct{}{}, err))
}

func (d *Daemon) bucketChange(ctx context.Context, in bucketRequest) error {
	c := d.parts.bucket
	d.log.Info("asked over the control socket", "op", in.Op, "name", in.Name, "blob", in.Digest)
	switch in.Op {
	case opPutName:
		return d.changeName(ctx, c.PutListedName(ctx, in.Name, in.Body, in.Descriptor))
	case opDeleteName:
		return d.changeName(ctx, c.DeleteName(ctx, in.Name))
	case opDeleteBlob:
		return d.deleteBlob(ctx, in.Digest)
	case opTouchBlob:
		return c.TouchBlob(ctx, in.Digest, in.Size)
	case opUploadBlob:
		return d.uploadBlob(ctx, in.Digest)
	case opDropUpload:
		if in.Upload == nil {
			return errors.New("which upload?")
		}
		return c.DropUpload(ctx, *in.Upload)
	case opPutPin:
		return c.PutPin(ctx, in.Name)
	case opDeletePin:
		return c.DeletePin(ctx, in.Name)
	}
	return fmt.Errorf("there is no operation %q: the daemon may be of an older version", in.Op)
}

// changeName shows the mount what was changed, if it was.
func (d *Daemon) changeName(ctx context.Context, err error) error {
	if err != nil {
		return err
	}
	return d.parts.engine.Changed(ctx)
}

// warm reads a blob whole, past the kernel, which may have its pages though they are not on disk.
func (d *Daemon) warm(ctx context.Context, dg digest.Digest) (err error) {
	r, err := d.parts.engine.Open(ctx, dg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	buf := make([]byte, disk.ChunkSize)
	for off := int64(0); off < r.Size(); off += int64(len(buf)) {
		if _, err := r.ReadAt(ctx, buf, off); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
	return nil
}

// deleteBlob deletes a blob of the bucket, and has this host believe so at once.
func (d *Daemon) deleteBlob(ctx context.Context, dg digest.Digest) error {
	if err := d.parts.bucket.DeleteBlob(ctx, dg); err != nil {
		return err
	}
	if _, ok, err := d.parts.index.Blob(dg); err != nil || !ok {
		return err
	}
	return d.parts.index.UpdateBlob(dg, func(b *index.Blob) { b.Where &^= index.Bucket })
}

// uploadBlob writes the local copy of a blob to the bucket, over whatever is there, if it is what it should be.
func (d *Daemon) uploadBlob(ctx context.Context, dg digest.Digest) error {
	f, err := d.parts.disk.Open(dg)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	found, err := dg.Algorithm().FromReader(io.NewSectionReader(f, 0, info.Size()))
	if err != nil {
		return err
	}
	if found != dg {
		return fmt.Errorf("local copy of blob %s: %w: it has the digest %s", dg, disk.ErrMismatch, found)
	}
	return d.parts.bucket.PutBlob(ctx, dg, f, info.Size())
}

// copyBlob sends a range of a blob as the bucket has it.
func (d *Daemon) copyBlob(r *http.Request, w http.ResponseWriter) error {
	q := r.URL.Query()
	off, err := strconv.ParseInt(q.Get("off"), 10, 64)
	if err != nil {
		return fmt.Errorf("off: %w", err)
	}
	n, err := strconv.ParseInt(q.Get("n"), 10, 64)
	if err != nil {
		return fmt.Errorf("n: %w", err)
	}
	if d.config.Offline {
		return fmt.Errorf("%w: the mount is offline", bucket.ErrUnreachable)
	}
	body, err := d.parts.bucket.OpenBlob(r.Context(), digest.Digest(q.Get("digest")), off, n)
	if err != nil {
		return err
	}
	defer body.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Trailer", bodyEnd)
	if _, err := io.Copy(w, body); err != nil {
		w.Header().Set(bodyEnd, err.Error())
		return nil // the trailer tells it
	}
	w.Header().Set(bodyEnd, bodyWhole)
	return nil
}

// bodyEnd is the trailer that says how a body ended: by bodyWhole, or an error.
const (
	bodyEnd   = "Layoutfs-End"
	bodyWhole = "whole"
)
