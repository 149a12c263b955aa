package fs

import (
	"slices"
	"strings"

	// The algorithms that a blob may be named by.
	_ "crypto/sha256"
	_ "crypto/sha512"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// What every layout has.
const (
	indexFile  = ocispec.ImageIndexFile
	layoutFile = ocispec.ImageLayoutFile
	blobsName  = ocispec.ImageBlobsDir
	ingestName = "ingest"
	cacheLock  = "cache.lock" // of BuildKit's client
)

// fixed says whether every layout has an entry of that name already.
func fixed(name string) bool {
	return name == indexFile || name == layoutFile || name == blobsName
}

// reserved says whether a directory of that name in a layout is scratch, rather than a layout of a name.
// Clients that need a directory for a while call it so: containerd and oras "ingest", others something
// with a dot before it (".fsverity-check-*", ".umoci-*"). Of the lock files of index.json and of BuildKit's caches the
// bucket is not asked, which would take as long as a request.
func reserved(name string) bool {
	return name == ingestName || name == lockFile || name == cacheLock || strings.HasPrefix(name, ".")
}

// algorithm says whether blobs/NAME may hold blobs.
func algorithm(name string) bool { return digest.Algorithm(name).Available() }

// blobName is the digest of the blob that is called so in the directory of its algorithm.
func blobName(alg digest.Algorithm, name string) (digest.Digest, bool) {
	if alg.Validate(name) != nil {
		return "", false
	}
	return digest.NewDigestFromEncoded(alg, name), true
}

// maxName is the longest name of a file, in bytes (NAME_MAX).
const maxName = 255

// directories are those of the names beneath a scope that a directory can show.
func directories(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return fixed(name) || reserved(name) || name == "" || len(name) > maxName || strings.ContainsAny(name, "/\x00")
	})
}
