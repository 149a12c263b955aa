// Package move brings names with all that they reach from one place to another: from a folder with a layout
// to a bucket and back, and from bucket to bucket.
//
// Only what is missing is moved, and what was moved stays moved: whatever breaks off goes on when it is
// tried again. A name is written when everything that it reaches was seen where it is to be, and is young
// enough there for prune and for expiry rules, as exporters have it.
//
// Invariants: nothing is kept that was not verified against its digest; a name never refers to what is not
// there. No lock is held while anything is asked.
package move
