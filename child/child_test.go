package child

import (
	"io"
	"os"
	"slices"
	"strings"
	"testing"
)

// echo is a process that prints its environment and its name; waits says that it is there, and ends with its input.
var echo, waits = New("layoutfs-echo"), New("layoutfs-waits")

func TestMain(m *testing.M) {
	echo.RunIfChild(func() error {
		comm, err := os.ReadFile("/proc/self/comm")
		os.Stdout.WriteString(strings.Join(os.Environ(), "\n") + "\n\n " + string(comm))
		return err
	})
	waits.RunIfChild(func() error {
		os.Stdout.WriteString("x")
		_, err := io.Copy(io.Discard, os.Stdin)
		return err
	})
	os.Exit(m.Run())
}

// TestChild has its name and what it was given in its environment, and nothing of ours.
func TestChild(t *testing.T) {
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	cmd, err := echo.Command("A=1")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	cmd.Stdout = NewLines(func(line []byte) { lines = append(lines, string(line)) })
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if want := []string{"A=1", env + "=layoutfs-echo", "layoutfs-echo"}; !slices.Equal(lines, want) || !cmd.SysProcAttr.Setsid {
		t.Errorf("it says %q, not %q", lines, want)
	}
}

func TestProgramThatIsNoSuchChild(t *testing.T) {
	if _, err := New("layoutfs-other").Command(); err == nil || !strings.Contains(err.Error(), "RunIfChild for layoutfs-other") {
		t.Errorf("got %v", err)
	}
}

func TestLines(t *testing.T) {
	var got []string
	l := NewLines(func(line []byte) { got = append(got, string(line)) })
	long := strings.Repeat("x", maxLine)
	for _, part := range []string{"on", "e\n\ntw", "o\n  \n", long, "rest"} {
		if n, err := l.Write([]byte(part)); n != len(part) || err != nil {
			t.Errorf("write: %d, %v", n, err)
		}
	}
	if want := []string{"one", "two", long}; !slices.Equal(got, want) {
		t.Errorf("%d lines: %.40q", len(got), got)
	}
}
