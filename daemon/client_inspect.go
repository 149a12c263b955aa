package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"iter"
	"net/http"
	"net/url"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/inspect"
)

// Names lists the names of the mount that begin with prefix, as last listed.
func (c *Client) Names(ctx context.Context, prefix string) iter.Seq2[inspect.Name, error] {
	return list[inspect.Name](ctx, c, namesPath+"?prefix="+url.QueryEscape(prefix))
}

// Summaries lists the names of the mount as last listed, summarised where what they reach is known.
func (c *Client) Summaries(ctx context.Context) iter.Seq2[inspect.Listed, error] {
	return list[inspect.Listed](ctx, c, summariesPath)
}

// Blobs lists local copies, then what the bucket has; if it does not answer, what it had when last seen.
func (c *Client) Blobs(ctx context.Context) iter.Seq2[inspect.Blob, error] {
	return list[inspect.Blob](ctx, c, blobsPath)
}

// LocalBlobs lists local copies.
func (c *Client) LocalBlobs(ctx context.Context) iter.Seq2[inspect.Blob, error] {
	return list[inspect.Blob](ctx, c, blobsPath+"?local=true")
}

// Stat says where a blob is; the error wraps fs.ErrNotExist if it is nowhere.
func (c *Client) Stat(ctx context.Context, d digest.Digest) (inspect.Blob, error) {
	for b, err := range list[inspect.Blob](ctx, c, blobPath+"?digest="+url.QueryEscape(d.String())) {
		return b, err
	}
	return inspect.Blob{}, errors.New("ask the daemon: it says nothing")
}

// list asks for a list.
func list[T any](ctx context.Context, c *Client, path string) iter.Seq2[T, error] {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://layoutfs"+path, nil)
	if err != nil {
		return one(*new(T), err)
	}
	return replies[T](c, r)
}

// replies sends a request that is answered with a list. A list that breaks off ends with an error.
func replies[T any](c *Client, r *http.Request) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		res, err := c.http.Do(r)
		if err != nil {
			yield(none, fmt.Errorf("ask the daemon: %w", err))
			return
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			yield(none, fmt.Errorf("the daemon answers with HTTP status %d: it may be of an older version", res.StatusCode))
			return
		}
		for dec := json.NewDecoder(res.Body); ; {
			item, err := decodeReply[T](dec)
			if errors.Is(err, io.EOF) {
				return
			}
			if !yield(item, err) || err != nil {
				return
			}
		}
	}
}

// decodeReply decodes the next element; io.EOF means that there is none.
func decodeReply[T any](dec *json.Decoder) (T, error) {
	var line reply[T]
	err := dec.Decode(&line)
	switch {
	case errors.Is(err, io.EOF):
		return *new(T), err
	case err != nil:
		return *new(T), fmt.Errorf("ask the daemon: %w", err)
	case line.Absent:
		return *new(T), &absentError{line.Error}
	case line.Error != "" || line.Item == nil:
		return *new(T), fmt.Errorf("the daemon says: %s", line.Error)
	}
	return *line.Item, nil
}

// absentError is what the daemon says of something that is not there.
type absentError struct{ text string }

func (e *absentError) Error() string { return e.text }
func (*absentError) Unwrap() error   { return iofs.ErrNotExist }
