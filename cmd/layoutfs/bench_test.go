package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// program runs the program itself, and gives what it prints.
func program(tb testing.TB, args ...string) string {
	tb.Helper()
	cmd := exec.Command("layoutfs", args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		tb.Fatalf("layoutfs %v: %v\n%s%s", args, err, out, stderr.String())
	}
	return string(out)
}

// BenchmarkListMount lists 10,000 names that reach 1,000,000 blobs, of a running mount: in less than a second.
func BenchmarkListMount(b *testing.B) {
	const names, blobs, most = 10_000, 100, time.Second
	v := newVast(names, blobs)
	b.Setenv("LAYOUTFS_RUNTIME_DIR", filepath.Join(b.TempDir(), "run"))
	mnt := filepath.Join(b.TempDir(), "mnt")
	if err := os.Mkdir(mnt, 0o755); err != nil {
		b.Fatal(err)
	}
	program(b, "mount", "-d", "--s3", v.start(b), "--cache-dir", filepath.Join(b.TempDir(), "cache"), mnt)
	b.Cleanup(func() { program(b, "umount", "--force", mnt) })
	list := func() {
		out := program(b, "ls", "--format", "{{.Blobs}}")
		if got, want := strings.Count(out, "100\n"), names; got != want {
			b.Fatalf("%d names have 100 blobs, and not %d: %.2000s\n%v", got, want, program(b, "ls"), v.calls)
		}
	}
	began := time.Now()
	list() // reads what each name reaches
	b.Logf("the first listing took %s", time.Since(began))
	for b.Loop() {
		began := time.Now()
		list()
		if took := time.Since(began); took > most {
			b.Errorf("it took %s", took)
		}
	}
	b.ReportMetric(names, "names")
	b.ReportMetric(names*blobs, "blobs")
}
