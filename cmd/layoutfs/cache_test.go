package main

import (
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestCacheCommands runs the scripts of testdata/cache: commands that look into a cache and change one, on
// caches of real builds ($LAYOUTS, $WHY).
func TestCacheCommands(t *testing.T) {
	data, err := filepath.Abs("../../inspect/testdata")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                "testdata/cache",
		RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("LAYOUTS", filepath.Join(data, "layouts"))
			e.Setenv("WHY", filepath.Join(data, "why"))
			return setUp(e)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"await": await, "fails": fails, "launch": launch, "misuse": misuse, "signal": sendSignal, "start": start,
		},
	})
}
