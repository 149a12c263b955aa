package daemon

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/layoutfs/layoutfs/inspect"
)

const (
	webNamesShown = 100         // how many names the page lists
	webPatience   = time.Second // how long it waits for the bucket
)

// page is what the page shows.
type page struct {
	Status
	Newest  []inspect.Summary // names, those that were written last first
	Problem string            // why there are no names; or empty
}

var pageFuncs = template.FuncMap{"size": bytesText, "ago": humanize.Time, "percent": percent, "seconds": seconds}

func percent(part, whole int64) string {
	if whole == 0 {
		return ""
	}
	return fmt.Sprintf("%d %%", part*100/whole)
}

func seconds(n float64) time.Duration {
	return time.Duration(n * float64(time.Second)).Round(time.Second)
}

// showPage makes the page before it sends any of it.
func (d *Daemon) showPage(w http.ResponseWriter, r *http.Request, t *template.Template) {
	ctx, cancel := context.WithTimeout(r.Context(), webPatience)
	defer cancel()
	_, _ = d.parts.engine.Children(ctx, "") // looks for names; without an answer those are shown that are known
	p := page{Status: d.Status()}
	var err error
	if p.Newest, err = d.newest(ctx, webNamesShown); err != nil {
		p.Problem = err.Error()
	}
	var b bytes.Buffer
	if err := t.Execute(&b, p); err != nil {
		d.log.Error("make the web page", "err", err)
		http.Error(w, "the page cannot be made; the log says why", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if _, err := b.WriteTo(w); err != nil {
		d.log.Debug("send the web page", "err", err)
	}
}

// newest are the n names that were written last. What they reach is read if that was never done.
func (d *Daemon) newest(ctx context.Context, n int) ([]inspect.Summary, error) {
	var found []inspect.Name
	for name, err := range d.names("") {
		if err != nil {
			return nil, err
		}
		at, _ := slices.BinarySearchFunc(found, name, newestFirst)
		if found = slices.Insert(found, at, name); len(found) > n {
			found = found[:n]
		}
	}
	d.readClosures(ctx, found)
	all := make([]inspect.Summary, len(found))
	for i, name := range found {
		all[i] = inspect.Summarise(name, name.Closure, d.placeOf, false)
	}
	return all, nil
}

// newestFirst orders names. One of which it is not known when it was written was so just now, or is not yet.
func newestFirst(a, b inspect.Name) int {
	if a.Updated.IsZero() || b.Updated.IsZero() {
		return cmp.Compare(oneIf(b.Updated.IsZero()), oneIf(a.Updated.IsZero()))
	}
	return b.Updated.Compare(a.Updated)
}
