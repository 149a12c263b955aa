package e2e

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
)

// places are directories and tags of a mount whose --s3 has name=main;second, and the names of type=s3 that
// they are. Some of them are directories of others.
var places = []struct {
	dir, tag string
	names    []string // of which the first is read
}{
	{"", "", []string{"main", "second"}},
	{"", "rooted", []string{"rooted"}},
	{"app", "", []string{"app"}},
	{"app", "v1", []string{"app/v1"}},
	{"app/v2", "", []string{"app/v2"}},
	{"a/b/c", "", []string{"a/b/c"}},
	{"a/b", "c/d", []string{"a/b/c/d"}},
}

// small is a build of two steps.
const small = "FROM scratch\nCOPY seed /\nCOPY seed /again\n"

// TestDirectoriesAreNames exports a build to every place, and imports each by its names with type=s3. Then it
// is the other way round, over what is there, and another host imports.
func TestDirectoriesAreNames(t *testing.T) {
	b := newBuilder(t)
	onEachServer(t, func(t *testing.T, s *server) {
		b.t = t
		c := s.config(t)
		h := newHostFor(t, csv(c, "name=main;second"))
		cached := func(dir, what, from string) {
			t.Helper()
			b.forget()
			if r := b.build(dir, "--import-cache", from); r.ran() > 0 {
				t.Errorf("%s is not a hit", what)
			}
		}
		first, second := contexts(t, 100), contexts(t, 200)
		for i, p := range places {
			b.build(first[i], "--export-cache", "type=local,mode=max,dest="+h.path(p.dir)+tagAttr(p.tag))
		}
		for i, p := range places {
			for _, name := range p.names {
				cached(first[i], "type=s3 of name "+name, "type=s3,name="+name+","+csv(c))
			}
			b.build(second[i], "--export-cache", "type=s3,mode=max,name="+p.names[0]+","+csv(c))
		}
		other := newHostFor(t, csv(c, "name=main;second"))
		for i, p := range places {
			cached(second[i], "/"+p.dir+" with tag "+p.tag, "type=local,src="+other.path(p.dir)+tagAttr(p.tag))
		}
	})
}

// contexts are builds that share nothing, one for each place. Their files differ in size, because BuildKit takes
// files of one size and time for one file, and they are made in no time.
func contexts(t testing.TB, size int) []string {
	t.Helper()
	var dirs []string
	for i := range places {
		dirs = append(dirs, contextOf(t, small, map[string]int{"seed": size + i}))
	}
	return dirs
}

func tagAttr(tag string) string {
	if tag == "" {
		return ""
	}
	return ",tag=" + tag
}

// folderEnv has this program serve a folder with versitygw itself, and addrEnv says where.
const (
	folderEnv = "LAYOUTFS_E2E_VERSITYGW"
	addrEnv   = "LAYOUTFS_E2E_ADDR"
)

func init() {
	if dir := os.Getenv(folderEnv); dir != "" {
		fmt.Fprintln(os.Stderr, serveFolder(dir, os.Getenv(addrEnv)))
		os.Exit(1)
	}
}

// serveFolder is versitygw on a folder without what layoutfs adds to it.
func serveFolder(dir, addr string) error {
	be, err := posix.New(dir, meta.XattrMeta{}, posix.PosixOpts{})
	if err != nil {
		return err
	}
	return embedgw.RunVersityGW(context.Background(), be, &embedgw.Config{
		RootUserAccess: "e2e", RootUserSecret: "e2e-secret", Region: "us-east-1", Ports: []string{addr},
		MaxConnections: 100, MaxRequests: 100, MultipartMaxParts: 10_000, KeepAlive: true, DisableACLs: true, Quiet: true, HealthPath: "/health",
	})
}

func startVersityGW(t testing.TB) *server {
	t.Helper()
	addr, err := freePort()
	must(t, err)
	p, err := startProcess(t.TempDir(), []string{folderEnv + "=" + t.TempDir(), addrEnv + "=" + addr}, os.Args[0])
	must(t, err)
	t.Cleanup(p.stop)
	must(t, p.awaitUp(func() bool { return answers("http://" + addr + "/health") }))
	return &server{endpoint: "http://" + addr, key: "e2e", secret: "e2e-secret"}
}

// TestNamesThatTheServerCannotKeep has a server that keeps objects as files, so that a tag cannot stand beside the
// latest of a directory. The export fails, what is there stays, and the reason is told.
func TestNamesThatTheServerCannotKeep(t *testing.T) {
	c := startVersityGW(t).config(t)
	b, h, dir := newBuilder(t), newHost(t, c), contextOf(t, small, map[string]int{"seed": 100})
	b.build(dir, "--export-cache", "type=local,mode=max,dest="+h.path("app"))
	r, err := b.try(dir, "--export-cache", "type=local,mode=max,tag=v1,dest="+h.path("app"))
	if err == nil || !strings.Contains(r.failures(), "index.json: input/output error") {
		t.Errorf("the export to a tag beside the latest ends with %v: %s", err, r.failures())
	}
	const reason = "this server keeps objects as files: it cannot hold both the names a and a/b"
	for what, text := range map[string]string{"status": h.do("status", h.mnt), "log": h.log()} {
		if !strings.Contains(text, reason) {
			t.Errorf("the %s does not say why: %s", what, text)
		}
	}
	b.forget()
	b.build(dir, "--import-cache", "type=local,src="+h.path("app")).wantAllCached(t)
}

// TestTagsByCommand gives names beneath another with the command, through a mount and past it, and copies one: another
// host shows them all, also on a server that does not list them.
func TestTagsByCommand(t *testing.T) {
	b := newBuilder(t)
	onEachServer(t, func(t *testing.T, s *server) {
		b.t = t
		c := s.config(t)
		h, dir := newHost(t, c), contextOf(t, small, map[string]int{"seed": 100})
		b.build(dir, "--export-cache", "type=local,mode=max,dest="+h.path("app"))
		h.do("tag", "--layout", h.mnt, "app", "app/mounted")
		h.do("tag", "--s3", csv(c), "app", "app/direct")
		h.do("push", "--s3", csv(c), "--as", "app/pushed", h.path("app"), "latest")

		var tags []string
		for _, d := range entriesOf(t, newHost(t, c).path("app")) {
			tags = append(tags, d.Annotations[ocispec.AnnotationRefName])
		}
		slices.Sort(tags)
		if want := []string{"direct", "latest", "mounted", "pushed"}; !slices.Equal(tags, want) {
			t.Errorf("another host shows %q, want %q", tags, want)
		}
	})
}
