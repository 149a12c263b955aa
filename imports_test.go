package layoutfs

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/layoutfs/layoutfs"

// allowed is the house: which of our packages each may import, nearest first. Imports run downward only.
// .golangci.yml holds the same for what comes from outside.
var allowed = map[string][]string{
	"cmd/layoutfs":           {"daemon", "doctor", "embedded", "index/store", "inspect", "inspect/layer", "inspect/move", "inspect/prune", "inspect/records", "inspect/source", "inspect/verify", "index/tag", "sync", "sync/bucket"},
	"doctor":                 {"fs", "sync/bucket", "sync/disk"},
	"daemon":                 {"fs", "sync", "inspect", "index", "sync/bucket", "sync/disk", "embedded"},
	"fs":                     nil, // declares the interfaces that it needs
	"sync":                   {"index", "index/cacheconfig", "index/tag", "sync/bucket", "sync/disk"},
	"sync/bucket":            nil,
	"sync/bucket/buckettest": {"embedded", "sync/bucket"},
	"sync/disk":              nil,
	"inspect":                {"index/cacheconfig", "inspect/layer", "inspect/records"},
	"inspect/source":         {"inspect", "index", "index/cacheconfig", "index/tag", "sync/bucket", "sync/disk"},
	"inspect/verify":         {"inspect", "inspect/layer", "sync/disk"},
	"inspect/move":           {"inspect", "index/cacheconfig", "index/tag", "sync/bucket"},
	"inspect/prune":          {"inspect", "inspect/source", "sync/bucket"},
	"inspect/layer":          nil,
	"inspect/records":        nil,
	"index":                  {"index/store"},
	"index/store":            {"child"},
	"child":                  nil,
	"index/cacheconfig":      nil,
	"index/tag":              nil,
	"embedded":               {"child", "sync/bucket"},
}

func TestImportsRunDownward(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		pkg := strings.TrimPrefix(fields[0], module+"/")
		if pkg == module {
			continue // these tests
		}
		may, known := allowed[pkg]
		if !known {
			t.Errorf("package %s has no place in the house: add it to allowed, and to docs/architecture.md", pkg)
		}
		seen[pkg] = true
		for _, path := range fields[1:] {
			if ours, ok := strings.CutPrefix(path, module+"/"); ok && !slices.Contains(may, ours) {
				t.Errorf("package %s must not import %s", pkg, ours)
			}
		}
	}
	for pkg := range allowed {
		if !seen[pkg] {
			t.Errorf("package %s is allowed to import things, and does not exist", pkg)
		}
	}
}
