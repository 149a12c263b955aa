package bucket_test

import (
	"testing"

	"github.com/layoutfs/layoutfs/sync/bucket/buckettest"
)

func TestSuite(t *testing.T) { buckettest.Suite(t, buckettest.Start) }
