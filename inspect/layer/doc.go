// Package layer reads what is inside image layers: tar archives, plain or compressed with gzip or zstd, alone
// and on top of one another.
//
// A layer is read from its beginning to its end, because a tar has no table of contents; but estargz and
// zstd:chunked have one behind it, which is read instead, so that listing a layer costs some kilobytes of it.
// What is compressed how is told from the bytes and not from the media type.
//
// Invariants: memory does not grow with the size of a layer or of a file in it; of several layers at once it
// grows with the number of paths. Paths cannot lead out of the root. What comes from a table of contents is
// what its maker says: it is checked against its digest where that is known, and a file that is read with its
// help against the file's.
//
// Sources: OCI image-spec (layer, whiteouts), github.com/containerd/stargz-snapshotter/docs/estargz.md,
// github.com/containers/storage/pkg/chunked (zstd:chunked).
package layer
