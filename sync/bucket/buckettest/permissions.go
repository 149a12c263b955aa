package buckettest

import (
	"maps"
	"strings"
	"testing"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

// testPermissions tries what the owner of the bucket may: everything. Nothing is left of it. (Without an
// object it cannot be told who may decrypt.)
func testPermissions(t *testing.T, cfg bucket.Config) {
	everything := cfg
	everything.Prefix, everything.BlobsPrefix, everything.ManifestsPrefix = "", "", ""
	for range 2 { // with nothing in the bucket, and with something
		c := OpenWith(t, cfg, bucket.Options{})
		before := names(t, OpenWith(t, everything, bucket.Options{}), "")
		for _, p := range c.Permissions(t.Context(), false) {
			if strings.HasPrefix(p.Action.Name, "s3:") && (p.Outcome != bucket.Allowed || p.Err != nil) || p.Action.For == "" {
				t.Errorf("%s is %s: %v", p.Action.Name, p.Outcome, p.Err)
			}
		}
		if after := names(t, OpenWith(t, everything, bucket.Options{}), ""); !maps.Equal(before, after) {
			t.Errorf("left in the bucket: %v, before it had %v", after, before)
		}
		put(t, c, "app", "{}", nil)
	}
}
