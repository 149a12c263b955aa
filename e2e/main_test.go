package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// layoutfs is the program under test, and tools the folder of what it is tested with. They are set once,
// before the first test.
var layoutfs, tools string

func TestMain(m *testing.M) {
	if os.Getenv(modelClientEnv) != "" {
		serveModelClient()
		return
	}
	if order := os.Getenv(sickEnv); order != "" {
		if err := serveSickDisk(order); err != nil {
			fmt.Fprintln(os.Stderr, "sick disk:", err)
			os.Exit(1)
		}
		return
	}
	code, err := runAll(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
	}
	os.Exit(code)
}

func runAll(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "layoutfs-e2e-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	layoutfs = filepath.Join(dir, "layoutfs")
	build := exec.Command("go", "build", "-race", "-o", layoutfs, "./cmd/layoutfs")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build layoutfs: %w: %s", err, out)
	}
	if tools, err = filepath.Abs("../.tools"); err != nil {
		return 1, err
	}
	if dir := os.Getenv("LAYOUTFS_TOOLS"); dir != "" {
		tools = dir
	}
	// Else each command waits a second at its end for reports of the race detector.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=10"); err != nil {
		return 1, err
	}
	defer shared.stop()
	return m.Run(), nil
}

// tool is the path of a program that the Makefile built, or that Debian has.
func tool(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(tools, name)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is not there: run `make system ceph tools`", name)
	}
	return path
}

// try runs a program and returns what it prints, and whether it succeeded.
func try(t testing.TB, env []string, name string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// run runs a program that must succeed.
func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := try(t, nil, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
	}
	return out
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
