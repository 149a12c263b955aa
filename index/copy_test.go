package index

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestOpenCopyReadsWhatACrashLeft: another process writes names and is killed; the copy has them, and the
// original stays as it is, byte for byte.
func TestOpenCopyReadsWhatACrashLeft(t *testing.T) {
	if dir := os.Getenv("INDEX_TO_WRITE"); dir != "" {
		x := openAt(t, dir, quiet())
		must(t, x.PutName(Name{Name: "app", Closure: closureOf("a", "b")}))
		p, err := os.FindProcess(os.Getpid())
		must(t, err)
		must(t, p.Kill())
		select {}
	}
	dir := filepath.Join(t.TempDir(), "index")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestOpenCopyReadsWhatACrashLeft$")
	cmd.Env = append(os.Environ(), "INDEX_TO_WRITE="+dir)
	if out, err := cmd.CombinedOutput(); err == nil {
		t.Fatalf("it was not killed: %s", out)
	}
	before := contents(t, dir)
	x, discard, err := OpenCopy(dir, quiet())
	must(t, err)
	n, ok, err := x.Name("app")
	must(t, err)
	if !ok || len(n.Closure) != 2 {
		t.Errorf("the copy has %v %+v", ok, n)
	}
	must(t, discard())
	if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
		t.Errorf("the original has changed:\n%s", diff)
	}
}

// TestOpenCopyOfNothing is an error: an empty index would say that there are no names.
func TestOpenCopyOfNothing(t *testing.T) {
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), "missing")} {
		if _, _, err := OpenCopy(dir, quiet()); err == nil {
			t.Errorf("%s is opened", dir)
		}
	}
}

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files, err := os.ReadDir(dir)
	must(t, err)
	all := map[string]string{}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		must(t, err)
		all[f.Name()] = string(b)
	}
	return all
}
