package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/index/cacheconfig"
	"github.com/layoutfs/layoutfs/sync/bucket"
)

const (
	// hostileMemory and hostileDisk bound what a hostile bucket may cost a daemon that has the race detector in
	// it, in bytes.
	hostileMemory = 512 << 20
	hostileDisk   = 300 << 20
)

// TestHostileBucket mounts a bucket that an attacker wrote: names that are no names of files, documents that
// are no documents, sizes and digests that are lies. The daemon lives, within bounds of memory and disk, writes
// nowhere but in its cache directory, shows nothing that is not what its digest says, and an honest cache
// beside all that is imported.
func TestHostileBucket(t *testing.T) {
	a := newAttacker(t)
	good := newSynthetic(t, []byte("honest"))
	config := cacheConfigOf(t, good)
	a.blob(digest.FromBytes(good.layers[0]), honest(good.layers[0]))
	for _, name := range append(hostileNames(), "good") {
		a.name(name, config)
	}
	for i := range 12 { // each is as large as a name may be, and right
		a.objects[fmt.Sprint("manifests/large-", i)] = lie{body: config, size: bucket.MaxNameSize}
	}
	blobs := a.lieAboutBlobs(t)
	a.lieInDocuments(t)
	h := newHost(t, a.config(), "--refresh", "100ms", "--cache-size", "1GiB", "--min-free", "100MiB", "--web", "0")
	outside := filesIn(t, filepath.Dir(h.cache))

	rounds := 1
	if os.Getenv(long) != "" {
		rounds = 5
	}
	for range rounds {
		walkMount(t, h)
		for _, d := range blobs {
			readHostile(t, h.path("blobs", d.Algorithm().String(), d.Encoded()), d)
		}
		if _, err := importFrom(h.path("good"), "latest"); err != nil {
			t.Errorf("the honest cache: %v", err)
		}
		readWeb(t, h.status().Web)
	}

	eventually(t, "status tells of what is broken", func() bool {
		s := h.status()
		return s.PID == h.pid && len(s.Broken) > 0
	})
	if peak := peakMemory(t, h.pid); peak > hostileMemory {
		t.Errorf("the daemon took %d MiB of memory", peak>>20)
	} else {
		t.Logf("the daemon took %d MiB of memory and %d MiB of disk", peak>>20, diskUsage(t, h.cache)>>20)
	}
	if n := diskUsage(t, h.cache); n > hostileDisk {
		t.Errorf("the cache directory has %d MiB", n>>20)
	}
	if now := filesIn(t, filepath.Dir(h.cache)); !slices.Equal(now, outside) {
		t.Errorf("beside the cache directory are %q, and there were %q", now, outside)
	}
}

// hostileNames are names that no file should have.
func hostileNames() []string {
	hex := digest.FromString("x").Encoded()
	return []string{
		"..", ".", "../escaped", "../../../../../../tmp/layoutfs-escaped", "a/../../escaped", "/absolute", "a//b", "a/./b",
		"nul\x00byte", "line\nbreak", "\x1b[31mred", "\xff\xfe", " ", "-rf", strings.Repeat("n", 4096), strings.Repeat("n", 5000),
		strings.Repeat("d/", 40) + "x", strings.Repeat("e", 256) + "/x",
		"blobs", "blobs/sha256/" + hex, "index.json", "index.json/x", "oci-layout", "ingest", "ingest/x", "index.json.lock",
		"sha256:" + hex, "sha256:zz", ".fsverity-check-x", "latest", "a/latest", "a%2Fb", "a%00b", "<script>x",
	}
}

// cacheConfigOf is the CacheConfig of a cache.
func cacheConfigOf(t testing.TB, c synthetic) []byte {
	t.Helper()
	m, err := cacheconfig.ParseManifest(c.manifest)
	must(t, err)
	b, err := cacheconfig.Export(m, c.config)
	must(t, err)
	return b
}

// lieAboutBlobs puts blobs that are not what they should be, and a name for each.
func (a *attacker) lieAboutBlobs(t testing.TB) []digest.Digest {
	t.Helper()
	var all []digest.Digest
	for i, size := range []int64{0, 1, 20, 1 << 20, 3<<20 + 1, 1 << 33, 1 << 45, 1 << 62, 1<<63 - 1} {
		content := randomBytes(rand.New(rand.NewPCG(1, uint64(i))), 1<<20)
		d := digest.FromBytes(content)
		a.blob(d, lie{body: content[:min(size, 1<<20)], size: size})
		if size == 1<<20 {
			a.blob(d, lie{body: append([]byte("wrong"), content[5:]...), size: size})
		}
		a.name(fmt.Sprint("liar-", i), cacheConfigOf(t, newSynthetic(t, content)))
		all = append(all, d)
	}
	return all
}

// lieInDocuments puts names and manifests that are not what they should be.
func (a *attacker) lieInDocuments(t testing.TB) {
	t.Helper()
	layer := func(blob, size string) string {
		return `{"layers":[{"blob":` + blob + `,"parent":-1,"annotations":{"mediaType":"m","diffID":"sha256:` +
			digest.FromString("x").Encoded() + `","size":` + size + `,"createdAt":"2026-01-02T03:04:05Z"}}],"records":[{"digest":"x","layers":[{"layer":0}]}]}`
	}
	good := strconv.Quote(digest.FromString("x").String())
	deep := strings.Repeat("[", 10_000)
	for i, body := range []string{
		"", "null", "[]", "{", "\x00", deep, `{"layers":` + deep, `{"records":` + deep,
		layer(good, "-1"), layer(good, "9223372036854775808"), layer(good, "1e400"), layer(good, "9223372036854775807"),
		layer(`"md5:d41d8cd98f00b204e9800998ecf8427e"`, "1"), layer(`"sha256:../../../../tmp/layoutfs-escaped"`, "1"),
		layer(`"sha512:00"`, "1"), layer(`""`, "1"), layer(`"sha256:`+strings.Repeat("0", 1<<20)+`"`, "1"),
	} {
		a.name(fmt.Sprint("document-", i), []byte(body))
	}
	a.objects["manifests/huge"] = lie{body: []byte(`{"layers":[],`), size: 1 << 30}
	a.objects["manifests/endless"] = lie{body: []byte(`{`), size: 1<<63 - 1}
	for i, d := range []string{
		`{`, `{"digest":"sha256:..","size":1}`, `{"digest":` + good + `,"size":-1}`, `{"digest":` + good + `,"size":9223372036854775807}`,
	} {
		a.objects[fmt.Sprint("manifests/descriptor-", i)] = lie{body: []byte("{}"), size: 2, descriptor: d}
	}
	a.manifest(t, "nested", lie{body: []byte(`{"schemaVersion":2,"layers":` + deep), size: 10_030})
	a.manifest(t, "padded", lie{body: []byte(`{"schemaVersion":2}`), size: 1 << 30})
	a.chain(t, 10_000)
}

// manifest puts a name whose manifest is a blob.
func (a *attacker) manifest(t testing.TB, name string, l lie) {
	t.Helper()
	d := digest.FromBytes(l.body)
	a.blob(d, l)
	desc, err := json.Marshal(ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: d, Size: l.size})
	must(t, err)
	a.objects["manifests/"+name] = lie{body: []byte("{}"), size: 2, descriptor: string(desc)}
}

// chain puts an index that names an index, and so on.
func (a *attacker) chain(t testing.TB, depth int) {
	t.Helper()
	b := []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`)
	for range depth {
		a.blob(digest.FromBytes(b), honest(b))
		b = fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"manifests":[{"mediaType":%[1]q,"digest":%q,"size":%d}]}`,
			ocispec.MediaTypeImageIndex, digest.FromBytes(b), len(b))
	}
	a.manifest(t, "chain", honest(b))
}

// walkMount lists and reads what the mount shows, but for blobs.
func walkMount(t testing.TB, h *host) {
	t.Helper()
	seen := 0
	must(t, filepath.WalkDir(h.mnt, func(path string, e os.DirEntry, err error) error {
		seen++
		switch {
		case err != nil: // a name that is broken may say so
			return nil
		case e.IsDir() && e.Name() == "blobs":
			return filepath.SkipDir
		case e.Name() == "index.json":
			b, err := os.ReadFile(path)
			if err == nil && !json.Valid(b) {
				t.Errorf("%s is no JSON", path)
			}
		}
		return nil
	}))
	if seen < 20 {
		t.Errorf("the mount shows %d files", seen)
	}
}

// readHostile reads a blob, which may fail, and must not give other bytes than its digest says.
func readHostile(t testing.TB, path string, d digest.Digest) {
	t.Helper()
	const most = 64 << 20
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer f.Close()
	v := d.Verifier()
	n, err := io.Copy(v, io.LimitReader(f, most))
	if err == nil && n < most && !v.Verified() {
		t.Errorf("%s was read to its end at %d bytes, and they are wrong", path, n)
	}
}

func filesIn(t testing.TB, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if _, err := os.Lstat("/tmp/layoutfs-escaped"); err == nil {
		t.Error("something was written to /tmp/layoutfs-escaped")
	}
	return names
}

// peakMemory is the most memory that a process had, in bytes.
func peakMemory(t testing.TB, pid int) int64 { return procStatus(t, pid, "VmHWM") << 10 }

func procStatus(t testing.TB, pid int, field string) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	m := regexp.MustCompile(field + `:\s+(\d+)`).FindSubmatch(b)
	if m == nil {
		t.Fatalf("no %s in %s", field, b)
	}
	n, err := strconv.ParseInt(string(m[1]), 10, 64)
	must(t, err)
	return n
}

// diskUsage is what a directory takes on disk, in bytes.
func diskUsage(t testing.TB, dir string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(strings.Fields(run(t, "du", "-s", "-B1", dir))[0], 10, 64)
	must(t, err)
	return n
}

// readWeb makes sure that page and metrics are there, and that no name became part of the page's markup.
func readWeb(t *testing.T, web string) {
	t.Helper()
	for _, path := range []string{"", "metrics"} {
		res, err := http.Get(web + path)
		must(t, err)
		body, err := io.ReadAll(res.Body)
		must(t, errors.Join(err, res.Body.Close()))
		if res.StatusCode != http.StatusOK || len(body) == 0 || bytes.Contains(body, []byte("<script")) {
			t.Errorf("%s%s: %s\n%.2000s", web, path, res.Status, body)
		}
	}
}
