package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/layoutfs/layoutfs/index/store"
)

// The test binary is also a program that hides its secrets and tells what it was given.
const helperEnv = "DAEMON_TEST_HELPER"

// replaceEnv has it put another file in its place before.
const replaceEnv = "DAEMON_TEST_REPLACE"

func TestMain(m *testing.M) {
	store.RunIfChild()
	if os.Getenv(helperEnv) != "" {
		tellArgs()
		return
	}
	os.Exit(m.Run())
}

// told is what the helper tells of itself.
type told struct {
	Args, Shown []string
	Environ     []string
	Error       string
}

func tellArgs() {
	if os.Getenv(replaceEnv) != "" {
		if err := errors.Join(os.Remove(os.Args[0]), os.WriteFile(os.Args[0], []byte("another version"), 0o700)); err != nil {
			panic(err)
		}
	}
	args, err := HideSecrets(os.Args)
	shown, readErr := os.ReadFile("/proc/self/cmdline")
	if readErr != nil {
		panic(readErr)
	}
	t := told{Args: args, Shown: strings.Split(strings.TrimSuffix(string(shown), "\x00"), "\x00"), Environ: os.Environ()}
	if err != nil {
		t.Error = err.Error()
	}
	b, err := json.Marshal(t)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(b))
}
