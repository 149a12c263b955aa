package bucket_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

const parametersDoc = "../../docs/parameters.md"

func readParametersDoc(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(parametersDoc)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestParametersAreDocumented: every key of the CSV has a row, and every row is a key; likewise the actions.
func TestParametersAreDocumented(t *testing.T) {
	t.Parallel()
	doc := readParametersDoc(t)
	all := bucket.Config{Storage: bucket.Storage{ACL: "private", SSE: "aws:kms"}}
	want := map[string]bool{}
	for _, key := range bucket.Keys() {
		want[key] = key != "type" // which is told in prose
	}
	for _, a := range all.Actions() {
		want[a.Name] = true
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `([\\w:-]+)` \\|").FindAllStringSubmatch(doc, -1) {
		if !want[row[1]] {
			t.Errorf("%s is documented, and is nothing", row[1])
		}
		delete(want, row[1])
	}
	for key, missing := range want {
		if missing {
			t.Errorf("%s is not documented", key)
		}
	}
}

// TestDocumentedTestsExist: the document names tests, of this package unless it says which.
func TestDocumentedTestsExist(t *testing.T) {
	t.Parallel()
	dirs := map[string]string{"": ".", "sync": "..", "daemon": "../../daemon"}
	declared := map[string]string{}
	for pkg, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("tests in %s: %v", dir, err)
		}
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			declared[pkg] += string(b)
		}
	}
	for _, m := range regexp.MustCompile("`(?:(\\w+)\\.)?(Test\\w+)`").FindAllStringSubmatch(readParametersDoc(t), -1) {
		if !strings.Contains(declared[m[1]], "func "+m[2]+"(") {
			t.Errorf("there is no %s", m[0])
		}
	}
}
