package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestTableIsAligned whatever is coloured: numbers to the right, the last column not padded.
func TestTableIsAligned(t *testing.T) {
	var plain, painted bytes.Buffer
	tb := newTable(&plain, "NAME", ">SIZE", "STATUS")
	tb.row("a", "1 B", "ok")
	tb.row("größer", "10 KiB", "broken")
	tb.color(red)
	if err := tb.print(&plain); err != nil {
		t.Fatal(err)
	}
	want := "NAME      SIZE  STATUS\na          1 B  ok\ngrößer  10 KiB  broken\n"
	if diff := cmp.Diff(want, plain.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	tb.paint = func(color, text string) string { return "<" + text + ">" }
	if err := tb.print(&painted); err != nil {
		t.Fatal(err)
	}
	if got := strings.NewReplacer("<", "", ">", "").Replace(painted.String()); got != want {
		t.Errorf("colours move columns: %q", got)
	}
}

// TestColours are for terminals, and not where $NO_COLOR is set.
func TestColours(t *testing.T) {
	terminal, err := os.Open(os.DevNull) // a device, as a terminal is
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	if got := painterFor(terminal)(red, "x"); got != "\x1b[31mx\x1b[0m" {
		t.Errorf("on a terminal: %q", got)
	}
	if got := painterFor(&bytes.Buffer{})(red, "x"); got != "x" {
		t.Errorf("elsewhere: %q", got)
	}
	t.Setenv("NO_COLOR", "1")
	if got := painterFor(terminal)(red, "x"); got != "x" {
		t.Errorf("with $NO_COLOR: %q", got)
	}
}

func TestPaceIsRateAndTimeLeft(t *testing.T) {
	for _, tc := range []struct {
		done, whole int64
		took        time.Duration
		want        string
	}{
		{0, 100, time.Second, ""},
		{10 << 20, 0, 2 * time.Second, ", 5.0 MiB/s"},
		{10 << 20, 40 << 20, 2 * time.Second, ", 5.0 MiB/s, 6s left"},
		{40 << 20, 40 << 20, 2 * time.Second, ", 20 MiB/s"},
	} {
		if got := paceText(tc.done, tc.whole, tc.took); got != tc.want {
			t.Errorf("%d of %d in %s: %q, want %q", tc.done, tc.whole, tc.took, got, tc.want)
		}
	}
}
