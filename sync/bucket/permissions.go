package bucket

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Outcome of trying an action.
type Outcome string

// The outcomes.
const (
	Allowed Outcome = "ok"
	Denied  Outcome = "denied"
	Other   Outcome = "other" // it could not be told
)

// Permission is an action that was tried.
type Permission struct {
	Action  Action
	Outcome Outcome
	Err     error // what the server said, or why it could not be told; nil if allowed
}

// Permissions tries every action that a mount needs, one by one, and only those of a read-only mount if
// readOnly. It makes requests that fail for another reason if they are allowed (there is no such object, no
// such upload), so that nothing is left in the bucket, whatever is denied; the one upload that it begins it
// begins only where it may abort it.
func (c *Client) Permissions(ctx context.Context, readOnly bool) []Permission {
	t := &trial{c: c, absent: ".layoutfs-trial-" + rand.Text()}
	var tried []Permission
	for _, a := range c.config.Actions() {
		if !readOnly || a.ReadOnly {
			tried = append(tried, t.try(ctx, a))
		}
	}
	return tried
}

// trial tries actions.
type trial struct {
	c      *Client
	absent string // the end of a key that nobody has
}

// errUntold says that an action cannot be tried by itself.
var errUntold = errors.New("it cannot be told without")

// named finds the action that a denial is about, which may be another than was tried.
var named = regexp.MustCompile(`not authorized to perform: ([a-zA-Z0-9-]+:[a-zA-Z]+)`)

func (t *trial) try(ctx context.Context, a Action) Permission {
	err := t.request(ctx, a.Name)
	p := Permission{Action: a, Outcome: Other, Err: t.c.fail(ctx, err, "try %s", a.Name)}
	m := named.FindStringSubmatch(describeOrNot(err))
	switch {
	case err == nil:
		p.Outcome = Allowed
	case m != nil && m[1] != a.Name: // that one is denied, of this one nothing is known
	case codeOf(err) == "AccessDenied" && !errors.Is(err, errUntold): // not a wrong key, which is a 403 as well
		p.Outcome = Denied
	}
	return p
}

func describeOrNot(err error) string {
	if err == nil {
		return ""
	}
	return describe(err)
}

// request makes a request that needs the action; nil means that it is allowed.
func (t *trial) request(ctx context.Context, action string) error {
	switch action {
	case "s3:ListBucket":
		_, err := t.anObject(ctx)
		return err
	case "s3:GetObject":
		return t.get(ctx)
	case "kms:Decrypt":
		return t.decrypt(ctx)
	case "s3:PutObject":
		return t.put(ctx)
	case "s3:AbortMultipartUpload":
		return t.abort(ctx)
	case "s3:DeleteObject":
		return t.delete(ctx)
	case "s3:ListBucketMultipartUploads":
		return t.uploads(ctx)
	}
	return t.begin(ctx) // s3:PutObjectAcl, kms:GenerateDataKey
}

// anObject is the key of any object; empty if there is none.
func (t *trial) anObject(ctx context.Context) (string, error) {
	for o, err := range t.c.list(ctx, t.c.config.Prefix) {
		return aws.ToString(o.Key), err
	}
	return "", nil
}

// get reads a byte of an object that is there. If there is none, or none can be listed, it asks for one that
// is not: who may get objects and list them hears that.
func (t *trial) get(ctx context.Context) error {
	key, listErr := t.anObject(ctx)
	if key == "" {
		key = t.c.config.Prefix + t.c.config.BlobsPrefix + t.absent
	}
	err := t.read(ctx, key)
	if listErr != nil && codeOf(err) == "AccessDenied" {
		return fmt.Errorf("%w s3:ListBucket: %w", errUntold, err)
	}
	return allowing(err, "NoSuchKey", "NotFound", "InvalidRange")
}

func (t *trial) read(ctx context.Context, key string) error {
	out, err := t.c.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: &t.c.config.Bucket, Key: &key, Range: aws.String("bytes=0-0")})
	if err != nil {
		return err
	}
	return out.Body.Close()
}

// decrypt reads an object that is there.
func (t *trial) decrypt(ctx context.Context) error {
	key, err := t.anObject(ctx)
	if key == "" {
		return errors.Join(fmt.Errorf("%w an object", errUntold), err)
	}
	return allowing(t.read(ctx, key), "InvalidRange")
}

// abort aborts an upload that nobody has begun.
func (t *trial) abort(ctx context.Context) error {
	_, err := t.c.s3.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
		Bucket: &t.c.config.Bucket, Key: t.key(), UploadId: aws.String(t.absent),
	})
	return allowing(err, "NoSuchUpload")
}

// begin begins an upload, with all that the configuration says of how objects are kept, and aborts it.
func (t *trial) begin(ctx context.Context) error {
	if err := t.abort(ctx); err != nil {
		return fmt.Errorf("%w s3:AbortMultipartUpload: %w", errUntold, err)
	}
	out, err := t.c.s3.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: &t.c.config.Bucket, Key: t.key()})
	if err != nil {
		return err
	}
	if !(&multipart{c: t.c, key: *t.key(), id: out.UploadId}).abort(ctx) {
		return fmt.Errorf("the upload that was begun at %s is left", *t.key())
	}
	return nil
}

// put begins an upload, or, where that could not be undone, sends a part for one that nobody has begun.
func (t *trial) put(ctx context.Context) error {
	err := t.begin(ctx)
	if !errors.Is(err, errUntold) {
		return err
	}
	_, err = t.c.s3.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: &t.c.config.Bucket, Key: t.key(), UploadId: aws.String(t.absent), PartNumber: aws.Int32(1),
	})
	return allowing(err, "NoSuchUpload")
}

// delete deletes a name that is not there, on the condition that it is: where versions are kept, a delete
// marker would stay else. A server that knows no such condition may leave one, which is removed.
func (t *trial) delete(ctx context.Context) error {
	in := &s3.DeleteObjectInput{Bucket: &t.c.config.Bucket, Key: aws.String(t.c.nameKey(t.absent)), IfMatch: aws.String("*")}
	out, err := t.c.s3.DeleteObject(ctx, in)
	if codeOf(err) == "NotImplemented" {
		in.IfMatch = nil
		out, err = t.c.s3.DeleteObject(ctx, in)
	}
	if err != nil || !aws.ToBool(out.DeleteMarker) {
		return allowing(err, "NoSuchKey", "NotFound", "PreconditionFailed")
	}
	_, err = t.c.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: in.Bucket, Key: in.Key, VersionId: out.VersionId})
	if err != nil {
		return fmt.Errorf("a delete marker of %s is left: %w", *in.Key, err)
	}
	return nil
}

// uploads lists one unfinished upload. A server without such a listing denies nobody.
func (t *trial) uploads(ctx context.Context) error {
	_, err := t.c.s3.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{
		Bucket: &t.c.config.Bucket, Prefix: &t.c.config.Prefix, MaxUploads: aws.Int32(1),
	})
	return allowing(err, "NotImplemented")
}

// key is an object's that nobody has, where blobs are.
func (t *trial) key() *string {
	return aws.String(t.c.config.Prefix + t.c.config.BlobsPrefix + t.absent)
}

// allowing takes an error that only somebody hears who is allowed for none.
func allowing(err error, codes ...string) error {
	for _, code := range codes {
		if codeOf(err) == code {
			return nil
		}
	}
	return err
}
