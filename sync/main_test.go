package sync

import (
	"os"
	"testing"

	"github.com/layoutfs/layoutfs/index/store"
)

// TestMain is also the process that has an index open.
func TestMain(m *testing.M) {
	store.RunIfChild()
	os.Exit(m.Run())
}
