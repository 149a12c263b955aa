package store

import (
	"strings"
	"sync"

	"github.com/tidwall/btree"
)

// Memory is a store that ends with the process.
type Memory struct {
	mu      sync.RWMutex // guards following; a leaf
	entries btree.Map[string, []byte]
}

// Get returns a value that must not be changed, nil if there is none. It never fails.
func (m *Memory) Get(key []byte) ([]byte, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	value, _ := m.entries.Get(string(key))
	return value, nil
}

// Page returns entries under a prefix whose keys come after a key, or the first ones, and whether there may be more.
// Without values it is keys alone. It never fails.
func (m *Memory) Page(prefix, after []byte, values bool) (page []Entry, more bool, err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	size := 0
	m.entries.Ascend(max(string(prefix), string(after)), func(key string, value []byte) bool {
		if key == string(after) {
			return true
		}
		if more = size >= pageSize; more || !strings.HasPrefix(key, string(prefix)) {
			return false
		}
		e := Entry{Key: []byte(key)}
		if values {
			e.Value = value
		}
		size += len(e.Key) + len(e.Value)
		page = append(page, e)
		return true
	})
	return page, more, nil
}

// Write makes changes. It never fails.
func (m *Memory) Write(changes ...Change) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range changes {
		if c.Delete {
			m.entries.Delete(string(c.Key))
		} else {
			m.entries.Set(string(c.Key), append([]byte{}, c.Value...))
		}
	}
	return nil
}

// Flush does nothing.
func (m *Memory) Flush() error { return nil }

// Close does nothing.
func (m *Memory) Close() error { return nil }
