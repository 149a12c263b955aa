package embedded

import (
	"context"
	"fmt"
	"os"
	"testing"
)

// parentEnv makes of the test binary a program that serves a folder until it is killed.
const parentEnv = "EMBEDDED_TEST_PARENT"

func TestMain(m *testing.M) {
	RunIfChild()
	if dir := os.Getenv(parentEnv); dir != "" {
		parent(dir)
	}
	os.Exit(m.Run())
}

// parent serves a temporary folder, tells the process that does, and waits to be killed.
func parent(dir string) {
	s, err := Start(context.Background(), Options{Dir: dir, Temporary: true})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(s.cmd.Process.Pid)
	select {}
}
