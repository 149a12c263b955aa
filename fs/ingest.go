package fs

import (
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/opencontainers/go-digest"
)

// containerd's content store, and so BuildKit, writes a blob to ingest/ID/data. Before that it writes beside it
// what it is called (ref) and how large it will be (total), if it knows:
// https://github.com/containerd/containerd/blob/v2.2.0/plugins/content/local/store.go.
const (
	ingestData  = "data"
	ingestRef   = "ref"
	ingestTotal = "total"
)

// announce tells of a file that has been opened for writing, if it says which blob it is to be.
func (n *file) announce(h *scratchHandle) {
	p, ok := n.t.blobs.(Preparer)
	if !ok || !h.writes {
		return
	}
	_ = n.t.at(&n.at, func(path string) error {
		if filepath.Base(path) != ingestData {
			return nil
		}
		d, size, ok := readIngest(filepath.Dir(path))
		if ok {
			p.Expect(path, d, size)
		}
		return nil
	})
}

// readIngest reads what a folder of an ingest says of its data.
func readIngest(folder string) (d digest.Digest, size int64, ok bool) {
	size, err := strconv.ParseInt(readLine(filepath.Join(folder, ingestTotal)), 10, 64)
	if err != nil || size <= 0 {
		return "", 0, false
	}
	ref := readLine(filepath.Join(folder, ingestRef))
	d, err = digest.Parse(ref[strings.LastIndexByte(ref, '-')+1:]) // layer-sha256:…
	return d, size, err == nil
}

// readLine reads a file of one short line; "" if it is something else.
func readLine(path string) string {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return ""
	}
	defer f.Close()
	b, _ := io.ReadAll(io.LimitReader(f, 4<<10))
	return strings.TrimSpace(string(b))
}
