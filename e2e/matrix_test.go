package e2e

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/layoutfs/layoutfs/index/cacheconfig"
	"github.com/layoutfs/layoutfs/sync/bucket"
)

// What a cache export may be asked for.
var (
	shapes = map[string]string{
		"image":  "image-manifest=true",
		"index":  "image-manifest=false",
		"docker": "image-manifest=false,oci-mediatypes=false",
	}
	compressions = []string{"gzip", "zstd", "estargz", "uncompressed"}
)

// TestBothDirections exports one build both ways in one solve: to the mount, and with BuildKit's own
// type=s3. Each is then imported the other way by a builder that knows nothing, on a host with an empty
// disk: every step CACHED and the same files. And the two name objects say the same. What a server is does
// not depend on shape and compression, so the whole matrix is done on one, and a diagonal of it on the others.
func TestBothDirections(t *testing.T) {
	onEachServer(t, func(t *testing.T, s *server) {
		b := newBuilder(t)
		for i, shape := range slices.Sorted(maps.Keys(shapes)) {
			for j, compression := range compressions {
				if s != anyServer(t) && i != j {
					continue
				}
				t.Run(shape+"/"+compression, func(t *testing.T) {
					testBothDirections(t, s, s.config(t), b, shapes[shape]+",force-compression=true,compression="+compression)
				})
			}
		}
	})
}

func testBothDirections(t *testing.T, s *server, c bucket.Config, b *builder, attrs string) {
	dir, plain := newContext(t), t.TempDir()
	b.t = t
	host := newHost(t, c)
	b.build(dir, "--no-cache", "--output", "type=local,dest="+plain,
		"--export-cache", "type=local,mode=max,dest="+host.path("local")+","+attrs,
		"--export-cache", "type=s3,mode=max,name=s3,"+csv(c)+","+attrs)
	want := tree(t, plain)

	client := s.client(t, c)
	sameConfig(t, object(t, client, "local").Body, object(t, client, "s3").Body)

	other := newHost(t, c)
	for what, from := range map[string]string{
		"type=local of what type=local exported": "type=local,src=" + other.path("local"),
		"type=local of what type=s3 exported":    "type=local,src=" + other.path("s3"),
		"type=local from the root layout":        "type=local,tag=s3,src=" + other.mnt,
		"type=s3 of what type=local exported":    "type=s3,name=local," + csv(c),
	} {
		b.forget()
		out := filepath.Join(t.TempDir(), "out")
		b.build(dir, "--import-cache", from, "--output", "type=local,dest="+out).wantAllCached(t)
		if diff := cmp.Diff(want, tree(t, out)); diff != "" {
			t.Errorf("import with %s: other files (-want +got):\n%s", what, diff)
		}
	}
}

// sameConfig compares two CacheConfigs by what they say, whatever the order of their layers and records.
func sameConfig(t testing.TB, got, want []byte) {
	t.Helper()
	if diff := cmp.Diff(resolved(t, want), resolved(t, got)); diff != "" {
		t.Errorf("the name object differs from that of type=s3 (-type=s3 +layoutfs):\n%s", diff)
	}
}

// resolved is a CacheConfig as the package reads it: layers by digest, records in an order of their own.
func resolved(t testing.TB, body []byte) any {
	t.Helper()
	l, err := cacheconfig.Import(body)
	must(t, err)
	var manifest, config any
	must(t, json.Unmarshal(l.Manifest, &manifest))
	must(t, json.Unmarshal(body, &config))
	return []any{manifest, config}
}
