package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

const (
	localName = "local file"
	getsName  = "ranged GETs"
	sdkName   = "SDK and SHA-256"
)

// blob is a large blob in a bucket, and a file with the same bytes.
type blob struct {
	file   string
	digest digest.Digest
	size   int64
	where  bucket.Config // over no link
}

// newBlob makes a blob of random bytes and puts it into a bucket of its own.
func (b *bench) newBlob(ctx context.Context, s *server, size int64) (blob, error) {
	dir, err := b.folder("blob")
	if err != nil {
		return blob{}, err
	}
	x := blob{file: filepath.Join(dir, "blob"), size: size}
	if x.digest, err = random(x.file, size); err != nil {
		return x, err
	}
	if x.where, err = s.newBucket(ctx, loopback); err != nil {
		return x, err
	}
	return x, x.put(ctx, x.where)
}

// random writes a file of random bytes.
func random(path string, size int64) (digest.Digest, error) {
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	_, err = io.CopyBuffer(io.MultiWriter(f, h), io.LimitReader(rand.Reader, size), make([]byte, 1<<20))
	return digest.NewDigest(digest.SHA256, h), errors.Join(err, f.Close())
}

// put uploads the blob with the SDK alone.
func (x blob) put(ctx context.Context, to bucket.Config) error {
	c, err := openBucket(ctx, to)
	if err != nil {
		return err
	}
	f, err := os.Open(x.file)
	if err != nil {
		return err
	}
	defer f.Close()
	return c.PutBlob(ctx, x.digest, f, x.size)
}

// get reads the blob with parallel ranged GETs; what comes goes to to.
func (x blob) get(ctx context.Context, from bucket.Config, to func(off int64) io.Writer) error {
	c, err := openBucket(ctx, from)
	if err != nil {
		return err
	}
	const parallel, piece = 8, 8 << 20
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(parallel)
	for off := int64(0); off < x.size; off += piece {
		all.Go(func() error { return x.getRange(ctx, c, off, min(piece, x.size-off), to(off)) })
	}
	return all.Wait()
}

func (x blob) getRange(ctx context.Context, c *bucket.Client, off, n int64, to io.Writer) error {
	r, err := c.OpenBlob(ctx, x.digest, off, n)
	if err != nil {
		return err
	}
	got, err := io.CopyBuffer(struct{ io.Writer }{to}, r, make([]byte, 256<<10)) // io.Discard alone takes 8 KiB at a time
	if err == nil && got != n {
		err = fmt.Errorf("%d bytes of %d", got, n)
	}
	return errors.Join(err, r.Close())
}

// in is the path of the blob in a layout.
func (x blob) in(layout string) string { return in(layout, x.digest) }

// read reads a file in order, as a builder does.
func (x blob) read(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{f}, make([]byte, 1<<20))
	if err == nil && n != x.size {
		err = fmt.Errorf("read %d bytes of %d", n, x.size)
	}
	return err
}

// write writes random bytes that are there already to a new file, with fsync.
func (x blob) write(path string) (err error) {
	from, err := os.Open(x.file)
	if err != nil {
		return err
	}
	defer from.Close()
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{f}, struct{ io.Reader }{from}, make([]byte, 1<<20))
	return errors.Join(err, f.Sync(), f.Close())
}

// rehearse writes the file once for nothing, to where it is written next. A virtual machine gets memory and disk of its
// host when it first writes to them, which took up to a second and a half of CPU for 1 GiB, and hit now one contender
// and now the other.
func (x blob) rehearse(path string) error {
	return errors.Join(x.write(path), os.Remove(path))
}

// dropCaches makes the kernel forget what it has read: the next read comes from disk.
func dropCaches() error {
	syscall.Sync()
	return os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0)
}

// awaitThat waits for what no event tells of.
func awaitThat(what string, done func() (bool, error)) error {
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("after 5 min still not: %s", what)
		}
	}
}
