package disk

import (
	"errors"
	"fmt"
	"os"
)

// Probe says what is wrong with the disk, if anything: it makes a small file, as whatever is written begins.
func (s *Store) Probe() error {
	path := s.tempPath()
	err := os.WriteFile(path, []byte("probe\n"), 0o600)
	if err = errors.Join(err, remove(path)); err != nil {
		return fmt.Errorf("the disk takes no files: %w", err)
	}
	return nil
}
