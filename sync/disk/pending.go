package disk

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"
)

// pendingFile is one document that waits; the file is named for the hash of the name, which may hold
// any byte.
type pendingFile struct {
	Name string `json:"name"`
	Doc  []byte `json:"doc"`
}

const pendingSuffix = ".json"

func (s *Store) pendingPath(name string) string {
	return filepath.Join(s.dir, pendingDir, digest.FromString(name).Encoded()+pendingSuffix)
}

// PutPending records a small document under a name, durably: what is to be published later.
func (s *Store) PutPending(name string, doc []byte) error {
	b, err := json.Marshal(pendingFile{Name: name, Doc: doc})
	if err != nil {
		return fmt.Errorf("keep the publication of %q: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := writeDurably(s.pendingPath(name), b); err != nil {
		return fmt.Errorf("keep the publication of %q: %w", name, err)
	}
	return nil
}

// Pending lists the recorded documents by name. One that is damaged is passed over with a warning.
func (s *Store) Pending() (map[string][]byte, error) {
	folder := filepath.Join(s.dir, pendingDir)
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("list the publications that wait: %w", err)
	}
	docs := map[string][]byte{}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), pendingSuffix) {
			continue
		}
		b, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("list the publications that wait: %w", err)
		}
		var p pendingFile
		if err := json.Unmarshal(b, &p); err != nil {
			s.o.Log.Error("a publication that waits is damaged", "file", e.Name(), "err", err)
			continue
		}
		docs[p.Name] = p.Doc
	}
	return docs, nil
}

// RemovePending forgets the document of a name if it is still doc.
func (s *Store) RemovePending(name string, doc []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := os.ReadFile(s.pendingPath(name))
	if errors.Is(err, iofs.ErrNotExist) {
		return nil
	}
	var p pendingFile
	if err == nil {
		err = json.Unmarshal(b, &p)
	}
	if err == nil && bytes.Equal(p.Doc, doc) {
		err = os.Remove(s.pendingPath(name))
	}
	if err != nil {
		return fmt.Errorf("forget the publication of %q: %w", name, err)
	}
	return nil
}

// writeDurably replaces a file so that after a power loss it has its old content or its new.
func writeDurably(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(filepath.Dir(path))
}
