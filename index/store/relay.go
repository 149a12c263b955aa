package store

import (
	"bytes"
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

	mu   sync.Mutex // guards following
	rest []byte     // of a line without its end
	end  []string
}

// endLines are as many as tell why: what follows are the stacks of all goroutines.
const endLines = 2

// Write implements io.Writer.
func (r *relay) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rest = append(r.rest, p...)
	for {
		line, rest, ok := bytes.Cut(r.rest, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		r.rest = rest
		r.say(bytes.TrimSpace(line))
	}
}

func (r *relay) say(line []byte) {
	var record map[string]any
	if err := json.Unmarshal(line, &record); err != nil {
		if len(line) > 0 && len(r.end) < endLines {
			r.end = append(r.end, string(line))
		}
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

// last is what the process said when it died; empty if nothing.
func (r *relay) last() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.end, ": ")
}
