package sync

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

// TestNamesThatTheServerDoesNotList holds that a directory may have tags beside its latest on MinIO, too, which
// keeps the object a/b where there is an object a, and leaves it out of listings.
func TestNamesThatTheServerDoesNotList(t *testing.T) {
	one, two := newCache(t, random(100, 1)), newCache(t, random(100, 2))
	byTypeS3 := func(b *memBucket) error {
		return b.PutName(t.Context(), "app", []byte(`{"layers":[],"records":[]}`), nil)
	}
	for _, tc := range []struct {
		name    string
		publish func(h, second *host) error // to app/v1 one, to app two
	}{
		{"tag last", func(h, _ *host) error {
			return orFirst(h.export("app", "latest", two), func() error { return h.export("app", "v1", one) })
		}},
		{"tag first", func(h, _ *host) error {
			return orFirst(h.export("app", "v1", one), func() error { return h.export("app", "latest", two) })
		}},
		{"tag first, by another host", func(h, second *host) error {
			return orFirst(second.export("app", "v1", one), func() error { return h.export("app", "latest", two) })
		}},
		{"tag first, and type=s3 in between", func(h, second *host) error {
			if err := orFirst(h.export("app", "v1", one), func() error { return byTypeS3(h.bucket) }); err != nil {
				return err
			}
			h.shownTags("") // comes upon it
			return second.export("app", "latest", two)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newMemBucket()
			b.hides = true
			h, second := newHost(t, b, nil), newHost(t, b, nil)
			must(t, tc.publish(h, second))
			third := newHost(t, b, nil)
			want := map[string]digest.Digest{"v1": one.desc.Digest, "latest": two.desc.Digest}
			for i, h := range []*host{h, second, third} {
				for _, scope := range []string{"app", ""} {
					got := h.shownTags(scope)
					if scope == "" {
						got = map[string]digest.Digest{"v1": got["app/v1"], "latest": got["app"]}
					}
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("host %d shows in %q (-want +got):\n%s", i, scope, diff)
					}
				}
			}
			must(t, b.DeleteName(t.Context(), "app/v1"))
			if _, ok := third.shownTags("app")["v1"]; ok {
				t.Error("a name is shown that was deleted")
			}
		})
	}
}

func orFirst(err error, then func() error) error {
	if err != nil {
		return err
	}
	return then()
}

// TestNestedNamesCostNothingWhereTheyAreListed bounds what the care for such servers costs on others.
func TestNestedNamesCostNothingWhereTheyAreListed(t *testing.T) {
	b := newMemBucket()
	h := newHost(t, b, nil)
	for i := range 3 {
		must(t, h.export(fmt.Sprintf("team/app%d", i), "latest", newCache(t, random(100, uint64(i)))))
		h.shownTags("")
	}
	if n := b.count("ensurelisted"); n != 0 {
		t.Errorf("%d names were looked for in listings, none of which is beneath another", n)
	}
}
