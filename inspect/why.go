package inspect

import (
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/inspect/layer"
	"github.com/layoutfs/layoutfs/inspect/records"
)

// Why says where a build left a cache. The JSON names are stable.
type Why struct {
	Old        string      `json:"old,omitempty"` // the cache that was left; empty if only a log is known
	New        string      `json:"new"`           // the cache of the build
	Known      int         `json:"known"`         // operations of the build that the old cache has
	Unknown    int         `json:"unknown"`       // and that it has not
	Departures []Departure `json:"departures"`
	Log        *LogSummary `json:"log,omitempty"`
	Notes      []string    `json:"notes,omitempty"` // what could not be found out, and why
}

// Departure is a step that was not in the old cache, while everything that it builds on was.
type Departure struct {
	Record  *DocumentRecord  `json:"record,omitempty"` // absent if only a log is known
	Reason  records.Reason   `json:"reason,omitempty"`
	Changed []ChangedInput   `json:"changed,omitempty"` // the inputs whose source or content is new
	Instead []DocumentRecord `json:"instead,omitempty"` // what the old cache has in this place
	After   int              `json:"after"`             // how many further steps come after it
	Step    string           `json:"step,omitempty"`    // as the log of the build calls it
	Made    []string         `json:"made,omitempty"`    // some paths in the layer that it made
	Plain   string           `json:"plain,omitempty"`   // what its digest was made of, as buildkitd tells
	WasOf   []string         `json:"was,omitempty"`     // the same of Instead
}

// ChangedInput is an input whose source or content the old cache has not.
type ChangedInput struct {
	Input int             `json:"input"` // from 0
	New   digest.Digest   `json:"new"`
	Old   []digest.Digest `json:"old,omitempty"`
	Plain string          `json:"plain,omitempty"`
}

// LogSummary is what the log of a build says.
type LogSummary struct {
	Ran    int  `json:"ran"`
	Cached int  `json:"cached"`
	Exact  bool `json:"exact"` // it says what each step takes
}

// Plaintexts tells what a digest was made of. The error wraps fs.ErrNotExist if that is not known.
type Plaintexts interface {
	Plaintext(ctx context.Context, d digest.Digest) (string, error)
}

// Explain finds where the build that wrote one cache left another. log and plain may be nil.
func Explain(ctx context.Context, old, now *Cache, log *records.Build, plain Plaintexts) (*Why, error) {
	for _, c := range []*Cache{old, now} {
		if c.Graph == nil {
			return nil, fmt.Errorf("name %q is no BuildKit cache: it has no records", c.Name.Name)
		}
	}
	m := records.Compare(old.Graph, now.Graph)
	w := &Why{Old: old.Name.Name, New: now.Name.Name, Departures: []Departure{}}
	for i, r := range now.Graph.Records {
		switch {
		case r.IsRoot():
		case m.Known(i):
			w.Known++
		default:
			w.Unknown++
		}
	}
	steps := w.readLog(now, log)
	kinds, oldKinds := now.Graph.Kinds(), old.Graph.Kinds()
	for _, d := range m.Departures() {
		record := now.record(d.Record, kinds[d.Record])
		out := Departure{Record: &record, Reason: d.Reason, After: d.After, Made: now.made(ctx, d.Record)}
		if at, ok := steps[d.Record]; ok {
			out.Step = log.Steps[at].Name
		}
		for _, c := range d.Changed {
			in := ChangedInput{Input: c.Input, New: now.Graph.Records[c.New].Digest}
			for _, was := range c.Old {
				in.Old = append(in.Old, old.Graph.Records[was].Digest)
			}
			out.Changed = append(out.Changed, in)
		}
		for _, o := range d.Instead {
			out.Instead = append(out.Instead, old.record(o, oldKinds[o]))
		}
		w.Departures = append(w.Departures, out)
	}
	return w, w.describe(ctx, plain)
}

// readLog notes what the log says, and which step made which record.
func (w *Why) readLog(now *Cache, log *records.Build) map[int]int {
	if log == nil {
		return nil
	}
	ran, cached := log.Ran()
	w.Log = &LogSummary{Ran: ran, Cached: cached, Exact: log.Exact}
	steps := log.StepsOf(now.Graph)
	switch {
	case steps != nil || ran == 0:
	case !log.Exact:
		w.Notes = append(w.Notes, "a plain log has no times, by which steps and records could be brought together: use --progress=rawjson")
	default:
		w.Notes = append(w.Notes, fmt.Sprintf("the log is not that of the build that wrote %q, or other builds wrote to it too: its steps and the records cannot be brought together", now.Name.Name))
	}
	return steps
}

// ExplainLog finds where a build left its cache from its log alone. If now is the cache that it wrote, its
// records are told, too; now may be nil.
func ExplainLog(ctx context.Context, now *Cache, log *records.Build, plain Plaintexts) (*Why, error) {
	w := &Why{Departures: []Departure{}}
	of := map[int]int{}
	var kinds []records.Kind
	if now != nil && now.Graph != nil {
		w.New = now.Name.Name
		for record, step := range w.readLog(now, log) {
			of[step] = record
		}
		kinds = now.Graph.Kinds()
	} else {
		ran, cached := log.Ran()
		w.Log = &LogSummary{Ran: ran, Cached: cached, Exact: log.Exact}
	}
	for _, i := range log.Departures() {
		d := Departure{Step: log.Steps[i].Name}
		if at, ok := of[i]; ok {
			record := now.record(at, kinds[at])
			d.Record, d.Made = &record, now.made(ctx, at)
		}
		w.Departures = append(w.Departures, d)
	}
	if !log.Exact && len(w.Departures) > 1 {
		w.Notes = append(w.Notes, "a plain log does not say which stage builds on which: some of these steps may follow from others; use --progress=rawjson")
	}
	return w, w.describe(ctx, plain)
}

// describe asks what the digests were made of.
func (w *Why) describe(ctx context.Context, plain Plaintexts) error {
	if plain == nil {
		return nil
	}
	var errs []error
	ask := func(d digest.Digest) string {
		text, err := plain.Plaintext(ctx, d)
		errs = append(errs, err)
		return text
	}
	for i := range w.Departures {
		d := &w.Departures[i]
		if d.Record != nil {
			d.Plain = ask(d.Record.Digest)
		}
		for _, was := range d.Instead {
			d.WasOf = append(d.WasOf, ask(was.Digest))
		}
		for j := range d.Changed {
			d.Changed[j].Plain = ask(d.Changed[j].New)
		}
	}
	return errors.Join(errs...)
}

const (
	// cheap is how large a layer that is not on local disk may be to be read for some paths, in bytes.
	cheap = 1 << 20
	// somePaths is how many paths tell what a layer is about.
	somePaths = 5
)

// made lists some paths of the layer that a step made, if that is cheap to find out.
func (c *Cache) made(ctx context.Context, record int) []string {
	res, ok := c.Graph.Records[record].Newest()
	if !ok {
		return nil
	}
	d, ok := c.descriptor(c.Graph.Layers[res.Top].Blob)
	if !ok {
		return nil
	}
	if b, err := c.src.Stat(ctx, d.Digest); err != nil || d.Size > cheap && b.In&Local == 0 {
		return nil
	}
	var paths []string
	for e, err := range c.Layer(d).Entries(ctx, layer.Options{}) {
		if err != nil || len(paths) == somePaths {
			break
		}
		switch {
		case e.Hides != layer.Nothing:
			paths = append(paths, "-"+e.Path)
		case !e.Mode.IsDir():
			paths = append(paths, e.Path)
		}
	}
	return paths
}
