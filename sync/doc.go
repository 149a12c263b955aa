// Package sync moves blobs and names between local disk and bucket.
//
// A blob goes up like this: Commit (commit.go) has the disk verify and stage it; the uploader
// (upload.go) sends it; then it is warm. It comes down like this: Open (blobs.go) begins a download
// (download.go) whose chunks the fetcher (fetch.go) requests; when all are there and verified it is
// warm. A name is published by Publish (publish.go) and seen by listing (catalog.go). The barrier
// (barrier.go) stands between: no name is written before every blob that it reaches was seen in the
// bucket (presence.go). Everything that goes to the bucket passes the guard (guard.go).
//
// Lock order: fetcher.mu before download.mu; every other mutex is a leaf, and none is held while
// something is asked of the bucket or of a client.
package sync
