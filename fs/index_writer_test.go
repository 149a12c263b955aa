package fs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// buildKitPut is how BuildKit updates an index.json (client/ociindex): it does not read the error of close.
func buildKitPut(path, content string) (before string, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		return "", err
	}
	if _, err := f.WriteAt([]byte(content), 0); err != nil {
		return "", err
	}
	return string(b), f.Truncate(int64(len(content)))
}

func TestBuildKitWritesTheIndex(t *testing.T) {
	r := testMount(t)
	was := emptyIndex
	var want []publication
	// Longer, shorter, of the same length, and the same.
	for _, content := range []string{indexOf("a", "b", "c"), indexOf("a"), indexOf("b"), indexOf("b")} {
		before, err := buildKitPut(r.path("index.json"), content)
		if err != nil || before != was {
			t.Errorf("it read %q, %v; want %q", before, err, was)
		}
		want = append(want, publication{"", was, content})
		r.wantPublished(t, want...)
		wantContent(t, r.path("index.json"), []byte(content))
		was = content
	}
}

func TestIndexIsWrittenInAllWays(t *testing.T) {
	r := testMount(t)
	r.names.set("", indexOf("x", "y"))
	before, content := indexOf("x", "y"), indexOf("z")
	source := t.TempDir() + "/source"
	put(t, source, []byte(content))
	for name, write := range map[string]func(path string) error{
		"os.WriteFile":   func(path string) error { return os.WriteFile(path, []byte(content), 0o644) },
		"BuildKit":       func(path string) error { _, err := buildKitPut(path, content); return err },
		"redirection":    inShell(`cat "$2" > "$1"`, source),
		"cp":             inShell(`cp "$2" "$1"`, source),
		"cp by renaming": inShell(`cp --remove-destination "$2" "$1.tmp" && mv "$1.tmp" "$1"`, source),
		"dd":             inShell(`dd if="$2" of="$1" bs=64 status=none`, source),
		"dd with fsync":  inShell(`dd if="$2" of="$1" conv=fsync status=none`, source),
		"tee":            inShell(`tee "$1" < "$2" >/dev/null`, source),
		"O_APPEND": func(path string) error {
			f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC|os.O_APPEND, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteString(content[:50])
			_, rest := f.WriteString(content[50:])
			return errors.Join(err, rest, f.Close())
		},
		"sed -i":         inShell(`cat "$2" > "$1" && sed -i s/nothing// "$1"`, source),
		"read and write": inShell(`exec 3<> "$1" && head -c 9999999 <&3 >/dev/null && cp "$2" "$1" && exec 3>&-`, source),
	} {
		r.names.set("", before)
		if err := write(r.path("index.json")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		wantContent(t, r.path("index.json"), []byte(content))
	}
}

// A line break at the end is no change of anything, but a valid one.
func TestIndexIsAppendedTo(t *testing.T) {
	r := testMount(t)
	mustShell(t, `printf '\n' >> "$1"`, r.path("index.json"))
	r.wantPublished(t, publication{"", emptyIndex, emptyIndex + "\n"})
	f := openFile(t, r.path("index.json"), os.O_WRONLY|os.O_TRUNC|os.O_APPEND)
	half := len(emptyIndex) / 2
	_, err := f.WriteString(emptyIndex[:half])
	must(t, err)
	wantContent(t, r.path("index.json"), []byte(emptyIndex+"\n")) // Linux takes that for the length of the file now
	_, err = f.WriteString(emptyIndex[half:] + "\n")
	must(t, err)
	wantErrno(t, "close of what was appended in parts", f.Close(), 0)
	said, err := shell(`echo more >> "$1"`, r.path("index.json"))
	if got, readErr := os.ReadFile(r.path("index.json")); readErr != nil || string(got) != emptyIndex+"\n" {
		t.Errorf("appending nonsense (%s, %v) left %q, %v", said, err, got, readErr)
	}
}

func inShell(script, source string) func(path string) error {
	return func(path string) error {
		said, err := shell(script, path, source)
		if err != nil {
			return fmt.Errorf("%w: %s", err, said)
		}
		return nil
	}
}

func TestIndexIsPublishedOnceByAWriter(t *testing.T) {
	r := testMount(t)
	r.names.set("", indexOf("x"))
	must(t, os.WriteFile(r.path("index.json"), []byte(indexOf("a")), 0o644))
	r.wantPublished(t, publication{"", indexOf("x"), indexOf("a")})
}

// Where BuildKit looks for an error is the truncation, and other programs at close.
func TestFailureToPublishIsReported(t *testing.T) {
	r := testMount(t)
	outage := errors.New("the bucket does not answer")
	r.names.failWith(outage)
	_, err := buildKitPut(r.path("index.json"), indexOf("a"))
	wantErrno(t, "ftruncate", err, syscall.EIO)
	wantErrno(t, "close", os.WriteFile(r.path("index.json"), []byte(indexOf("a")), 0o644), syscall.EIO)
	f := openFile(t, r.path("index.json"), os.O_WRONLY|os.O_TRUNC)
	_, err = f.WriteString(indexOf("a"))
	must(t, err)
	wantErrno(t, "fsync", f.Sync(), syscall.EIO)
	r.names.failWith(nil)
	wantErrno(t, "close when it answers again", f.Close(), 0)
	r.wantPublished(t, publication{"", emptyIndex, indexOf("a")})
	r.names.failWith(fmt.Errorf("publish: %w", os.ErrPermission))
	wantErrno(t, "what is not allowed", os.WriteFile(r.path("index.json"), []byte(indexOf("b")), 0o644), syscall.EPERM)
}

// What BuildKit could not publish at its truncation is published at its close, whose error it ignores.
func TestCloseTriesToPublishOnceMore(t *testing.T) {
	r := testMount(t)
	f := openFile(t, r.path("index.json"), os.O_RDWR|os.O_CREATE)
	_, err := f.WriteAt([]byte(indexOf("a")), 0)
	must(t, err)
	r.names.failWith(errors.New("the bucket does not answer"))
	wantErrno(t, "ftruncate", f.Truncate(int64(len(indexOf("a")))), syscall.EIO)
	r.names.failWith(nil)
	must(t, f.Close())
	r.wantPublished(t, publication{"", emptyIndex, indexOf("a")})
}

func TestIncompleteIndexIsNotPublished(t *testing.T) {
	r := testMount(t)
	whole := indexOf("a", "b")
	r.names.set("", indexOf("kept"))
	for name, content := range map[string]string{
		"half": whole[:len(whole)/2], "two": whole + whole, "an array": "[" + whole + "]", "no JSON": "manifests: []",
		"a string": `"manifests"`, "zeros": string(make([]byte, 100)), "null": "null",
	} {
		wantErrno(t, name+": close", os.WriteFile(r.path("index.json"), []byte(content), 0o644), syscall.EIO)
		wantContent(t, r.path("index.json"), []byte(indexOf("kept")))
	}
	r.wantPublished(t)
}

// A program that ends in the midst of writing, and so closes, has published nothing.
func TestIndexOfAWriterThatWasKilled(t *testing.T) {
	r := testMount(t)
	_, err := shell(`exec 3> "$1"; printf '{"manifests": [' >&3; kill -9 $$`, r.path("index.json"))
	if err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the writer ended with %v", err)
	}
	r.wantPublished(t)
	wantContent(t, r.path("index.json"), []byte(emptyIndex))
}

func TestOpenForWritingPublishesNothingByItself(t *testing.T) {
	r := testMount(t)
	r.names.set("", indexOf("kept"))
	for _, flags := range []int{os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC, os.O_RDWR | os.O_CREATE | os.O_TRUNC, os.O_WRONLY | os.O_APPEND} {
		must(t, openFile(t, r.path("index.json"), flags).Close())
		wantContent(t, r.path("index.json"), []byte(indexOf("kept")))
	}
	f := openFile(t, r.path("index.json"), os.O_RDWR)
	must(t, f.Truncate(0))
	must(t, f.Truncate(int64(len(indexOf("kept")))))
	must(t, f.Close())
	wantContent(t, r.path("index.json"), []byte(indexOf("kept")))
	r.wantPublished(t)
}

// Each writer changes what it opened; what the other one did meanwhile is not a change of its own.
func TestTwoWritersOfTheIndex(t *testing.T) {
	r := testMount(t)
	r.names.set("", indexOf("x"))
	a := openFile(t, r.path("index.json"), os.O_RDWR)
	b := openFile(t, r.path("index.json"), os.O_RDWR)
	for _, w := range []struct {
		f       *os.File
		content string
	}{{a, indexOf("x", "a")}, {b, indexOf("x", "b")}} {
		_, err := w.f.WriteAt([]byte(w.content), 0)
		must(t, err)
	}
	wantSize(t, a, int64(len(indexOf("x", "a")))) // of either: they are equally long
	must(t, a.Close())
	must(t, b.Close())
	r.wantPublished(t, publication{"", indexOf("x"), indexOf("x", "a")}, publication{"", indexOf("x"), indexOf("x", "b")})
}

// Each further change of one handle is one against what it published before.
func TestWriterPublishesStepByStep(t *testing.T) {
	r := testMount(t)
	f := openFile(t, r.path("index.json"), os.O_RDWR)
	var want []publication
	was := emptyIndex
	for _, content := range []string{indexOf("a"), indexOf("a", "b"), indexOf("c")} {
		_, err := f.WriteAt([]byte(content), 0)
		must(t, err)
		must(t, f.Truncate(int64(len(content))))
		wantRead(t, f, 0, []byte(content))
		wantSize(t, f, int64(len(content)))
		want = append(want, publication{"", was, content})
		was = content
	}
	must(t, f.Sync())
	must(t, f.Close())
	r.wantPublished(t, want...)
}

func TestIndexWriterSeesWhatItWrote(t *testing.T) {
	r := testMount(t)
	f := openFile(t, r.path("index.json"), os.O_RDWR|os.O_TRUNC)
	wantSize(t, f, 0)
	_, err := f.WriteAt([]byte("}"), 10)
	must(t, err)
	wantRead(t, f, 0, []byte("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00}"))
	wantSeek(t, f, unix.SEEK_END, 0, 11)
	_, err = f.WriteAt([]byte(`{"a":"b"  `), 0)
	must(t, err)
	must(t, f.Truncate(20))
	wantRead(t, f, 0, []byte(`{"a":"b"  }`+strings.Repeat("\x00", 9)))
	must(t, f.Truncate(11))
	_, err = f.WriteAt([]byte("x"), maxDocument)
	wantErrno(t, "write beyond the bound", err, syscall.EFBIG)
	wantErrno(t, "truncate beyond the bound", f.Truncate(maxDocument+1), syscall.EFBIG)
	must(t, f.Close())
	r.wantPublished(t, publication{"", emptyIndex, `{"a":"b"  }`})
}

func TestManyHostsTagsInOneBigIndex(t *testing.T) {
	r := testMount(t)
	var tags []string
	for i := range 5500 {
		tags = append(tags, fmt.Sprintf("tag-%d", i))
	}
	big := indexOf(tags...) // several requests long
	must(t, os.WriteFile(r.path("index.json"), []byte(big), 0o644))
	r.wantPublished(t, publication{"", emptyIndex, big})
	before, err := buildKitPut(r.path("index.json"), big[:len(big)-2]+" ]}")
	if err != nil || before != big {
		t.Errorf("it read %d bytes, %v", len(before), err)
	}
	wantContent(t, r.path("index.json"), []byte(big[:len(big)-2]+" ]}"))
}

// Readers never see a half of what a writer is at.
func TestReadersOfTheIndexWhileItIsWritten(t *testing.T) {
	r := testMount(t)
	var tags []string
	for i := range 100 {
		tags = append(tags, fmt.Sprintf("tag-%d", i))
	}
	versions := []string{indexOf("a"), indexOf(tags...), indexOf(tags[:50]...)}
	r.names.set("", versions[0])
	done := make(chan struct{})
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				b, err := os.ReadFile(r.path("index.json"))
				if err != nil || !isObject(b) {
					t.Errorf("read %d bytes that are no index, %v", len(b), err)
				}
			}
		})
	}
	for i := range 40 {
		if _, err := buildKitPut(r.path("index.json"), versions[i%len(versions)]); err != nil {
			t.Error(err)
		}
	}
	close(done)
	group.Wait()
}
