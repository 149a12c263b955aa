// Package source has the four places where a cache can be read from, each an inspect.Source: Mount (a running
// mount), Bucket (a bucket without a mount), CacheDir (a cache directory, offline) and Layout (a folder with
// an OCI image layout, such as a cache of type=local).
//
// All of them read and none writes. One contract suite holds them to the same.
//
// Locks: the mutex of Bucket guards its memory of synthesised documents; a leaf.
package source
