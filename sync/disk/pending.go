package disk

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// A name may hold slashes and be longer than a file name, so the file is called by the name's SHA-256.
// Its first line is the name, quoted as in Go, and the rest is the document.

func (s *Store) pendingPath(name string) string {
	sum := sha256.Sum256([]byte(name))
	return filepath.Join(s.dir, namesDir, hex.EncodeToString(sum[:]))
}

func encodePending(name string, doc []byte) []byte {
	return append(strconv.AppendQuote(nil, name), append([]byte{'\n'}, doc...)...)
}

var errPending = errors.New("not a publication that waits")

func decodePending(b []byte) (name string, doc []byte, err error) {
	line, doc, ok := bytes.Cut(b, []byte{'\n'})
	if !ok {
		return "", nil, errPending
	}
	if name, err = strconv.Unquote(string(line)); err != nil {
		return "", nil, fmt.Errorf("%w: name %q: %w", errPending, line, err)
	}
	return name, doc, nil
}

// PutPending durably records a small document under a name in staged/names/ (write-back publications).
// An earlier one under that name is replaced.
func (s *Store) PutPending(name string, doc []byte) error {
	if err := s.putPending(name, doc); err != nil {
		return fmt.Errorf("record that %q waits: %w", name, err)
	}
	return nil
}

func (s *Store) putPending(name string, doc []byte) error {
	b := encodePending(name, doc)
	if err := s.Admit(int64(len(b))); err != nil {
		return err
	}
	tmp, err := s.writeTemp(b)
	if err != nil {
		return err
	}
	s.pending.Lock()
	defer s.pending.Unlock()
	return moveDurably(tmp, s.pendingPath(name))
}

// Pending lists the recorded documents by name. What is not a recorded document is logged and left out.
func (s *Store) Pending() (map[string][]byte, error) {
	s.pending.Lock()
	defer s.pending.Unlock()
	dir := filepath.Join(s.dir, namesDir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list what waits: %w", err)
	}
	docs := map[string][]byte{}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		name, doc, err := readPending(path)
		if err == nil && path != s.pendingPath(name) {
			err = errPending
		}
		if errors.Is(err, errPending) || !e.Type().IsRegular() {
			s.log.Error("a file is in the way of publications that wait", "file", path, "err", err)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list what waits: %w", err)
		}
		docs[name] = doc
	}
	return docs, nil
}

func readPending(path string) (name string, doc []byte, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", nil, err
	}
	return decodePending(b)
}

// RemovePending forgets one if its content is still doc. Forgetting what is not there is no error.
func (s *Store) RemovePending(name string, doc []byte) error {
	s.pending.Lock()
	defer s.pending.Unlock()
	path := s.pendingPath(name)
	_, have, err := readPending(path)
	if errors.Is(err, iofs.ErrNotExist) || err == nil && !bytes.Equal(have, doc) {
		return nil
	}
	if err == nil {
		err = os.Remove(path)
	}
	if err == nil {
		// Durably: one that comes back would be published over what others published since.
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("forget that %q waits: %w", name, err)
	}
	return nil
}
