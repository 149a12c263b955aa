package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const passed = `{"Action":"start"}
{"Action":"run","Test":"TestKill"}
{"Action":"run","Test":"TestKill/back"}
{"Action":"output","Test":"TestKill/back","Output":"    crash_test.go:48: seed 7: run again\n"}
{"Action":"output","Test":"TestKill/back","Output":"    crash_test.go:150: 34 kills | 2 checks\n"}
{"Action":"pass","Test":"TestKill/back","Elapsed":57.11}
{"Action":"pass","Test":"TestKill","Elapsed":58}
{"Action":"pass","Elapsed":60}
`

// TestReport writes a row for what has figures, between the marks; a run that fails or breaks off writes nothing.
func TestReport(t *testing.T) {
	document := filepath.Join(t.TempDir(), "doc.md")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(document, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	is := func(want string) {
		t.Helper()
		if b, err := os.ReadFile(document); err != nil || string(b) != want {
			t.Errorf("%v\n%s", err, b)
		}
	}
	old := "above\n" + begin + "old\n" + end + "below\n"
	write(old)
	for _, in := range []string{
		"", "panic\n", passed[:len(passed)/2],
		strings.Replace(passed, `{"Action":"pass","Elapsed":60}`, `{"Action":"fail","Elapsed":60}`, 1),
	} {
		if err := report(strings.NewReader(in), io.Discard, document, "Seed 8."); err == nil {
			t.Errorf("%q is taken for a run", in)
		}
		is(old)
	}
	var out strings.Builder
	if err := report(strings.NewReader(passed), &out, document, "Seed 7."); err != nil {
		t.Fatal(err)
	}
	is("above\n" + begin + "Seed 7.\n\n| fault injected by | in this run | seconds | result |\n|---|---|---|---|\n" +
		"| `e2e.TestKill/back` | 34 kills \\| 2 checks | 57 | held |\n" + end + "below\n")
	if !strings.Contains(out.String(), "34 kills") {
		t.Errorf("printed is %q", out.String())
	}
	write("no marks\n")
	if err := report(strings.NewReader(passed), io.Discard, document, ""); err == nil {
		t.Error("a document without marks is no error")
	}
	is("no marks\n")
}
