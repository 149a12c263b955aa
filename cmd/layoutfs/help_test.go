package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestHelpFitsATerminal(t *testing.T) {
	for _, c := range append(newApp().Commands, nil) {
		args := []string{"layoutfs", "--help"}
		if c != nil {
			args = []string{"layoutfs", c.Name, "--help"}
		}
		var out bytes.Buffer
		app := newApp()
		app.Writer = &out
		if err := app.Run(t.Context(), args); err != nil {
			t.Fatalf("%q: %v", args, err)
		}
		for line := range strings.Lines(out.String()) {
			if line = strings.TrimSuffix(line, "\n"); len(line) > 80 || strings.Contains(line, "\t") {
				t.Errorf("%q prints %d columns: %s", args, len(line), line)
			}
		}
	}
}

// TestHelpHasAnExample: every command that takes anything shows how it is used.
func TestHelpHasAnExample(t *testing.T) {
	for _, c := range newApp().Commands {
		if example := "layoutfs " + c.Name; !c.Hidden && c.Name != "help" && c.Name != "version" && !strings.Contains(c.Description, example) {
			t.Errorf("the help of %s has no example", c.Name)
		}
	}
}

func TestWrapped(t *testing.T) {
	for in, want := range map[string]string{
		"":                 "",
		"one":              "one",
		"one two":          "one two",
		"one two three":    "one two|three",
		"longer-than-that": "longer-than-that",
		"a longer-than-it": "a|longer-than-it",
	} {
		if got := strings.Join(wrapped(in, 8), "|"); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}
