package store

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestMain is also the process that has a database open, and for one test one that dies as it opens it.
func TestMain(m *testing.M) {
	kind.RunIfChild(func() error {
		if dies() {
			panic("the table is damaged")
		}
		RunIfChild()
		return nil
	})
	os.Exit(m.Run())
}

// dies says whether the working directory of who started this process says so. The process has no environment.
func dies() bool {
	_, err := os.Stat(fmt.Sprintf("/proc/%d/cwd/dies", os.Getppid()))
	return err == nil
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

const version = "test 1"

func TestBadger(t *testing.T) {
	suite(t, func(t *testing.T) entries {
		b, err := Open(filepath.Join(t.TempDir(), "index"), version, quiet())
		must(t, err)
		return b
	})
}

func TestProcess(t *testing.T) {
	suite(t, func(t *testing.T) entries { return started(t, filepath.Join(t.TempDir(), "index"), quiet()) })
}

func TestFront(t *testing.T) {
	suite(t, func(t *testing.T) entries {
		f, err := Start(filepath.Join(t.TempDir(), "index"), version, quiet())
		must(t, err)
		return f
	})
}

func TestMemory(t *testing.T) {
	suite(t, func(*testing.T) entries { return new(Memory) })
}

func started(t *testing.T, dir string, log *slog.Logger) *process {
	t.Helper()
	p, err := spawn(log)
	must(t, err)
	must(t, p.open(dir, version))
	return p
}

func set(key, value string) Change {
	return Change{Entry: Entry{Key: []byte(key), Value: []byte(value)}}
}

func suite(t *testing.T, open func(t *testing.T) entries) {
	run := func(name string, f func(t *testing.T, e entries)) {
		t.Run(name, func(t *testing.T) {
			e := open(t)
			f(t, e)
			must(t, e.Close())
		})
	}
	run("values", func(t *testing.T, e entries) {
		large := strings.Repeat("x", 7<<20) // the closure of a name with ten thousand layers
		must(t, e.Write(set("a", "1"), set("b", ""), set("large", large)))
		must(t, e.Write(set("a", "2"), set("c", "3"), Change{Entry: Entry{Key: []byte("c")}, Delete: true}))
		for key, want := range map[string]string{"a": "2", "b": "", "large": large} {
			if got, err := e.Get([]byte(key)); string(got) != want || got == nil || err != nil {
				t.Errorf("%s is %.20q, %v", key, got, err)
			}
		}
		for _, key := range []string{"c", "never"} {
			if got, err := e.Get([]byte(key)); got != nil || err != nil {
				t.Errorf("%s is %q, %v", key, got, err)
			}
		}
	})
	run("pages", func(t *testing.T, e entries) {
		var changes []Change
		var want []string
		for i := range 4000 {
			key := fmt.Sprintf("b%04d", i)
			want = append(want, key)
			changes = append(changes, set(key, strings.Repeat(key, 100)))
		}
		must(t, e.Write(changes...))
		must(t, e.Write(set("a", "before"), set("c", "behind")))
		for _, values := range []bool{true, false} {
			got, pages := all(t, e, "b", values)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if values != (pages > 1) {
				t.Errorf("with values %v there are %d pages", values, pages)
			}
		}
		if got, _ := all(t, e, "b399", true); !slices.Equal(got, want[3990:]) {
			t.Errorf("under b399 there is %q", got)
		}
	})
	run("at once", func(t *testing.T, e entries) {
		var all sync.WaitGroup
		for i := range 16 {
			all.Go(func() {
				key := fmt.Sprint(i)
				for j := range 20 {
					must(t, e.Write(set(key, fmt.Sprint(j))))
					if got, err := e.Get([]byte(key)); string(got) != fmt.Sprint(j) || err != nil {
						t.Errorf("%s is %q, %v", key, got, err)
					}
				}
			})
		}
		all.Wait()
	})
}

// all lists the keys under a prefix, page by page.
func all(t *testing.T, e entries, prefix string, values bool) (keys []string, pages int) {
	t.Helper()
	var after []byte
	for more := true; more; pages++ {
		page, next, err := e.Page([]byte(prefix), after, values)
		must(t, err)
		for _, entry := range page {
			if after = entry.Key; values != bytes.HasPrefix(entry.Value, entry.Key) {
				t.Errorf("%s is %.20q", entry.Key, entry.Value)
			}
			keys = append(keys, string(entry.Key))
		}
		more = next
	}
	return keys, pages
}

// TestProcessKeepsWhatItHad when its daemon closes it, and when that dies.
func TestProcessKeepsWhatItHad(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "index")
	p := started(t, dir, quiet())
	must(t, p.Write(set("a", "1")))
	must(t, p.Close())
	p = started(t, dir, quiet())
	must(t, p.Write(set("b", "2")))
	must(t, p.client.Close()) // as the end of the daemon does; the next one is there at once
	p = started(t, dir, quiet())
	for key, want := range map[string]string{"a": "1", "b": "2"} {
		if got, err := p.Get([]byte(key)); string(got) != want || err != nil {
			t.Errorf("%s is %q, %v", key, got, err)
		}
	}
	must(t, p.Close())
}

// TestProcessThatEnds, or does not answer, is an error that says why.
func TestProcessThatEnds(t *testing.T) {
	for signal, want := range map[syscall.Signal]string{
		syscall.SIGKILL: "signal: killed",
		syscall.SIGBUS:  "SIGBUS: bus error",
	} {
		p := started(t, filepath.Join(t.TempDir(), "index"), quiet())
		must(t, p.cmd.Process.Signal(signal))
		<-p.gone
		_, err := p.Get([]byte("a"))
		if !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", signal, err)
		}
		if err := p.Write(set("a", "1")); !errors.Is(err, ErrLost) {
			t.Errorf("%s: %v", signal, err)
		}
		if err := p.Close(); !errors.Is(err, ErrLost) {
			t.Errorf("%s: %v", signal, err)
		}
	}
}

// TestProcessOfARelativeDirectory has it open where its daemon is.
func TestProcessOfARelativeDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	f, err := Start("index", version, quiet())
	must(t, err)
	must(t, f.Close())
	if _, err := os.Stat(filepath.Join("index", "MANIFEST")); err != nil {
		t.Error(err)
	}
}

// TestProcessThatDiesAsItOpens is started once more, and then it is an error that says what it said.
func TestProcessThatDiesAsItOpens(t *testing.T) {
	t.Chdir(t.TempDir())
	must(t, os.WriteFile("dies", nil, 0o600))
	_, err := Start(filepath.Join(t.TempDir(), "index"), version, quiet())
	if !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "panic: the table is damaged") {
		t.Errorf("got %v", err)
	}
}

// TestErrorsOfTheProcess are what they were there, and what it logs is logged here.
func TestErrorsOfTheProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "missing", "index")
	if _, err := Start(dir, version, quiet()); !errors.Is(err, syscall.ENOENT) || errors.Is(err, ErrLost) || !strings.Contains(err.Error(), dir) {
		t.Errorf("a folder that is missing: %v", err)
	}
	must(t, os.Mkdir(filepath.Dir(dir), 0o700))
	must(t, started(t, dir, quiet()).Close())
	must(t, Distrust(dir))
	var log bytes.Buffer
	p := started(t, dir, slog.New(slog.NewTextHandler(&log, nil)))
	must(t, p.Close())
	if text := log.String(); !strings.Contains(text, "level=WARN") || !strings.Contains(text, "begun anew") || !strings.Contains(text, "dir="+dir) {
		t.Errorf("log: %s", text)
	}
}

// sick is a store of which calls fail.
type sick struct {
	Memory
	mu   sync.Mutex // guards following
	err  error      // of writes
	gets int
}

func (s *sick) ails(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *sick) Write(changes ...Change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	return s.Memory.Write(changes...)
}

func (s *sick) Get(key []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gets++
	return s.Memory.Get(key)
}

func fronting(t *testing.T, behind entries) *Front {
	t.Helper()
	f, err := newFront(behind)
	must(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// TestFrontKnowsAllOfALittle asks nobody, and of much what it does not remember.
func TestFrontKnowsAllOfALittle(t *testing.T) {
	behind := new(sick)
	must(t, behind.Write(set("a", "1")))
	f := fronting(t, behind)
	large := strings.Repeat("x", 3<<20)
	want := func(key, value string, gets int) {
		t.Helper()
		got, err := f.Get([]byte(key))
		if string(got) != value || err != nil || behind.gets != gets {
			t.Errorf("%s is %.20q, %v, after %d requests, not %d", key, got, err, behind.gets, gets)
		}
	}
	want("a", "1", 0)
	want("none", "", 0)
	for i := range 4 {
		must(t, f.Write(set(fmt.Sprint("large", i), large)))
		must(t, f.Flush())
	}
	want("large3", large, 0)
	want("none", "", 1)
	want("none", "", 1)
	want("a", "1", 2)
	must(t, f.Write(set("none", "2")))
	want("none", "2", 2)
	if f.size > frontSize {
		t.Errorf("it remembers %d bytes", f.size)
	}
}

// TestFrontOfAFullDisk keeps what it is told until there is room again, up to a bound, and forgets none of it.
func TestFrontOfAFullDisk(t *testing.T) {
	behind := new(sick)
	f := fronting(t, behind)
	behind.ails(syscall.ENOSPC)
	large := strings.Repeat("x", 1<<20)
	kept := 0
	for ; kept < 100; kept++ {
		if err := f.Write(set(fmt.Sprint(kept), large)); errors.Is(err, syscall.ENOSPC) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if kept < 4 || kept > 6 {
		t.Errorf("%d changes are kept", kept)
	}
	check := func(get func([]byte) ([]byte, error)) {
		t.Helper()
		for i := range kept {
			if got, err := get([]byte(fmt.Sprint(i))); string(got) != large || err != nil {
				t.Errorf("%d is %.20q, %v", i, got, err)
			}
		}
	}
	check(f.Get)
	if _, _, err := f.Page(nil, nil, false); err != nil {
		t.Error(err)
	}
	behind.ails(nil)
	must(t, f.Flush())
	check(behind.Memory.Get)
	must(t, f.Write(set("again", "1")))
}

// TestFrontThatIsClosed has written everything, and takes nothing more.
func TestFrontThatIsClosed(t *testing.T) {
	behind := new(sick)
	f := fronting(t, behind)
	must(t, f.Write(set("a", "1")))
	must(t, f.Close())
	if got, err := behind.Memory.Get([]byte("a")); string(got) != "1" || err != nil {
		t.Errorf("a is %q, %v", got, err)
	}
	_, getErr := f.Get([]byte("a"))
	_, _, pageErr := f.Page(nil, nil, true)
	for what, err := range map[string]error{"get": getErr, "page": pageErr, "write": f.Write(set("b", "1"))} {
		if !errors.Is(err, errClosed) || errors.Is(err, ErrLost) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestFrontOfALostStore tells, also who waits for room, and whoever comes later.
func TestFrontOfALostStore(t *testing.T) {
	behind := new(sick)
	f := fronting(t, behind)
	behind.ails(fmt.Errorf("%w: gone", ErrLost))
	must(t, f.Write(set("a", strings.Repeat("x", queueSize+1)))) // acknowledged before it is tried
	if err := f.Write(set("b", "1")); !errors.Is(err, ErrLost) {
		t.Errorf("write: %v", err)
	}
	if _, err := f.Get([]byte("a")); !errors.Is(err, ErrLost) {
		t.Errorf("get: %v", err)
	}
	if _, _, err := f.Page(nil, nil, true); !errors.Is(err, ErrLost) {
		t.Errorf("page: %v", err)
	}
}
