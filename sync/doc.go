// Package sync moves blobs and names between local disk and bucket.
package sync
