// Package inspect reads a cache for people: which names there are and what they reach, how much of it is
// unique, how its records chain, in what two caches differ, and why a build left one.
//
// A cache is read from a Source, of which package inspect/source has four: a running mount, a bucket, a
// cache directory, a folder with a layout. All that is here holds for each of them, and none of it writes.
// inspect/records knows BuildKit's cache records, inspect/layer what is inside layers.
//
// Invariants: memory does not grow with the size of a blob; what a source cannot know is said to be unknown
// and is not guessed; a name that cannot be read is listed as broken, with the reason, and does not hide
// the others. There are no locks.
package inspect
