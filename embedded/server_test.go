package embedded

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/layoutfs/layoutfs/child"
	"github.com/layoutfs/layoutfs/sync/bucket"
)

// startServer serves a folder, by default a fresh one, until the test ends.
func startServer(t *testing.T, o Options) *Server {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func mustClose(t *testing.T, s *Server) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// putName writes an object with metadata, and wantName reads it.
func putName(t *testing.T, c bucket.Config, name string) {
	t.Helper()
	d := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: "sha256:" + emptyDigest, Size: 1}
	if err := open(t, c).PutName(t.Context(), name, []byte(`{"of":"`+name+`"}`), &d); err != nil {
		t.Errorf("put %s: %v", name, err)
	}
}

func wantName(t *testing.T, c bucket.Config, name string) {
	t.Helper()
	n, err := open(t, c).GetName(t.Context(), name)
	if err != nil || string(n.Body) != `{"of":"`+name+`"}` || n.Descriptor == nil || n.Descriptor.Digest.Encoded() != emptyDigest {
		t.Errorf("get %s: %q, %+v, %v", name, n.Body, n.Descriptor, err)
	}
}

const emptyDigest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func open(t *testing.T, c bucket.Config) *bucket.Client {
	t.Helper()
	client, err := bucket.Open(t.Context(), c, bucket.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestObjectsAndKeysSurviveARestart(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "made", "by", "start")
	s := startServer(t, Options{Dir: dir})
	if s.Dir() != dir || s.Config().Bucket != "layoutfs" {
		t.Errorf("it serves %s, bucket %s", s.Dir(), s.Config().Bucket)
	}
	putName(t, s.Config(), "app")
	mustClose(t, s)
	if err := s.Wait(); err != nil {
		t.Errorf("wait: %v", err)
	}
	mustClose(t, s)
	if _, err := net.Dial("tcp", strings.TrimPrefix(s.Config().EndpointURL, "http://")); err == nil {
		t.Error("it answers after its end")
	}
	moved := filepath.Join(t.TempDir(), "moved")
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	again := startServer(t, Options{Dir: moved})
	if got := again.Config(); got.AccessKeyID != s.Config().AccessKeyID || got.SecretAccessKey != s.Config().SecretAccessKey {
		t.Error("the keys are others")
	}
	wantName(t, again.Config(), "app")
}

func TestFolderIsItsOwnersAlone(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	startServer(t, Options{Dir: dir})
	for path, want := range map[string]os.FileMode{dir: 0o700, folder(dir).credentials(): 0o600, folder(dir).lock(): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v (%v)", path, info.Mode().Perm(), want, err)
		}
	}
}

func TestKeysThatAreGivenAreNotKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startServer(t, Options{Dir: dir, AccessKeyID: "mine", SecretAccessKey: "hush", Bucket: "of-mine"})
	if c := s.Config(); c.AccessKeyID != "mine" || c.SecretAccessKey != "hush" || c.Bucket != "of-mine" {
		t.Errorf("got %s, %s, %s", c.AccessKeyID, c.SecretAccessKey, c.Bucket)
	}
	putName(t, s.Config(), "app")
	if _, err := os.Stat(folder(dir).credentials()); err == nil {
		t.Error("keys are in the folder")
	}
	wrong := s.Config()
	wrong.SecretAccessKey = "wrong"
	if err := open(t, wrong).Check(t.Context()); err == nil || !strings.Contains(err.Error(), "check secret_access_key") {
		t.Errorf("a wrong secret: %v", err)
	}
}

func TestServersDoNotDisturbEachOther(t *testing.T) {
	t.Parallel()
	one, two := startServer(t, Options{}), startServer(t, Options{})
	putName(t, one.Config(), "of-one")
	putName(t, two.Config(), "of-two")
	mustClose(t, one)
	wantName(t, two.Config(), "of-two")
	if _, err := open(t, two.Config()).GetName(t.Context(), "of-one"); err == nil {
		t.Error("one server shows the objects of the other")
	}
}

func TestStartFails(t *testing.T) {
	t.Parallel()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	damaged, file := t.TempDir(), filepath.Join(t.TempDir(), "file")
	for path, content := range map[string]string{folder(damaged).credentials(): `{"access_key_id":"a"}`, file: ""} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for want, o := range map[string]Options{
		"no folder is given":                              {},
		`"UP" is no name for a bucket`:                    {Dir: t.TempDir(), Bucket: "UP"},
		`"../x" is no name for a bucket`:                  {Dir: t.TempDir(), Bucket: "../x"},
		`"here" is no address to listen on`:               {Dir: t.TempDir(), Addr: "here"},
		`"localhost:x" is no address`:                     {Dir: t.TempDir(), Addr: "localhost:x"},
		`":65536" is no address to listen on`:             {Dir: t.TempDir(), Addr: ":65536"},
		"one is missing":                                  {Dir: t.TempDir(), AccessKeyID: "a"},
		"address already in use (port 0 takes a free one": {Dir: t.TempDir(), Addr: busy.Addr().String()},
		"listen on 192.0.2.1:0: ":                         {Dir: t.TempDir(), Addr: "192.0.2.1:0"},
		"credentials.json is damaged; remove it":          {Dir: damaged},
		file + ": mkdir":                                  {Dir: file},
	} {
		s, err := Start(t.Context(), o)
		if err == nil {
			t.Errorf("%+v is served", o)
			_ = s.Close()
			continue
		}
		if !strings.HasPrefix(err.Error(), "start the embedded S3 server") || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestOneServerPerFolder(t *testing.T) {
	t.Parallel()
	s := startServer(t, Options{})
	_, err := Start(t.Context(), Options{Dir: s.Dir()})
	if err == nil || !strings.Contains(err.Error(), s.Dir()+": another layoutfs serves this folder") {
		t.Errorf("a second server: %v", err)
	}
	putName(t, s.Config(), "still-there")
	wantName(t, s.Config(), "still-there")
}

func TestStartEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s := startServer(t, Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if _, err := Start(ctx, Options{Dir: s.Dir()}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(begin); took > lockWait {
		t.Errorf("it took %s", took)
	}
}

func TestChildGetsNoSecretsOfTheEnvironment(t *testing.T) {
	for _, name := range []string{"AWS_SECRET_ACCESS_KEY", "LAYOUTFS_S3"} {
		t.Setenv(name, "hunter2")
	}
	t.Setenv("PASSED_ON", "yes")
	s := startServer(t, Options{})
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", s.cmd.Process.Pid))
	if err != nil || bytes.Contains(b, []byte("hunter2")) || !bytes.Contains(b, []byte("PASSED_ON=yes")) {
		t.Errorf("its environment is %q, %v", b, err)
	}
	b, err = os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", s.cmd.Process.Pid))
	if err != nil || bytes.Contains(b, []byte(s.Config().SecretAccessKey)) {
		t.Errorf("its arguments are %q, %v", b, err)
	}
}

func TestProgramWithoutRunIfChild(t *testing.T) {
	defer func(was *child.Kind) { process = was }(process)
	process = child.New("layoutfs-unknown")
	if _, err := Start(t.Context(), Options{Dir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "RunIfChild") {
		t.Errorf("got %v", err)
	}
}

func TestChildEndsWithItsParent(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "temporary")
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), parentEnv+"="+dir)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(stdout).ReadString('\n')
	var child int
	if _, err := fmt.Sscan(line, &child); err != nil {
		t.Fatalf("the parent says %q", line)
	}
	ended := watchProcess(t, child)
	if _, err := os.Stat(dir); err != nil {
		t.Error(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	ended()
	if _, err := os.Stat(dir); err == nil {
		t.Error("the temporary folder is left behind")
	}
}

// watchProcess returns a function that waits for the end of a process.
func watchProcess(t *testing.T, pid int) (ended func()) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		defer unix.Close(fd)
		for {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 30_000)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if n != 1 {
				t.Errorf("process %d still runs: %v", pid, err)
			}
			return
		}
	}
}

func TestTemporaryFolderGoes(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "temporary")
	s := startServer(t, Options{Dir: dir, Temporary: true})
	putName(t, s.Config(), "app")
	mustClose(t, s)
	if _, err := os.Stat(dir); err == nil {
		t.Error("it is left behind")
	}
}

func TestServerThatIsKilledIsToldOf(t *testing.T) {
	t.Parallel()
	s := startServer(t, Options{})
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.Done():
	case <-time.After(30 * time.Second):
		t.Fatal("its end is not noticed")
	}
	if err := s.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("wait: %v", err)
	}
	if err := s.Close(); err == nil {
		t.Error("close: no error")
	}
}

// A client keeps connections in reserve that never carried a request.
func TestUnusedConnectionsDoNotDelayTheEnd(t *testing.T) {
	t.Parallel()
	s := startServer(t, Options{})
	for range 3 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.Config().EndpointURL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	putName(t, s.Config(), "app") // the connections before it have been accepted
	begin := time.Now()
	mustClose(t, s)
	if took := time.Since(begin); took > 8*time.Second { // versitygw gives up after 10 s
		t.Errorf("it took %s", took)
	}
}

func TestRequestInFlightIsFinished(t *testing.T) {
	t.Parallel()
	s := startServer(t, Options{})
	client := open(t, s.Config())
	// More than fits between the two.
	content := bytes.Repeat([]byte("in flight "), 3<<20)
	d := digest.FromBytes(content)
	if err := client.PutBlob(t.Context(), d, bytes.NewReader(content), int64(len(content))); err != nil {
		t.Fatal(err)
	}
	body, err := client.OpenBlob(t.Context(), d, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	awaitRefusal(t, strings.TrimPrefix(s.Config().EndpointURL, "http://"))
	if got, err := io.ReadAll(body); err != nil || !bytes.Equal(got, content) {
		t.Errorf("read during the end: %d bytes of %d, %v", len(got), len(content), err)
	}
	if err := <-closed; err != nil {
		t.Errorf("close: %v", err)
	}
}

// awaitRefusal waits until a server takes no more connections.
func awaitRefusal(t *testing.T, addr string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		_ = conn.Close()
	}
	t.Error("it still listens")
}

func TestWhatTheServerPrintsIsLogged(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var log bytes.Buffer
	w := writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return log.Write(p)
	})
	s := startServer(t, Options{Log: slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	putName(t, s.Config(), "app")
	mustClose(t, s)
	mu.Lock()
	defer mu.Unlock()
	if text := log.String(); !strings.Contains(text, "| PUT | /layoutfs/manifests/app |") || strings.Contains(text, s.Config().SecretAccessKey) {
		t.Errorf("logged is %s", text)
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestLinesOfTheServer(t *testing.T) {
	var log bytes.Buffer
	l := &said{log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	out := child.NewLines(l.say)
	for _, part := range []string{"on", "e\n\ntw", "o\n  \n", strings.Repeat("x", 64<<10), "rest"} {
		if n, err := out.Write([]byte(part)); n != len(part) || err != nil {
			t.Errorf("write: %d, %v", n, err)
		}
	}
	if n := strings.Count(log.String(), "says="); n != 3 || !strings.Contains(log.String(), "says=one\n") || !strings.Contains(log.String(), "says=two\n") {
		t.Errorf("%d lines are logged: %.200s", n, log.String())
	}
	if l.last() != strings.Repeat("x", 64<<10) {
		t.Errorf("the last line is %.20q", l.last())
	}
}
