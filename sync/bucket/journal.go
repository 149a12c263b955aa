package bucket

import (
	"context"
	"errors"
	"iter"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Journal remembers the uploads in parts that are under way, by key and ID, beyond the end of the process:
// the parts of one that was killed stay in the bucket, unseen, and are paid for.
type Journal interface {
	BeginUpload(key, id string) error
	EndUpload(key, id string) error
	// Uploads lists what was begun and not ended: IDs and their keys.
	Uploads() (iter.Seq2[string, string], error)
}

// Remember has uploads in parts noted in a journal. Call it before the first upload.
func (c *Client) Remember(j Journal) error {
	left, err := j.Uploads()
	if err != nil {
		return err
	}
	c.journal = j
	for id, key := range left {
		c.left.put(id, key)
	}
	return nil
}

// DropUnfinished has the server drop the parts of uploads that an earlier process did not end. After an error the next
// call tries again what is left.
func (c *Client) DropUnfinished(ctx context.Context) error {
	left := c.left.take()
	var errs []error
	for id, key := range left {
		err := c.dropUpload(ctx, key, id)
		if err == nil {
			err = c.journal.EndUpload(key, id)
		}
		if err != nil {
			c.left.put(id, key)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// unfinished are the IDs of uploads that an earlier process did not end, and their keys.
type unfinished struct {
	mu sync.Mutex // guards following; a leaf
	by map[string]string
}

// take takes all of them out.
func (u *unfinished) take() map[string]string {
	u.mu.Lock()
	defer u.mu.Unlock()
	all := u.by
	u.by = map[string]string{}
	return all
}

func (u *unfinished) put(id, key string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.by[id] = key
}

// dropUpload has the server drop an upload in parts; one that is not there is no error.
func (c *Client) dropUpload(ctx context.Context, key, id string) error {
	_, err := c.s3.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
		Bucket: &c.config.Bucket, Key: &key, UploadId: &id,
	})
	if codeOf(err) == "NoSuchUpload" {
		return nil
	}
	return c.fail(ctx, err, "drop an unfinished upload of %s", key)
}

// noted tells the journal, if there is one.
func (c *Client) noted(what func(j Journal, key, id string) error, key, id string) error {
	if c.journal == nil {
		return nil
	}
	return what(c.journal, key, id)
}
