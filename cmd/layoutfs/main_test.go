package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/layoutfs/layoutfs/embedded"
	"github.com/layoutfs/layoutfs/index/store"
)

// TestMain lets the test binary be the program itself: under the name layoutfs, and as the embedded server
// that the program starts. So what the scripts run is the real thing, with the race detector if the tests
// have it. Under the name client it is a client of a layout.
func TestMain(m *testing.M) {
	embedded.RunIfChild()
	store.RunIfChild()
	testscript.Main(m, map[string]func(){"layoutfs": main, "client": client})
}

// TestCommandLine runs the scripts of testdata: what the command line promises, on real mounts, with a real
// S3 server.
func TestCommandLine(t *testing.T) {
	program, err := exec.LookPath("layoutfs")
	if err != nil {
		t.Fatal(err)
	}
	// One script is another user's.
	if err := os.Chmod(filepath.Dir(filepath.Dir(program)), 0o711); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                "testdata",
		RequireUniqueNames: true,
		Setup:              setUp,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"asked":        asked,
			"await":        await,
			"confidential": confidential,
			"fails":        fails,
			"get":          get,
			"launch":       launch,
			"misuse":       misuse,
			"nobody":       nobody,
			"nothing":      nothing,
			"printed":      printed,
			"retry":        retry,
			"setenv":       setenv,
			"signal":       sendSignal,
			"silent":       silent,
			"start":        start,
		},
	})
}
