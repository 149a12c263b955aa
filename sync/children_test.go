package sync

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

func TestChildrenAreTheNextComponents(t *testing.T) {
	names := []string{
		"app", "app/v1", "app/v1/x", "lib/core", "blobs", "a//b", "../up", "ingest/x", "apple",
		digest.FromString("untagged").String(),
	}
	if diff := cmp.Diff([]string{"a", "app", "apple", "lib"}, children("", names)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"v1"}, children("app", names)); diff != "" {
		t.Error(diff)
	}
}
