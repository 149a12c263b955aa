package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLogFileThatHasGrownIsPutAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "folder", "log")
	c := LogConfig{File: path, Level: "info", Format: "json"}
	write := func(text string) {
		t.Helper()
		f, err := c.open()
		if err != nil {
			t.Fatal(err)
		}
		c.logger(f).Info(text)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	write("first")
	write("second")
	if b, err := os.ReadFile(path); err != nil || strings.Count(string(b), "\n") != 2 || !strings.HasPrefix(string(b), `{"time":`) {
		t.Errorf("it holds %q, %v", b, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("it is %v, %v", info, err)
	}
	if err := os.Truncate(path, maxLogFile+1); err != nil {
		t.Fatal(err)
	}
	write("third")
	if b, err := os.ReadFile(path); err != nil || !strings.Contains(string(b), "third") || strings.Contains(string(b), "second") {
		t.Errorf("it holds %q, %v", b, err)
	}
	if info, err := os.Stat(path + ".1"); err != nil || info.Size() != maxLogFile+1 {
		t.Errorf("put aside is %v, %v", info, err)
	}
}

// What is no file, such as /dev/stderr, stays where it is.
func TestLogToADevice(t *testing.T) {
	f, err := LogConfig{File: "/dev/null"}.open()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestLogLevels(t *testing.T) {
	var b strings.Builder
	log := LogConfig{Level: "warn", Format: "text"}.logger(&b)
	log.Info("quiet")
	log.Warn("loud")
	if text := b.String(); strings.Contains(text, "quiet") || !strings.Contains(text, "level=WARN msg=loud") {
		t.Errorf("logged is %q", text)
	}
}
