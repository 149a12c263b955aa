package store

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
)

// relay is the standard error of the process: records of a log as JSON, and at its end what the runtime says of its
// death, of which the first lines are kept.
type relay struct {
	log *slog.Logger

	mu  sync.Mutex // guards following
	end []string
}

// endLines are as many as tell why: what follows are the stacks of all goroutines.
const endLines = 2

func (r *relay) say(line []byte) {
	var record map[string]any
	if err := json.Unmarshal(line, &record); err != nil {
		r.keep(string(line))
		return
	}
	var level slog.Level
	text, _ := record[slog.LevelKey].(string)
	_ = level.UnmarshalText([]byte(text)) // it is slog's own
	message, _ := record[slog.MessageKey].(string)
	for _, key := range []string{slog.TimeKey, slog.LevelKey, slog.MessageKey} {
		delete(record, key)
	}
	var attrs []any
	for _, key := range slices.Sorted(maps.Keys(record)) {
		attrs = append(attrs, slog.Any(key, record[key]))
	}
	r.log.Log(context.Background(), level, message, attrs...)
}

func (r *relay) keep(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.end) < endLines {
		r.end = append(r.end, line)
	}
}

// last is what the process said when it died; empty if nothing.
func (r *relay) last() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.end, ": ")
}
