package verify

import (
	"context"

	"github.com/opencontainers/go-digest"
)

// Fixer repairs what it can. What is nil it cannot do.
type Fixer struct {
	// Upload writes a blob to the bucket, over whatever is there, from a copy that is right.
	Upload func(ctx context.Context, d digest.Digest) error
	// Delete deletes a blob of the bucket: builders take one that is there for right, and do not write it.
	Delete func(ctx context.Context, d digest.Digest) error
	// Drop drops a local copy that the bucket has too.
	Drop func(ctx context.Context, d digest.Digest) error
	// Close is called at the end of Run; it may be nil.
	Close func() error
	// Failed is told of what could not be repaired, and why.
	Failed func(p Problem, err error)
}

// fix says what was done; empty if nothing was.
func (f *Fixer) fix(ctx context.Context, p Problem) string {
	if p.Digest == "" || p.only || p.Kind != Missing && p.Kind != WrongBytes {
		return ""
	}
	for _, step := range []struct {
		where string
		do    func(context.Context, digest.Digest) error
		done  string
		fits  bool
	}{
		{"bucket", f.Upload, "uploaded again from local disk", true},
		{"bucket", f.Delete, "deleted, so that the next export writes it again", p.Kind != Missing},
		{"disk", f.Drop, "dropped; it is fetched again when it is read", p.Kind != Missing},
	} {
		if step.where != p.Where || step.do == nil || !step.fits {
			continue
		}
		err := step.do(ctx, p.Digest)
		if err == nil {
			return step.done
		}
		f.Failed(p, err)
	}
	return ""
}
