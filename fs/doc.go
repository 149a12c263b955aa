// Package fs is what the kernel sees: OCI image layouts whose blobs and names live elsewhere, and
// scratch files on local disk beside them.
//
// Every directory that is a name, leads to names, or was made by a client is a layout of its own over
// one pool of blobs. What a client makes beneath "ingest" or a directory whose name begins with "."
// is scratch and never a layout; so are all files that are neither blobs, index.json nor oci-layout.
// A scratch file becomes a blob when it is renamed to blobs/ALG/HEX, or closed there.
//
// The invariant: the bytes of a blob never change. A commit closes the gate of the file first
// (gate.go), and makes a copy where somebody may write whom that does not keep out (late.go); what is
// written to a name that is a blob already goes to a file of its own (rewrite.go).
//
// Lock order: tree.moves, then file.gate, then file.mu, index.mu, homes.mu and the locks of handles,
// then the locks of go-fuse. tree.moves is held over calls to the local disk at most; nothing is held
// over calls to Blobs or Names, which may use the network.
package fs
