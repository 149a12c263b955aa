package sync

import (
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// children lists the directories directly below a scope that names need. A component that cannot be
// a directory's name, or that the layout has taken, is passed over: such names have their tag only.
func children(scope string, names []string) []string {
	seen := map[string]bool{}
	for _, name := range names {
		rest := name
		if scope != "" {
			var ok bool
			if rest, ok = strings.CutPrefix(name, scope+"/"); !ok {
				continue
			}
		}
		first, _, _ := strings.Cut(rest, "/")
		if validComponent(first) {
			seen[first] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// maxComponent is NAME_MAX of Linux.
const maxComponent = 255

func validComponent(s string) bool {
	switch s {
	case "", ".", "..", ocispec.ImageBlobsDir, ocispec.ImageIndexFile, ocispec.ImageLayoutFile, "ingest":
		return false
	}
	// An untagged entry's name is its digest; a directory for it would be noise.
	if _, err := digest.Parse(s); err == nil {
		return false
	}
	return len(s) <= maxComponent && !strings.ContainsRune(s, 0)
}
