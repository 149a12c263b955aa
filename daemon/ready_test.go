package daemon

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/tonistiigi/go-csvvalue"
)

// What is printed for --cache-to goes through a shell and then through buildx's CSV parser.
func FuzzCacheFlagSurvivesAShell(f *testing.F) {
	for _, seed := range []string{"/mnt/cache", "/mnt/it's, \"here\"", "/a b/$HOME/`id`", "/ü\\n*?[]{}~!#&;|<>()", "/x=y,z", "/tab\tnew\nline", "-"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if strings.ContainsRune(path, 0) {
			return // no path has one
		}
		out, err := exec.Command("sh", "-c", "printf %s "+cacheFlag("type=local", "dest="+path)+"; printf .").Output()
		if err != nil {
			t.Fatal(err)
		}
		fields, err := csvvalue.Fields(string(out[:len(out)-1]), nil)
		if err != nil || len(fields) != 2 || fields[0] != "type=local" || fields[1] != "dest="+path {
			t.Errorf("%q arrives as %q, %v", path, fields, err)
		}
	})
}
