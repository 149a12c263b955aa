package e2e

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/inspect"
	"github.com/layoutfs/layoutfs/inspect/layer"
	"github.com/layoutfs/layoutfs/inspect/source"
	"github.com/layoutfs/layoutfs/sync/bucket"
)

// jsonLines decodes what --format json prints.
func jsonLines[T any](t testing.TB, out string) []T {
	t.Helper()
	var all []T
	for line := range strings.Lines(out) {
		var v T
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		all = append(all, v)
	}
	return all
}

// TestFiguresAgree holds what the commands say of real caches and an image, in every compression, against what
// others say: skopeo, tar, BuildKit, and the bucket's own listing.
func TestFiguresAgree(t *testing.T) {
	b := newBuilder(t)
	c := anyServer(t).config(t)
	host := newHost(t, c)
	dir, plain := newContext(t), filepath.Join(t.TempDir(), "plain")
	for _, compression := range compressions { // of one build that exports several the caches are the same
		b.build(dir, "--export-cache", fmt.Sprintf("type=local,mode=max,dest=%s,compression=%s,force-compression=true", host.path(compression), compression))
	}
	b.build(dir, "--output", "type=local,dest="+plain, "--output", "type=oci,tar=false,name=image,dest="+host.path("image"))
	run(t, tool(t, "skopeo"), "copy", "-q", "--dest-compress-format", "zstd:chunked", "oci:"+host.path("image"), "oci:"+host.path("chunked"))

	names := append(slices.Clone(compressions), "image", "chunked")
	listed := map[string]inspect.Summary{}
	for _, s := range jsonLines[inspect.Summary](t, stdout(host, "ls", "--format", "json")) {
		listed[s.Name] = s
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			testSizes(t, host, name, listed)
			testLayers(t, host, name)
		})
	}
	t.Run("files of the result", func(t *testing.T) { testFiles(t, host, names, plain) })
	t.Run("usage", func(t *testing.T) { testUsage(t, host, c) })
	t.Run("times", func(t *testing.T) { testTimes(t, b, host) })
}

// nameOf is what a layout that was written to a directory of the mount is called: an image has its own name.
func nameOf(listed map[string]inspect.Summary, dir string) string {
	for name := range listed {
		if name == dir || strings.HasPrefix(name, dir+"/") {
			return name
		}
	}
	return dir
}

// testSizes compares with skopeo: manifest, config and layers.
func testSizes(t *testing.T, host *host, name string, listed map[string]inspect.Summary) {
	var m ocispec.Manifest
	must(t, json.Unmarshal([]byte(run(t, tool(t, "skopeo"), "inspect", "--raw", "oci:"+host.path(name))), &m))
	s := listed[nameOf(listed, name)]
	want := m.Config.Size + int64(len(run(t, tool(t, "skopeo"), "inspect", "--raw", "oci:"+host.path(name))))
	once := map[string]bool{} // a cache lists a layer for each of its places
	for _, l := range m.Layers {
		if !once[l.Digest.String()] {
			once[l.Digest.String()] = true
			want += l.Size
		}
	}
	if s.Size != want || s.Layers != len(once) || s.Blobs != len(once)+2 || s.Missing != 0 || s.Broken != "" {
		t.Errorf("%s has %d layers and %d bytes by skopeo, and is listed as %+v", name, len(once), want, s)
	}
}

// fileLine is a line of `layoutfs files --format json`.
type fileLine struct {
	Path    string `json:"path"`
	Mode    string `json:"mode"`
	UID     int    `json:"uid"`
	GID     int    `json:"gid"`
	Size    int64  `json:"size"`
	Link    string `json:"link"`
	Hard    bool   `json:"hard_link"`
	Deletes string `json:"deletes"`
}

// stdout is what a command prints, without its progress.
func stdout(h *host, args ...string) string {
	h.t.Helper()
	cmd := exec.CommandContext(h.t.Context(), layoutfs, args...)
	cmd.Env = append(os.Environ(), "LAYOUTFS_RUNTIME_DIR="+h.run)
	out, err := cmd.Output()
	if err != nil {
		h.t.Fatalf("layoutfs %v: %v\n%s", args, err, h.do(args...))
	}
	return string(out)
}

// testLayers compares every layer with what tar lists.
func testLayers(t *testing.T, host *host, name string) {
	src, err := source.OpenLayout(host.path(name))
	must(t, err)
	for n, err := range src.Names(t.Context()) {
		must(t, err)
		c, err := inspect.Read(t.Context(), src, n.Name, "")
		must(t, err)
		once := map[string]bool{}
		for _, d := range c.Layers {
			if once[d.Digest.String()] {
				continue
			}
			once[d.Digest.String()] = true
			var got []string
			for e, err := range c.Files(t.Context(), []ocispec.Descriptor{d}, true) {
				must(t, err)
				got = append(got, asTar(e))
			}
			if diff := cmp.Diff(tarList(t, host.path("blobs", "sha256", d.Digest.Encoded())), got); diff != "" {
				t.Errorf("layer %s (-tar +layoutfs):\n%s", d.Digest, diff)
			}
		}
	}
}

// asTar is an entry as tarList has it.
func asTar(e layer.Entry) string {
	mode, size, link := e.Mode.String(), e.Size, ""
	switch {
	case e.Hides != layer.Nothing:
		return "deletes " + e.Path
	case e.Hard:
		mode, link = "h"+mode[1:], " link to "+e.Link
	case e.Mode&fs.ModeSymlink != 0:
		mode, link = "l"+mode[1:], " -> "+e.Link
	}
	return fmt.Sprintf("%s %d/%d %d %s%s", mode, e.UID, e.GID, size, e.Path, link)
}

// tarList is what GNU tar lists of a blob: mode, owner, size, path.
func tarList(t *testing.T, blob string) []string {
	t.Helper()
	cmd := "zstd -dcq"
	if b, err := os.ReadFile(blob); err != nil {
		t.Fatal(err)
	} else if b[0] == 0x1f {
		cmd = "gzip -dcq"
	} else if b[0] != 0x28 {
		cmd = "cat"
	}
	out, err := exec.CommandContext(t.Context(), "bash", "-c", cmd+` "$0" 2>/dev/null | tar --numeric-owner --quoting-style=literal -tvf -`, blob).Output()
	must(t, err)
	var lines []string
	for line := range strings.Lines(string(out)) {
		f := strings.SplitN(strings.TrimRight(line, "\n"), " ", 2)
		rest := strings.Fields(f[1])
		name := strings.SplitN(line, rest[3]+" ", 2)[1] // what is behind the time may have spaces
		name = strings.TrimSuffix(strings.TrimRight(name, "\n"), "/")
		dir, base := filepath.Split(name)
		switch {
		case name == "stargz.index.json", strings.HasSuffix(name, "prefetch.landmark"):
		case strings.HasPrefix(base, ".wh."):
			lines = append(lines, "deletes "+dir+strings.TrimPrefix(base, ".wh."))
		default:
			lines = append(lines, strings.Join([]string{f[0], rest[0], rest[1], name}, " "))
		}
	}
	return lines
}

// testFiles compares the merged file system with what BuildKit exported, and one file byte by byte.
func testFiles(t *testing.T, host *host, names []string, plain string) {
	want := map[string]int64{}
	for path, e := range tree(t, plain) {
		want[strings.TrimPrefix(path, "/")] = e.Size
	}
	for _, name := range names {
		full := strings.TrimSpace(stdout(host, "ls", "-q", name, name+"/"))
		got := map[string]int64{}
		for _, f := range jsonLines[fileLine](t, stdout(host, "files", "--format", "json", full)) {
			got[f.Path] = f.Size
			if f.Hard {
				got[f.Path] = want[f.Path] // has the size of what it links to, which a layer does not repeat
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-exported +layoutfs):\n%s", name, diff)
		}
		for _, path := range []string{"right/large", "right/a name with ü and spaces", "links/link"} {
			content, err := os.ReadFile(filepath.Join(plain, path))
			if os.IsNotExist(err) { // a link to where nothing is
				continue
			}
			must(t, err)
			if out := stdout(host, "cat", full, path); out != string(content) {
				t.Errorf("%s: %s has %d bytes, not %d", name, path, len(out), len(content))
			}
		}
	}
}

// testUsage compares the totals with the bucket's listing, before and after somebody leaves a blob behind.
func testUsage(t *testing.T, host *host, c bucket.Config) {
	client := anyServer(t).client(t, c)
	lone := "a blob that no name reaches"
	must(t, client.PutBlob(t.Context(), digest.FromString(lone), strings.NewReader(lone), int64(len(lone))))
	var want int64
	for _, size := range blobsOf(t, client) {
		want += size
	}
	for _, where := range [][]string{nil, {"--s3", csv(c)}} {
		out := stdout(host, append([]string{"du", "--format", "table"}, where...)...)
		total := fmt.Sprintf("in %d blobs\n", len(blobsOf(t, client)))
		if !strings.HasSuffix(out, total) || !strings.Contains(out, "Reclaimable:") {
			t.Errorf("%v: the bucket has %d blobs:\n%s", where, len(blobsOf(t, client)), out)
		}
		var sum int64
		for _, n := range jsonLines[inspect.NameUsage](t, stdout(host, append([]string{"du", "--format", "json"}, where...)...)) {
			sum += n.Unique.Bytes
		}
		if sum > want {
			t.Errorf("%v: names have %d bytes for themselves, and the bucket has %d", where, sum, want)
		}
	}
}

// testTimes finds each layer's time of creation among those that `buildctl du` tells.
func testTimes(t *testing.T, b *builder, host *host) {
	out := run(t, tool(t, "buildctl"), "--addr", b.addr, "du", "--verbose")
	made := 0
	for _, l := range jsonLines[inspect.Document](t, stdout(host, "inspect", "--format", "json", "gzip"))[0].Layers {
		at := l.CreatedAt.UTC().Format("2006-01-02 15:04:05.999999999 +0000 UTC")
		if strings.Contains(out, at) {
			made++
		}
	}
	if made == 0 {
		t.Errorf("no layer's time is one of buildctl du:\n%s", out)
	}
}

// TestWhyOnRealBuilds changes one line of a Dockerfile, or one file that is copied; the step that BuildKit ran
// for it is the one that is told, from the caches with the log and from the log alone.
func TestWhyOnRealBuilds(t *testing.T) {
	b := newBuilder(t)
	host := newHost(t, anyServer(t).config(t))
	dir := newContext(t)
	b.build(dir, "--export-cache", "type=local,mode=max,dest="+host.path("base"))
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		return string(text)
	}
	tests := []struct {
		name, file string
		change     func(string) string
		step       string
		reason     string
	}{
		{
			"a line", "Dockerfile", func(s string) string { return strings.Replace(s, "cut -c1-64", "cut -c1-63", 1) },
			"[left 2/3] RUN busybox sha256sum", "operation",
		},
		{"a file", "large", func(s string) string { return "x" + s[1:] }, "[right 1/2] COPY large /data/large", "input"},
		{
			"a line early on", "Dockerfile", func(s string) string { return strings.Replace(s, "echo base", "echo BASE", 1) },
			"[base 3/3] RUN mkdir", "operation",
		},
	}
	for i, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			b.t = t
			was := read(tc.file)
			must(t, os.WriteFile(filepath.Join(dir, tc.file), []byte(tc.change(was)), 0o644))
			b.forget()
			name := fmt.Sprint("changed", i)
			built := b.build(dir, "--import-cache", "type=local,src="+host.path("base"), "--export-cache", "type=local,mode=max,dest="+host.path(name))
			must(t, os.WriteFile(filepath.Join(dir, tc.file), []byte(was), 0o644))
			log := filepath.Join(t.TempDir(), "log")
			must(t, os.WriteFile(log, []byte(built.log), 0o644))

			why := jsonLines[inspect.Why](t, stdout(host, "why", "base", name, "--from-build", log, "--format", "json"))[0]
			if len(why.Departures) != 1 || !strings.HasPrefix(why.Departures[0].Step, tc.step) || string(why.Departures[0].Reason) != tc.reason {
				t.Errorf("it is not %q (%s) alone: %+v", tc.step, tc.reason, why)
			}
			alone := jsonLines[inspect.Why](t, stdout(host, "why", "--from-build", log, "--format", "json"))[0]
			if len(alone.Departures) != 1 || !strings.HasPrefix(alone.Departures[0].Step, tc.step) {
				t.Errorf("by its log alone it is not %q: %+v", tc.step, alone)
			}
			if ran := built.ran(); why.Log == nil || why.Log.Ran < ran {
				t.Errorf("%d steps ran, and the log is read as %+v", ran, why.Log)
			}
			diff := jsonLines[inspect.Diff](t, stdout(host, "diff", "base", name, "--format", "json"))[0]
			if diff.Records.OnlyB.Blobs == 0 || diff.Layers.Both.Blobs == 0 || diff.Layers.OnlyB.Blobs == 0 {
				t.Errorf("diff: %+v", diff)
			}
		})
	}
	b.t = t
	again := "again"
	b.forget()
	b.build(dir, "--import-cache", "type=local,src="+host.path("base"), "--export-cache", "type=local,mode=max,dest="+host.path(again))
	if why := jsonLines[inspect.Why](t, stdout(host, "why", "base", again, "--format", "json"))[0]; len(why.Departures) != 0 || why.Unknown != 0 {
		t.Errorf("an unchanged build left the cache: %+v", why)
	}
}

// TestWhyOfPlainAndBuildxLogs tells the step at which a build left its cache from the logs that people have: those of
// buildctl and of docker buildx, plain and as JSON.
func TestWhyOfPlainAndBuildxLogs(t *testing.T) {
	b := newBuilder(t)
	d, host, dir := newRemote(t, b), newHost(t, anyServer(t).config(t)), newContext(t)
	b.build(dir, "--export-cache", "type=local,mode=max,dest="+host.path("base"))
	large := filepath.Join(dir, "large")
	content, err := os.ReadFile(large)
	must(t, err)
	must(t, os.WriteFile(large, append([]byte("x"), content[1:]...), 0o644))
	from, src := "type=local,src="+host.path("base"), []string{"--local", "context=" + dir, "--local", "dockerfile=" + dir}
	buildctl := func(progress string) []string {
		return append([]string{tool(t, "buildctl"), "--addr", b.addr, "build", "--frontend", "dockerfile.v0", "--progress", progress, "--import-cache", from}, src...)
	}
	buildx := func(progress string) []string {
		return []string{tool(t, "buildx"), "build", "--progress", progress, "--cache-from", from, dir}
	}
	for name, cmd := range map[string][]string{
		"buildctl plain": buildctl("plain"), "buildctl rawjson": buildctl("rawjson"), "buildx plain": buildx("plain"), "buildx rawjson": buildx("rawjson"),
	} {
		t.Run(name, func(t *testing.T) {
			b.t = t
			b.forget()
			out, err := try(t, d.env, cmd[0], cmd[1:]...)
			if err != nil {
				t.Fatalf("%v: %v\n%s", cmd, err, out)
			}
			log := filepath.Join(t.TempDir(), "log")
			must(t, os.WriteFile(log, []byte(out), 0o644))
			why := jsonLines[inspect.Why](t, stdout(host, "why", "--from-build", log, "--format", "json"))[0]
			if len(why.Departures) == 0 || !strings.HasPrefix(why.Departures[0].Step, "[right 1/2] COPY large") {
				t.Errorf("it is not the COPY of the file that was changed: %+v\n%s", why, out)
			}
		})
	}
	b.t = t
}
