package fs

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// rig is a mount with everything behind it.
type rig struct {
	mnt   string
	local string // its scratch
	blobs *fakeBlobs
	names *fakeNames
	srv   *Server
	log   *logBuffer
}

// logBuffer is a log that a test reads while it is written.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// testMount mounts for a test, for real.
func testMount(t *testing.T, change ...func(*Options)) *rig {
	t.Helper()
	dir := t.TempDir()
	r := &rig{mnt: filepath.Join(dir, "mnt"), local: filepath.Join(dir, "scratch"), log: &logBuffer{}}
	r.blobs = newFakeBlobs(t, filepath.Join(dir, "blobs"))
	r.names = newFakeNames()
	for _, d := range []string{r.mnt, r.local} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r.mount(t, change...)
	return r
}

func (r *rig) mount(t *testing.T, change ...func(*Options)) {
	t.Helper()
	o := Options{
		Blobs: r.blobs, Names: r.names, Scratch: r.local, Umask: 0o022,
		Log: slog.New(slog.NewTextHandler(r.log, nil)),
	}
	for _, f := range change {
		f(&o)
	}
	srv, err := Mount(t.Context(), r.mnt, o)
	if err != nil {
		t.Fatal(err)
	}
	r.srv = srv
	t.Cleanup(func() {
		if err := srv.Unmount(); err != nil {
			t.Errorf("unmount: %v", err)
			_ = srv.Detach()
		}
		if strings.Contains(r.log.String(), "unforeseen") {
			t.Errorf("a request panicked:\n%s", r.log)
		}
	})
}

func (r *rig) path(elem ...string) string {
	return filepath.Join(append([]string{r.mnt}, elem...)...)
}

func TestSmoke(t *testing.T) {
	r := testMount(t)
	t.Log(r.srv.Passthrough())
	es, err := os.ReadDir(r.mnt)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(es)
	d := r.blobs.add(t, []byte("hello"))
	p := r.path("blobs", "sha256", d.Encoded())
	b, err := os.ReadFile(p)
	t.Log(string(b), err, r.blobs.reads.Load())
	st, err := os.Stat(p)
	t.Log(st, err)
	b, err = os.ReadFile(r.path("index.json"))
	t.Log(string(b), err)
	if err := os.WriteFile(r.path("x"), []byte("xx"), 0o644); err != nil {
		t.Error(err)
	}
	t.Log(r.log)
}
