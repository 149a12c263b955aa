package buckettest

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

// descriptor is one whose annotations are not ASCII.
func descriptor() *ocispec.Descriptor {
	return &ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageManifest,
		Digest:    digest.FromString("manifest"),
		Size:      1234,
		Annotations: map[string]string{
			"org.opencontainers.image.ref.name": "größe & <日本> 🚀",
			"ünicode":                           "\u0000\u007f\u2028\"\\",
		},
	}
}

func put(t testing.TB, c *bucket.Client, name, body string, d *ocispec.Descriptor) {
	t.Helper()
	if err := c.PutName(t.Context(), name, []byte(body), d); err != nil {
		t.Fatalf("put the name %q: %v", name, err)
	}
}

func get(t testing.TB, c *bucket.Client, name string) bucket.Name {
	t.Helper()
	n, err := c.GetName(t.Context(), name)
	if err != nil {
		t.Fatalf("get the name %q: %v", name, err)
	}
	return n
}

// names lists the names that begin with prefix.
func names(t testing.TB, c *bucket.Client, prefix string) map[string]bucket.Version {
	t.Helper()
	all := map[string]bucket.Version{}
	for n, err := range c.ListNames(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		all[n.Name] = n.Version
	}
	return all
}

func testNameRoundTrip(t *testing.T, cfg bucket.Config) {
	c := OpenWith(t, cfg, bucket.Options{})
	body := `{"layers":[]}` + strings.Repeat(" ", 2<<20)
	put(t, c, "app", body, descriptor())
	n := get(t, c, "app")
	if n.Name != "app" || string(n.Body) != body || !reflect.DeepEqual(n.Descriptor, descriptor()) {
		t.Errorf("GetName: %q with %d bytes and %+v", n.Name, len(n.Body), n.Descriptor)
	}
	large := descriptor()
	large.Annotations["large"] = strings.Repeat("x", 4000)
	put(t, c, "large", "{}", large)
	if n := get(t, c, "large"); !reflect.DeepEqual(n.Descriptor, descriptor()) {
		t.Errorf("a descriptor that does not fit: %+v, want only the largest annotation gone", n.Descriptor)
	}
}

// testFullMetadata writes descriptors that take all the metadata that there is, and one that takes more.
func testFullMetadata(t *testing.T, cfg bucket.Config) {
	c := OpenWith(t, cfg, bucket.Options{})
	d := descriptor()
	d.Annotations = map[string]string{"kept": "yes", "long": ""}
	empty, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	room := 2048 - len("x-amz-meta-oci-descriptor") - len(empty)
	for _, n := range []int{room - 1, room, room + 1} {
		d.Annotations["long"] = strings.Repeat("x", n)
		put(t, c, "app", "{}", d)
		got := get(t, c, "app").Descriptor
		if got == nil || got.Digest != d.Digest || got.Annotations["kept"] != "yes" || (got.Annotations["long"] != "") != (n <= room) {
			t.Fatalf("with an annotation of %d bytes, of %d: %+v", n, room, got)
		}
	}
}

// testNameOverwritten is what a type=s3 exporter does.
func testNameOverwritten(t *testing.T, cfg bucket.Config) {
	c := OpenWith(t, cfg, bucket.Options{})
	put(t, c, "app", "{}", descriptor())
	put(t, c, "app", "{ }", nil)
	if n := get(t, c, "app"); n.Descriptor != nil || string(n.Body) != "{ }" {
		t.Errorf("GetName: %q with %+v, want no descriptor", n.Body, n.Descriptor)
	}
}

// testVersions reads until the object is so old that its version is known; there is no event to wait for.
func testVersions(t *testing.T, cfg bucket.Config) {
	c := OpenWith(t, cfg, bucket.Options{})
	settled := func() bucket.Version {
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
			if v := get(t, c, "app").Version; !v.LastModified.IsZero() {
				return v
			}
		}
		t.Fatal("the version is still not known")
		return bucket.Version{}
	}
	put(t, c, "app", "{}", descriptor())
	if young := get(t, c, "app").Version; !young.LastModified.IsZero() {
		t.Errorf("GetName of what may be written again within its second: %+v, want no LastModified", young)
	}
	first := settled()
	if first.ETag == "" || strings.Contains(first.ETag, `"`) || first.Size != 2 {
		t.Errorf("GetName: %+v", first)
	}
	if listed := names(t, c, "")["app"]; listed != first {
		t.Errorf("ListNames has version %+v, GetName %+v", listed, first)
	}
	put(t, c, "app", "{}", nil) // the same bytes, without the metadata
	if listed := names(t, c, "")["app"]; listed == first {
		t.Errorf("the version is still %+v", listed)
	}
}

func testOddNames(t *testing.T, cfg bucket.Config) {
	c := OpenWith(t, cfg, bucket.Options{})
	odd := []string{
		"a b", "a+b", "a%b", "a%2Fb", "a%20b", "x:y", "q?x=1&y=2", "h#h", ".hidden", "..two", "dir/sub/T", "dir/.x/y",
		"größe", "日本/語", "🚀", `q"u'o<t>e`, "back\\slash", "semi;colon", "tilde~", "star*", "(paren)", "eq=", "@at", "e\u0301",
	}
	for _, name := range odd {
		put(t, c, name, "{}"+name, nil)
		if n := get(t, c, name); string(n.Body) != "{}"+name {
			t.Errorf("name %q is read as %q", name, n.Body)
		}
	}
	got := slices.Sorted(maps.Keys(names(t, c, "")))
	if want := slices.Sorted(slices.Values(odd)); !slices.Equal(got, want) {
		t.Errorf("listed\n%q, want\n%q", got, want)
	}
	for _, name := range odd {
		if got := names(t, c, name); len(got) != 1 {
			t.Errorf("names that begin with %q: %v", name, got)
		}
		if err := c.DeleteName(t.Context(), name); err != nil {
			t.Error(err)
		}
	}
	if got := names(t, c, ""); len(got) != 0 {
		t.Errorf("after all are deleted: %v", got)
	}
}

func testNamesByPrefix(t *testing.T, cfg bucket.Config) {
	c := OpenWith(t, cfg, bucket.Options{})
	for _, name := range []string{"app/one", "app/two", "application", "other"} {
		put(t, c, name, "{}", nil)
	}
	Put(t, c, []byte("a blob is no name"))
	for prefix, want := range map[string][]string{
		"":        {"app/one", "app/two", "application", "other"},
		"app":     {"app/one", "app/two", "application"},
		"app/":    {"app/one", "app/two"},
		"nowhere": nil,
	} {
		if got := slices.Sorted(maps.Keys(names(t, c, prefix))); !slices.Equal(got, want) {
			t.Errorf("names that begin with %q: %q, want %q", prefix, got, want)
		}
	}
}

// testNamesBeneathNames has names that are directories of others, which MinIO lists only with our help.
func testNamesBeneathNames(t *testing.T, cfg bucket.Config) {
	all := []string{"app", "app/v1", "app/v1/x", "app2", "odd%2Fname", "odd%2Fname/v1", "team/app", "team/app/v1", "team/app/v2"}
	c := OpenWith(t, cfg, bucket.Options{})
	listed := func(prefix string) []string { return slices.Sorted(maps.Keys(names(t, c, prefix))) }
	for _, name := range all {
		put(t, c, name, name, nil)
	}
	for _, name := range all {
		if err := c.EnsureListed(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	for prefix, want := range map[string][]string{"": all, "app": all[:4], "app/v1": all[1:3], "odd%2Fname": all[4:6], "team/app": all[6:], "team/app/": all[7:]} {
		if got := listed(prefix); !slices.Equal(got, want) {
			t.Errorf("names that begin with %q: %q, want %q", prefix, got, want)
		}
	}
	for _, name := range all {
		if got, want := names(t, c, name)[name].ETag, get(t, c, name).Version.ETag; got != want {
			t.Errorf("name %q has ETag %q in a listing, %q when it is read", name, got, want)
		}
	}
	for i, name := range all {
		if err := c.DeleteName(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		if got := listed(""); !slices.Equal(got, all[i+1:]) {
			t.Errorf("after %q is deleted: %q", name, got)
		}
	}
}

func testNoName(t *testing.T, cfg bucket.Config) {
	c := OpenWith(t, cfg, bucket.Options{})
	if _, err := c.GetName(t.Context(), "nowhere"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("GetName: %v, want fs.ErrNotExist", err)
	}
	if err := c.DeleteName(t.Context(), "nowhere"); err != nil {
		t.Errorf("DeleteName of what is not there: %v", err)
	}
	if err := c.PutName(t.Context(), "", []byte("{}"), nil); err == nil {
		t.Error("PutName of the empty name: no error")
	}
}

func testDeleteName(t *testing.T, cfg bucket.Config) {
	c := OpenWith(t, cfg, bucket.Options{})
	put(t, c, "app", "{}", nil)
	put(t, c, "other", "{}", nil)
	if err := c.DeleteName(t.Context(), "app"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetName(t.Context(), "app"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("GetName after DeleteName: %v, want fs.ErrNotExist", err)
	}
	if got := slices.Collect(maps.Keys(names(t, c, ""))); !slices.Equal(got, []string{"other"}) {
		t.Errorf("left: %q", got)
	}
}
