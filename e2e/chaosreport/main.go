// Command chaosreport passes on what `go test -json` prints, as -v would have it, and writes what the tests say of their
// own runs as a table into a document. A run in which a test fails changes nothing there.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
)

// The table stands between these two lines of the document.
const (
	begin = "<!-- make chaos writes from here -->\n"
	end   = "<!-- to here -->\n"
)

func main() {
	document := flag.String("to", "", "the document")
	title := flag.String("title", "", "what stands above the table")
	flag.Parse()
	if err := report(os.Stdin, os.Stdout, *document, *title); err != nil {
		fmt.Fprintln(os.Stderr, "chaosreport:", err)
		os.Exit(1)
	}
}

func report(in io.Reader, out io.Writer, document, title string) error {
	runs, err := read(in, out)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(document)
	if err != nil {
		return err
	}
	head, rest, there := strings.Cut(string(b), begin)
	_, tail, ended := strings.Cut(rest, end)
	if !there || !ended {
		return fmt.Errorf("%s: there is no place for the table: it wants the lines %q and %q", document, begin, end)
	}
	return os.WriteFile(document, []byte(head+begin+title+"\n\n"+table(runs)+end+tail), 0o644)
}

// run is what one test says of its run.
type run struct {
	name    string
	did     string // the last line that has figures; empty: none has
	seconds float64
}

// event is a line of `go test -json` (https://pkg.go.dev/cmd/test2json).
type event struct {
	Action  string
	Test    string
	Output  string
	Elapsed float64
}

// figures is a line that a test logs: of which file and line, and what.
var figures = regexp.MustCompile(`^ +\w+_test\.go:\d+: (.*)`)

// read reads a run to its end, in the order in which the tests began.
func read(in io.Reader, out io.Writer) ([]*run, error) {
	var runs []*run
	by := map[string]*run{}
	failed := errors.New("no test was run")
	for lines := bufio.NewReader(in); ; {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return runs, failed
		}
		var e event
		if err := errors.Join(err, json.Unmarshal(line, &e)); err != nil {
			return nil, fmt.Errorf("%q is no line of go test -json: %w", line, err)
		}
		fmt.Fprint(out, e.Output)
		r := by[e.Test]
		switch {
		case e.Test == "" && e.Action == "pass":
			failed = nil
		case e.Test == "" && e.Action == "fail":
			failed = errors.New("a test failed: the document is left as it was")
		case e.Test == "":
		case r == nil:
			r = &run{name: e.Test}
			by[e.Test], runs = r, append(runs, r)
		case e.Action == "pass":
			r.seconds = e.Elapsed
		case e.Action == "output":
			if m := figures.FindStringSubmatch(e.Output); m != nil && !strings.HasPrefix(m[1], "seed ") {
				r.did = m[1]
			}
		}
	}
}

func table(runs []*run) string {
	var b strings.Builder
	b.WriteString("| fault injected by | in this run | seconds | result |\n|---|---|---|---|\n")
	for _, r := range runs {
		if r.did != "" {
			fmt.Fprintf(&b, "| `e2e.%s` | %s | %.0f | held |\n", r.name, strings.ReplaceAll(r.did, "|", `\|`), r.seconds)
		}
	}
	return b.String()
}
