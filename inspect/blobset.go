package inspect

import (
	"context"
	"encoding/hex"
	"iter"

	"github.com/opencontainers/go-digest"
)

// key is a digest in 32 bytes, for tables of a million.
type key [32]byte

// keyOf makes a key. Of longer digests, which hardly anybody uses, the hash of its text is the key.
func keyOf(d digest.Digest) (k key) {
	if d.Algorithm() == digest.SHA256 && hex.DecodedLen(len(d.Encoded())) == len(k) {
		_, _ = hex.Decode(k[:], []byte(d.Encoded()))
		return k
	}
	_, _ = hex.Decode(k[:], []byte(digest.FromString(d.String()).Encoded()))
	return k
}

// BlobSet says where blobs are.
type BlobSet struct {
	at map[key]Place
	// Certain says that what is not in the set is nowhere.
	Certain bool
}

// Place says where a blob is; 0: not in the set.
func (s *BlobSet) Place(d digest.Digest) Place { return s.at[keyOf(d)] }

// localLister is a source whose Blobs asks a bucket, and that knows what of them is on local disk without.
type localLister interface {
	LocalBlobs(ctx context.Context) iter.Seq2[Blob, error]
}

// AllBlobs lists a source into a set.
func AllBlobs(ctx context.Context, src Source) (*BlobSet, error) {
	return newBlobSet(src.Blobs(ctx), true)
}

// KnownBlobs is AllBlobs where that costs no requests to a bucket besides those of listing names; else the set
// holds what is on local disk, and is not certain.
func KnownBlobs(ctx context.Context, src Source) (*BlobSet, error) {
	if l, ok := src.(localLister); ok {
		return newBlobSet(l.LocalBlobs(ctx), false)
	}
	return AllBlobs(ctx, src)
}

func newBlobSet(blobs iter.Seq2[Blob, error], certain bool) (*BlobSet, error) {
	s := &BlobSet{at: map[key]Place{}, Certain: certain}
	for b, err := range blobs {
		if err != nil {
			return nil, err
		}
		s.at[keyOf(b.Digest)] |= b.In
	}
	return s, nil
}
