// Package disk keeps blobs on local disk, in one cache directory that one process owns.
//
// A blob is staged (complete, durable, perhaps not in the bucket), warm (complete, a copy of what the
// bucket has) or partial (some chunks of it). Its state is the folder that its file is in, so the
// directory alone tells, after any crash, what is there and what must still go up.
//
// Invariant: what Open gives out, and what staged/ and blobs/ hold, was hashed and found to be its
// digest; a partial blob gives out only bytes whose chunks arrived. Warm and partial blobs that nobody
// has open may go at any time to make room, staged ones never.
//
// Lock order: Part.turn, Part.saving, Store.mu, Part.mu. Store.mu is held over renames, opens and
// other short system calls, never over fsync, hashing or the writing of content.
package disk
