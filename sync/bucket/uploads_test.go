package bucket_test

import (
	"testing"

	"github.com/layoutfs/layoutfs/sync/bucket/buckettest"
)

// TestUnfinishedUploadsAreListed where the server can: prune finds them.
func TestUnfinishedUploadsAreListed(t *testing.T) {
	if found := buckettest.ListUpload(t, buckettest.Start(t)); found != 1 {
		t.Errorf("one unfinished upload is listed %d times", found)
	}
}
