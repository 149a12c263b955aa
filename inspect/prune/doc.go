// Package prune throws away what a cache does not need: names by rules, then the blobs that no name reaches,
// and unfinished uploads; and, apart from that, local copies.
//
// It is mark and sweep, and it runs beside exports of other hosts without a lock, because exporters renew
// what they rely on: a blob is taken only if nobody has written or touched it for the grace period, which is
// longer than exporters go without touching and than an export takes. docs/decisions has the argument, and
// what is left to chance.
//
// Invariants: nothing is deleted unless every name could be read, because what an unreadable one needs is not
// known. Right before a blob or a name is deleted it is looked at once more, and one that has changed stays.
// Memory grows with the number of blobs that names reach, some 80 bytes each, and not with that of blobs in
// the bucket. Mutexes are leaves; none is held while the bucket is asked.
package prune
