package main

import (
	"strings"
	"testing"
	"time"

	"github.com/layoutfs/layoutfs/daemon"
	"github.com/layoutfs/layoutfs/sync"
)

const statusOfABusyMount = `mountpoint   /mnt/cache
bucket       s3://ci/team/ at http://127.0.0.1:9000 (region us-east-1)
reachable    NO
names        7, latest is main;app
             app is broken: 2 blobs are gone
             lib is too large: its config has 2 MiB
mode         write back, names may be deleted
staged       3.0 MiB in 2 blobs, 1 name to be published
warm         1.0 KiB in 1 blob
partial      0 B in 0 blobs
uploading    1.0 MiB of 2.0 MiB  sha256:aa
             0 B of 1.0 MiB  sha256:bb
downloading  nothing
uploaded     5 B in 1 blob, 1 name published
fetched      0 B in 0 blobs
evicted      0 B
requests     9 to the bucket, 1 error, 0 blobs with wrong bytes
last error   2 minutes ago: no answer
passthrough  off: the kernel is too old
cache        /var/cache/x (at most 1.0 GiB, leaving 1.0 MiB free)
log          /var/cache/x/log
running      for 1m30s, pid 7, version 1.2.3
`

func TestStatusForPeople(t *testing.T) {
	s := daemon.Status{
		Mountpoint: "/mnt/cache", PID: 7, Version: "1.2.3", Uptime: 90.2,
		Bucket:      daemon.BucketStatus{URL: "s3://ci/team/", Region: "us-east-1", Endpoint: "http://127.0.0.1:9000", Names: []string{"main", "app"}},
		Cache:       daemon.CacheStatus{Dir: "/var/cache/x", Size: 1 << 30, MinFree: 1 << 20, Log: "/var/cache/x/log"},
		Mode:        daemon.ModeStatus{Write: "back", AllowDelete: true},
		Passthrough: daemon.PassthroughStatus{Reason: "the kernel is too old"},
		Status: sync.Status{
			Names: 7, Broken: map[string]string{"app": "2 blobs are gone"}, Large: map[string]string{"lib": "its config has 2 MiB"},
			Staged: sync.Count{Blobs: 2, Bytes: 3 << 20}, Warm: sync.Count{Blobs: 1, Bytes: 1 << 10}, Pending: 1,
			Uploading: []sync.Transfer{{Digest: "sha256:aa", Done: 1 << 20, Size: 2 << 20}, {Digest: "sha256:bb", Size: 1 << 20}},
			Counters:  sync.Counters{UploadedBytes: 5, UploadedBlobs: 1, Requests: 9, Published: 1, Errors: 1},
			LastError: &sync.Failure{Time: time.Now().Add(-2 * time.Minute), Text: "no answer"},
		},
	}
	var b strings.Builder
	if err := printStatuses(&b, []daemon.Status{s}); err != nil {
		t.Fatal(err)
	}
	if b.String() != statusOfABusyMount {
		t.Errorf("got\n%s\nwant\n%s", b.String(), statusOfABusyMount)
	}
	for _, tc := range []struct {
		set  func(*daemon.Status)
		want string
	}{
		{func(s *daemon.Status) { s.Mode = daemon.ModeStatus{ReadOnly: true} }, "mode         read-only\n"},
		{func(s *daemon.Status) { s.Mode.Offline = true }, "reachable    not asked (--offline)\n"},
		{func(s *daemon.Status) { s.Passthrough.On = true }, "passthrough  on\n"},
		{func(s *daemon.Status) { s.Bucket.Embedded = "/srv" }, "http://127.0.0.1:9000 (embedded: /srv)\n"},
		{func(s *daemon.Status) { s.Cache.Size = 0 }, "/var/cache/x (leaving 1.0 MiB free)\n"},
		{func(s *daemon.Status) { s.LastError = nil }, "last error   none\n"},
	} {
		one := s
		tc.set(&one)
		b.Reset()
		if err := printStatuses(&b, []daemon.Status{one, s}); err != nil || !strings.Contains(b.String(), tc.want) {
			t.Errorf("want %q in\n%s (%v)", tc.want, b.String(), err)
		}
		if !strings.HasSuffix(b.String(), "\n\n"+statusOfABusyMount) {
			t.Errorf("two are\n%s", b.String())
		}
	}
}
