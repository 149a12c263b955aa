package fs

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// FuzzText holds that a text is what a file would be, and that the snapshot which it began with does not change.
func FuzzText(f *testing.F) {
	f.Add([]byte("snapshot"), []byte{0, 3, 4, 'a', 'b', 1, 2, 0, 200, 1, 'x'})
	f.Add([]byte{}, []byte{1, 255})
	f.Fuzz(func(t *testing.T, snapshot, script []byte) {
		kept := bytes.Clone(snapshot)
		got := text{bytes: snapshot}
		model := bytes.Clone(snapshot)
		for len(script) >= 3 {
			op, off, n := script[0], int(script[1]), min(int(script[2]), len(script)-3)
			script = script[3:]
			if op%2 == 0 {
				model = append(model, make([]byte, max(0, off+n-len(model)))...)
				copy(model[off:], script[:n])
				if errno := got.writeAt(script[:n], int64(off)); errno != 0 {
					t.Fatalf("write %d at %d: %v", n, off, errno)
				}
				script = script[n:]
			} else {
				model = append(model, make([]byte, max(0, off-len(model)))...)[:off]
				if errno := got.truncate(int64(off)); errno != 0 {
					t.Fatalf("truncate to %d: %v", off, errno)
				}
			}
		}
		if !bytes.Equal(got.bytes, model) {
			t.Errorf("it is %q; want %q", got.bytes, model)
		}
		if !bytes.Equal(snapshot, kept) {
			t.Errorf("the snapshot is %q now; it was %q", snapshot, kept)
		}
	})
}

// FuzzTextBounds holds that no offset makes a text grow beyond its bound.
func FuzzTextBounds(f *testing.F) {
	f.Add(int64(maxDocument), int64(maxDocument))
	f.Add(int64(-1), int64(-1))
	f.Add(int64(1<<63-1), int64(1<<63-1))
	f.Fuzz(func(t *testing.T, off, size int64) {
		var got text
		if off > 1<<20 && off < maxDocument || size > 1<<20 && size <= maxDocument {
			t.Skip("this is right, and large")
		}
		written, cut := got.writeAt([]byte("x"), off), got.truncate(size)
		if (written == 0) != (off >= 0 && off < maxDocument) || (cut == 0) != (size >= 0 && size <= maxDocument) {
			t.Errorf("write at %d: %v, truncate to %d: %v", off, written, size, cut)
		}
	})
}

// FuzzIsObject holds that what is published is one JSON object.
func FuzzIsObject(f *testing.F) {
	for _, s := range []string{"{}", " {}\n", emptyIndex, "null", "[]", "{}{}", "{", `{"a":1}x`, "\ufeff{}", `"{"`, ""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var object map[string]json.RawMessage
		want := json.Unmarshal(b, &object) == nil && object != nil
		if got := isObject(b); got != want {
			t.Errorf("%q is an object: %t; want %t", b, got, want)
		}
	})
}

// FuzzBlobName holds that what has the name of a blob has a valid digest, and is one file.
func FuzzBlobName(f *testing.F) {
	for _, name := range []string{digest.FromBytes(nil).Encoded(), strings.ToUpper(digest.FromBytes(nil).Encoded()), "", "..", "a/b", "tmp"} {
		f.Add("sha256", name)
	}
	f.Add("sha512", digest.SHA512.FromBytes(nil).Encoded())
	f.Add("sha256+b64u", "x")
	f.Add("", "x")
	f.Fuzz(func(t *testing.T, alg, name string) {
		if !algorithm(alg) {
			return // it has no directory
		}
		d, ok := blobName(digest.Algorithm(alg), name)
		if !ok {
			return
		}
		if d.Validate() != nil || d.Encoded() != name || d.Algorithm().String() != alg || filepath.Base(name) != name || len(name) > maxName {
			t.Errorf("%q in %q is taken for the blob %q", name, alg, d)
		}
	})
}

// FuzzDirectories holds that what is listed of the names in a bucket can be a directory, and is no other thing.
func FuzzDirectories(f *testing.F) {
	for _, name := range []string{"app", "index.json", "..", "a/b", "\x00", "", strings.Repeat("n", 256), "ingest", "a\nb"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		for _, dir := range directories([]string{name, "app"}) {
			if dir != name && dir != "app" || filepath.Join("/", dir) != "/"+dir || fixed(dir) || reserved(dir) || len(dir) > maxName ||
				strings.ContainsRune(dir, 0) || dir == "" {
				t.Errorf("%q is listed", dir)
			}
		}
	})
}

// FuzzCheckLayout holds that an oci-layout is accepted if it is one of this version.
func FuzzCheckLayout(f *testing.F) {
	for _, s := range []string{layoutContent, "{}", "", `{"imageLayoutVersion":1}`, "null"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var l struct {
			Version string `json:"imageLayoutVersion"`
		}
		want := json.Unmarshal(b, &l) == nil && l.Version == "1.0.0"
		if err := checkLayout(b); (err == nil) != want {
			t.Errorf("%q: %v", b, err)
		}
	})
}
