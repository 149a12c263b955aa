package bucket_test

import (
	"os"
	"strings"
	"testing"
)

// TestMain keeps the machine's own AWS configuration out of the tests, and runs those that must be a
// process of their own.
func TestMain(m *testing.M) {
	for _, pair := range os.Environ() {
		if key, _, _ := strings.Cut(pair, "="); strings.HasPrefix(key, "AWS_") {
			_ = os.Unsetenv(key)
		}
	}
	for _, key := range []string{"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"} {
		_ = os.Setenv(key, "/nonexistent")
	}
	_ = os.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	if os.Getenv(proxyChild) != "" {
		os.Exit(checkFromChild())
	}
	os.Exit(m.Run())
}
