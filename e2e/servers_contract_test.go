package e2e

import (
	"slices"
	"testing"

	"github.com/layoutfs/layoutfs/sync/bucket"
	"github.com/layoutfs/layoutfs/sync/bucket/buckettest"
)

// moreServers are those that only what the client says to a server is tested on: they take long to start.
var moreServers = []kind{
	{"seaweedfs", func(t testing.TB) *server { return shared.get(t, "seaweedfs", startSeaweedFS) }},
	{"radosgw", func(t testing.TB) *server { return shared.get(t, "radosgw", startRadosGW) }},
}

// TestContract holds every server, and our client of it, to what all the rest builds on.
func TestContract(t *testing.T) {
	for _, k := range slices.Concat(servers, moreServers) {
		t.Run(k.name, func(t *testing.T) {
			s := k.start(t)
			buckettest.Suite(t, func(t testing.TB) bucket.Config { return s.config(t) })
		})
	}
}

// TestBothDirectionsElsewhere is TestBothDirections for the other servers, in one shape.
func TestBothDirectionsElsewhere(t *testing.T) {
	b := newBuilder(t)
	for _, k := range moreServers {
		t.Run(k.name, func(t *testing.T) {
			s := k.start(t)
			testBothDirections(t, s, s.config(t), b, shapes["image"])
		})
	}
}
