package source_test

import (
	"os"
	"testing"

	"github.com/layoutfs/layoutfs/index/store"
)

// TestMain is also the process that a daemon has for its index.
func TestMain(m *testing.M) {
	store.RunIfChild()
	os.Exit(m.Run())
}
