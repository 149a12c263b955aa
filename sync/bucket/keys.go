package bucket

import (
	"net/url"
	"strings"

	"github.com/opencontainers/go-digest"
)

// blobKey is the object of d: the digest keeps its colon, and no slash is put between the pieces.
func (c *Client) blobKey(d digest.Digest) string {
	return c.config.Prefix + c.config.BlobsPrefix + d.String()
}

// nameKey is the object of a name.
func (c *Client) nameKey(name string) string {
	return c.config.Prefix + c.config.ManifestsPrefix + name
}

// blobOf is the digest whose object key is; false for a key that somebody else put there.
func (c *Client) blobOf(key string) (digest.Digest, bool) {
	rest, ok := strings.CutPrefix(key, c.config.Prefix+c.config.BlobsPrefix)
	if !ok {
		return "", false
	}
	d, err := digest.Parse(rest)
	return d, err == nil
}

// nameOf is the name whose object key is. A key that ends in a slash is a folder that some tool made, and
// if the prefixes are such that blobs are listed among the names they are told apart by their look.
func (c *Client) nameOf(key string) (string, bool) {
	name, ok := strings.CutPrefix(key, c.config.Prefix+c.config.ManifestsPrefix)
	if !ok || name == "" || strings.HasSuffix(name, "/") {
		return "", false
	}
	_, blob := c.blobOf(key)
	return name, !blob
}

// copySource is key as the header x-amz-copy-source wants it: escaped, but for the slashes. PathEscape
// leaves a plus alone, which servers may read as a space.
func (c *Client) copySource(key string) string {
	parts := strings.Split(key, "/")
	for i, p := range parts {
		parts[i] = strings.ReplaceAll(url.PathEscape(p), "+", "%2B")
	}
	return c.config.Bucket + "/" + strings.Join(parts, "/")
}
