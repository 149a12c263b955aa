package fs

import (
	"errors"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
)

// TestWhatClientsAreToldAsEIOIsTold, with its cause and what it was about, to whoever mounts.
func TestWhatClientsAreToldAsEIOIsTold(t *testing.T) {
	var mu sync.Mutex
	var told []string
	r := testMount(t, func(o *Options) {
		o.Failed = func(err error) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, err.Error())
		}
	})
	r.blobs.onCommit = func(string, digest.Digest) error { return errors.New("the disk is broken") }
	d := digest.FromString("x")
	if err := os.WriteFile(r.blob(d), []byte("x"), 0o644); err == nil {
		t.Fatal("a blob is written that cannot be kept")
	}
	mu.Lock()
	defer mu.Unlock()
	if len(told) != 1 || !strings.Contains(told[0], "the disk is broken") || !strings.Contains(told[0], d.Encoded()) {
		t.Errorf("it is told of %q", told)
	}
}
