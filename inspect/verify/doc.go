// Package verify makes sure that a cache is what it claims: that blobs have the bytes that their digests say,
// that everything which a name reaches is there, and that media types are those of the bytes.
//
// Names come first, so that it is known what each blob should be; then every blob is read once, several at a
// time. What was verified is noted in a State, with which a run that was broken off goes on.
//
// Invariants: nothing is changed but by Fixer, and by it only what was found wrong; memory grows with the
// number of blobs and not with their size. All mutexes are leaves, and none is held while a bucket is asked.
package verify
