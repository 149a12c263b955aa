package daemon

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// reporting starts a shell script whose descriptor 3 is its report.
func reporting(t *testing.T, script string) (*os.File, *exec.Cmd) {
	t.Helper()
	from, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = from.Close() })
	cmd := exec.Command("sh", "-c", script)
	cmd.ExtraFiles = []*os.File{to}
	err = cmd.Start()
	_ = to.Close() // the script has its own
	if err != nil {
		t.Fatal(err)
	}
	return from, cmd
}

func TestReportOfADetachedProcess(t *testing.T) {
	for name, tc := range map[string]struct {
		script string
		want   []string // in the error; none: no error
	}{
		"ready":       {`echo '{"Ready":{"Mountpoint":"/mnt","PID":7}}' >&3`, nil},
		"refused":     {`echo '{"Error":"no such bucket"}' >&3; exit 1`, []string{"no such bucket"}},
		"silent":      {`exit 3`, []string{"ended before the mount answered", "exit status 3", "its log is /log"}},
		"incomplete":  {`printf '{"Ready"' >&3; exit 3`, []string{"ended before the mount answered", "its log is /log"}},
		"killed":      {`kill -9 $$`, []string{"signal: killed", "its log is /log"}},
		"meaningless": {`echo hello >&3; exit 0`, []string{"ended before the mount answered"}},
	} {
		t.Run(name, func(t *testing.T) {
			from, cmd := reporting(t, tc.script)
			ready, err := awaitReport(t.Context(), from, cmd, "/log")
			if tc.want == nil {
				if err != nil || ready.Mountpoint != "/mnt" || ready.PID != 7 {
					t.Errorf("got %+v, %v", ready, err)
				}
				_ = cmd.Wait()
				return
			}
			for _, want := range tc.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q", err, want)
				}
			}
			if cmd.ProcessState == nil {
				t.Error("the process was not waited for")
			}
		})
	}
}

func TestDetachedProcessEndsWhenNobodyWaits(t *testing.T) {
	from, cmd := reporting(t, `sleep 60 & trap 'kill $!; exit 7' TERM; wait $!`)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := awaitReport(ctx, from, cmd, "/log"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if cmd.ProcessState == nil || cmd.ProcessState.Success() {
		t.Errorf("the process: %v", cmd.ProcessState)
	}
}

func TestAnswerOfAMount(t *testing.T) {
	dir := t.TempDir()
	if err := awaitAnswer(t.Context(), dir); err == nil || !strings.Contains(err.Error(), dir+" is mounted, but does not answer") {
		t.Errorf("without a layout: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "oci-layout"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := awaitAnswer(t.Context(), dir); err != nil {
		t.Error(err)
	}
}

func TestFlagsOfTheEnvironmentAreNotPassedOn(t *testing.T) {
	got := withoutFlags([]string{"PATH=/bin", "LAYOUTFS_S3=secret", "LAYOUTFS_RUNTIME_DIR=/run/x", "AWS_PROFILE=p", "LAYOUTFS_"})
	if want := []string{"PATH=/bin", "LAYOUTFS_RUNTIME_DIR=/run/x", "AWS_PROFILE=p"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestFilesOfTheEnvironmentAreFoundFromAnywhere(t *testing.T) {
	t.Chdir(t.TempDir())
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	got := fromAnywhere([]string{"PATH=bin", "AWS_CA_BUNDLE=ca.pem", "AWS_CONFIG_FILE=/etc/aws", "AWS_SHARED_CREDENTIALS_FILE="})
	want := []string{"PATH=bin", "AWS_CA_BUNDLE=" + filepath.Join(here, "ca.pem"), "AWS_CONFIG_FILE=/etc/aws", "AWS_SHARED_CREDENTIALS_FILE="}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestNobodyElseRunsTheDaemonCommand(t *testing.T) {
	if err := RunDetached(t.Context()); !errors.Is(err, ErrNotDetached) {
		t.Errorf("got %v", err)
	}
}

// Detach finds out what it can before it starts anything.
func TestDetachChecksFirst(t *testing.T) {
	c := validConfig()
	c.Mountpoint, c.CacheDir = filepath.Join(t.TempDir(), "nonesuch"), filepath.Join(t.TempDir(), "cache")
	if _, err := Detach(t.Context(), c); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("got %v", err)
	}
	c.Log.Level = "loud"
	if _, err := Detach(t.Context(), c); err == nil || !strings.Contains(err.Error(), "--log-level") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(c.CacheDir); err == nil {
		t.Error("the cache directory was made")
	}
}
