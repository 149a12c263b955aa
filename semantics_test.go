package layoutfs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// reference is how docs/semantics.md names the test that holds a sentence: `fs.TestX`, `e2e.TestY`.
var reference = regexp.MustCompile("`([a-z0-9/]+)\\.((?:Test|Fuzz)[A-Za-z0-9_]+)[^`]*`")

// TestEveryPromiseHasATest holds docs/semantics.md against the tests: each of its points names at least one,
// and those that it names exist.
func TestEveryPromiseHasATest(t *testing.T) {
	b, err := os.ReadFile("docs/semantics.md")
	if err != nil {
		t.Fatal(err)
	}
	points := regexp.MustCompile(`(?m)^- `).Split(string(b), -1)[1:]
	if len(points) < 15 {
		t.Fatalf("docs/semantics.md has %d points: are they still a list?", len(points))
	}
	for _, point := range points {
		point, _, _ = strings.Cut(point, "\n\n")
		found := reference.FindAllStringSubmatch(point, -1)
		if len(found) == 0 {
			t.Errorf("no test is named for: %s", point)
		}
		for _, m := range found {
			if !hasTest(t, m[1], m[2]) {
				t.Errorf("there is no test %s.%s", m[1], m[2])
			}
		}
	}
}

// TestEveryFaultHasATest does the same for the tables of docs/reliability.md.
func TestEveryFaultHasATest(t *testing.T) {
	b, err := os.ReadFile("docs/reliability.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^\| (?:[^-f]|f[^a]).*$`).FindAllString(string(b), -1) // neither "| fault |" nor "|---|"
	if len(rows) < 15 {
		t.Fatalf("docs/reliability.md has %d rows: are they still a table?", len(rows))
	}
	for _, row := range rows {
		for _, m := range reference.FindAllStringSubmatch(row, -1) {
			if !hasTest(t, m[1], m[2]) {
				t.Errorf("there is no test %s.%s", m[1], m[2])
			}
		}
		if !reference.MatchString(row) && !strings.Contains(row, "make fuzz") {
			t.Errorf("no test is named in: %s", row)
		}
	}
}

func hasTest(t *testing.T, pkg, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(pkg, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), "\nfunc "+name+"(") {
			return true
		}
	}
	return false
}
