package fs

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/hanwen/go-fuse/v2/posixtest"
)

// notPosix are the tests of go-fuse's suite that do not apply to scratch, and why.
var notPosix = map[string]string{
	"XAttr":      "extended attributes are refused",
	"XAttrLarge": "extended attributes are refused",

	"Link":             "a file has one name",
	"LinkUnlinkRename": "a file has one name",

	"OpenSymlinkRace": "an open whose name is renamed over twice meanwhile is told ESTALE: Linux looks it up again once",

	"FcntlFlockLocksFile": "the kernel keeps the locks, where those of one process do not meet",
}

// TestScratchIsPosix runs go-fuse's suite in a scratch directory.
func TestScratchIsPosix(t *testing.T) {
	r := testMount(t)
	for name := range notPosix {
		if posixtest.All[name] == nil {
			t.Errorf("the suite has no test %q any more that could be left out", name)
		}
	}
	for name, test := range posixtest.All {
		if notPosix[name] != "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(r.mnt, ".posix-"+name)
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			test(t, dir)
		})
	}
}
