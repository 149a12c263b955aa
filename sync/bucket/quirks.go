package bucket

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Quirk is something that servers do differently, and how this one does it.
type Quirk struct {
	What string // what was tried
	Err  error  // why a mount would not work well; nil if it would
	Note string // what works differently than people expect
}

// Quirks tries what a mount relies on, and what servers are known to differ in. It writes some objects of its
// own, beneath the prefix but where neither blobs nor names are, and removes them.
func (c *Client) Quirks(ctx context.Context) []Quirk {
	own := *c
	own.config.Prefix += ".layoutfs-doctor-" + rand.Text() + "/"
	t := &tryout{c: &own}
	defer t.clean(context.WithoutCancel(ctx))
	var quirks []Quirk
	for _, q := range []struct {
		what string
		try  func(context.Context) (note string, err error)
	}{
		{"names and their metadata come back as they were written", t.names},
		{"ranges of a blob are read", t.ranges},
		{"a touched blob is as if new", t.touch},
		{"large blobs go up in parts", t.parts},
		{"what is written is listed at once", t.listing},
		{"a name and one beneath it can both exist", t.nested},
	} {
		note, err := q.try(ctx)
		quirks = append(quirks, Quirk{What: q.what, Err: err, Note: note})
	}
	return quirks
}

// Skew is how much later the server's clock is than this machine's, to about a second.
func (c *Client) Skew(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	out, err := c.s3.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &c.config.Bucket, Prefix: &c.config.Prefix, MaxKeys: aws.Int32(1)})
	if err != nil {
		return 0, c.fail(ctx, err, "ask for the time")
	}
	there, ok := awsmiddleware.GetServerTime(out.ResultMetadata)
	if !ok {
		return 0, errors.New("the server does not say what time it is")
	}
	here := began.Add(time.Since(began) / 2)
	return there.Sub(here.Truncate(time.Second)), nil
}

// tryout tries a server with objects of its own.
type tryout struct {
	c    *Client
	keys []string // that were written
}

// oddName has what is encoded in one way in URLs, in another in XML, and in a third in copy sources.
const oddName = "odd ü+%2F:&name"

func (t *tryout) names(ctx context.Context) (string, error) {
	body := []byte("{}")
	want := ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(body), Size: int64(len(body)),
		Annotations: map[string]string{"note": "größe, 日本"},
	}
	t.keys = append(t.keys, t.c.nameKey(oddName))
	if err := t.c.PutName(ctx, oddName, body, &want); err != nil {
		return "", err
	}
	n, err := t.c.GetName(ctx, oddName)
	switch {
	case err != nil:
		return "", err
	case !bytes.Equal(n.Body, body):
		return "", errors.New("another body comes back")
	case n.Descriptor == nil || n.Descriptor.Annotations["note"] != want.Annotations["note"]:
		return "", errors.New("the metadata of an object is lost or changed: manifests of other hosts will not be shown as they were written")
	}
	return "", nil
}

func (t *tryout) nested(ctx context.Context) (string, error) {
	for _, name := range []string{"a", "a/b"} {
		t.keys = append(t.keys, t.c.nameKey(name))
		if err := t.c.PutName(ctx, name, []byte("{}"), nil); err != nil {
			return "", err
		}
	}
	before, err := t.listed(ctx)
	if err != nil {
		return "", err
	}
	t.keys = append(t.keys, t.c.nameKey(toSignpost.Replace("a/b")))
	if err := t.c.EnsureListed(ctx, "a/b"); err != nil {
		return "", err
	}
	after, err := t.listed(ctx)
	switch {
	case err == nil && !after["a/b"]:
		return "", errors.New("the one beneath is not listed: other hosts would not see it")
	case err == nil && !before["a/b"]:
		return "the server does not list the one beneath, so that a signpost is written beside it", nil
	}
	return "", err
}

// listed lists the names.
func (t *tryout) listed(ctx context.Context) (map[string]bool, error) {
	names := map[string]bool{}
	for n, err := range t.c.ListNames(ctx, "") {
		if err != nil {
			return nil, err
		}
		names[n.Name] = true
	}
	return names, nil
}

// blob writes a blob of random bytes.
func (t *tryout) blob(ctx context.Context, size int) ([]byte, digest.Digest, error) {
	b := make([]byte, size)
	_, _ = rand.Read(b) // it never fails
	d := digest.FromBytes(b)
	t.keys = append(t.keys, t.c.blobKey(d))
	return b, d, t.c.PutBlob(ctx, d, bytes.NewReader(b), int64(size))
}

func (t *tryout) ranges(ctx context.Context) (string, error) {
	b, d, err := t.blob(ctx, 1000)
	if err != nil {
		return "", err
	}
	return "", t.same(ctx, d, 100, b[100:300])
}

// same makes sure that a blob has those bytes there.
func (t *tryout) same(ctx context.Context, d digest.Digest, off int64, want []byte) error {
	r, err := t.c.OpenBlob(ctx, d, off, int64(len(want)))
	if err != nil {
		return err
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err == nil && !bytes.Equal(got, want) {
		err = errors.New("other bytes come back than were written")
	}
	return err
}

func (t *tryout) touch(ctx context.Context) (string, error) {
	b, d, err := t.blob(ctx, 1000)
	if err != nil {
		return "", err
	}
	before, err := t.c.StatBlob(ctx, d)
	if err != nil {
		return "", err
	}
	// What is younger than the slack of a touch and the time that it takes passes for new.
	for _, old := range []time.Duration{slack + 1500*time.Millisecond, 4 * slack} {
		select {
		case <-time.After(old):
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
		if err := t.c.TouchBlob(ctx, d, int64(len(b))); err != nil {
			return "", err
		}
		after, err := t.c.StatBlob(ctx, d)
		if err != nil {
			return "", err
		}
		if after.LastModified.After(before.LastModified) {
			return "", t.same(ctx, d, 0, b)
		}
	}
	return "", errors.New("its LastModified stays: expiry rules would remove blobs that are in use")
}

// minPart is the least that S3 takes as a part that is not the last.
const minPart = 5 << 20

func (t *tryout) parts(ctx context.Context) (string, error) {
	own := *t.c
	own.part = minPart
	inParts := tryout{c: &own}
	b, d, err := inParts.blob(ctx, minPart+1)
	t.keys = append(t.keys, inParts.keys...)
	if err != nil {
		return "", err
	}
	return "", t.same(ctx, d, minPart-1, b[minPart-1:])
}

func (t *tryout) listing(ctx context.Context) (string, error) {
	listed, err := t.listed(ctx)
	if err == nil && !listed[oddName] {
		err = fmt.Errorf("%q is not listed: other hosts would see names late or never", oddName)
	}
	return "", err
}

// clean removes what was written. What cannot be removed is told in the log.
func (t *tryout) clean(ctx context.Context) {
	for _, key := range t.keys {
		_, err := t.c.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &t.c.config.Bucket, Key: &key})
		if err != nil {
			t.c.log.Warn("an object of the tryout is left in the bucket", "key", key, "error", describe(err))
		}
	}
}
