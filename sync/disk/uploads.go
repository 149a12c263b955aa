package disk

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"iter"
	"os"
	"path/filepath"
)

// An upload in parts is a file in uploads/, called by the SHA-256 of its ID. Its first line is the ID,
// quoted as in Go, and the rest is the key.

func (s *Store) uploadPath(id string) string {
	sum := sha256.Sum256([]byte(id))
	return filepath.Join(s.dir, uploadsDir, hex.EncodeToString(sum[:]))
}

// BeginUpload durably notes that an object is uploaded in parts.
func (s *Store) BeginUpload(key, id string) error {
	tmp, err := s.writeTemp(encodePending(id, []byte(key)))
	if err == nil {
		err = moveDurably(tmp, s.uploadPath(id))
	}
	if err != nil {
		return fmt.Errorf("note the upload of %s: %w", key, err)
	}
	return nil
}

// EndUpload notes that it has ended. One that is not known is no error. The note may come back after a power loss: to drop
// what has ended does nothing.
func (s *Store) EndUpload(key, id string) error {
	if err := remove(s.uploadPath(id)); err != nil {
		return fmt.Errorf("note the end of the upload of %s: %w", key, err)
	}
	return nil
}

// Uploads lists what was begun and not ended: IDs and their keys.
func (s *Store) Uploads() (iter.Seq2[string, string], error) {
	entries, err := os.ReadDir(filepath.Join(s.dir, uploadsDir))
	if err != nil {
		return nil, fmt.Errorf("list uploads that were not ended: %w", err)
	}
	return func(yield func(id, key string) bool) {
		for _, e := range entries {
			path := filepath.Join(s.dir, uploadsDir, e.Name())
			id, key, err := readPending(path)
			if err != nil || path != s.uploadPath(id) {
				s.log.Warn("a file is in the way of the notes on uploads", "file", path, "err", err)
				continue
			}
			if !yield(id, string(key)) {
				return
			}
		}
	}, nil
}
