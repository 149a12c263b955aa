package prune

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/inspect"
	"github.com/layoutfs/layoutfs/sync/bucket"
	"github.com/layoutfs/layoutfs/sync/bucket/buckettest"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// aged is a real bucket whose objects are as old as a test wants them.
type aged struct {
	*bucket.Client
	t      testing.TB
	missed func(digest.Digest) // if not nil, called after a read of a blob that is not there

	mu    sync.Mutex // guards following
	blobs map[digest.Digest]time.Duration
	names map[string]time.Duration
}

func newBucket(t testing.TB) *aged {
	t.Helper()
	return &aged{Client: buckettest.Open(t), t: t, blobs: map[digest.Digest]time.Duration{}, names: map[string]time.Duration{}}
}

func (a *aged) back(o bucket.Object) bucket.Object {
	a.mu.Lock()
	defer a.mu.Unlock()
	o.LastModified = o.LastModified.Add(-a.blobs[o.Digest])
	return o
}

func (a *aged) ListBlobs(ctx context.Context) iter.Seq2[bucket.Object, error] {
	return func(yield func(bucket.Object, error) bool) {
		for o, err := range a.Client.ListBlobs(ctx) {
			if !yield(a.back(o), err) {
				return
			}
		}
	}
}

func (a *aged) StatBlob(ctx context.Context, d digest.Digest) (bucket.Object, error) {
	o, err := a.Client.StatBlob(ctx, d)
	return a.back(o), err
}

func (a *aged) OpenBlob(ctx context.Context, d digest.Digest, off, n int64) (io.ReadCloser, error) {
	r, err := a.Client.OpenBlob(ctx, d, off, n)
	if errors.Is(err, iofs.ErrNotExist) && a.missed != nil {
		a.missed(d)
	}
	return r, err
}

// touch is what an exporter does with what it relies on.
func (a *aged) touch(d digest.Digest) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.blobs, d)
}

func (a *aged) version(e bucket.NameEntry) bucket.NameEntry {
	a.mu.Lock()
	defer a.mu.Unlock()
	if e.Version.LastModified.IsZero() { // of what was just written it is not known: here it is
		e.Version.LastModified = a.listed(e.Name)
	}
	e.Version.LastModified = e.Version.LastModified.Add(-a.names[e.Name])
	return e
}

func (a *aged) listed(name string) time.Time {
	for e, err := range a.Client.ListNames(a.t.Context(), name) {
		must(a.t, err)
		if e.Name == name {
			return e.Version.LastModified
		}
	}
	return time.Time{}
}

func (a *aged) ListNames(ctx context.Context, prefix string) iter.Seq2[bucket.NameEntry, error] {
	return func(yield func(bucket.NameEntry, error) bool) {
		for e, err := range a.Client.ListNames(ctx, prefix) {
			if !yield(a.version(e), err) {
				return
			}
		}
	}
}

func (a *aged) GetName(ctx context.Context, name string) (bucket.Name, error) {
	n, err := a.Client.GetName(ctx, name)
	n.NameEntry = a.version(n.NameEntry)
	return n, err
}

// blob puts a blob that is so old.
func (a *aged) blob(text string, age time.Duration) ocispec.Descriptor {
	a.t.Helper()
	b := []byte(text)
	d := digest.FromBytes(b)
	must(a.t, a.PutBlob(a.t.Context(), d, bytes.NewReader(b), int64(len(b))))
	a.mu.Lock()
	defer a.mu.Unlock()
	a.blobs[d] = age
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: d, Size: int64(len(b))}
}

// name publishes an image of these layers, as old as they say.
func (a *aged) name(name string, age time.Duration, layers ...ocispec.Descriptor) []ocispec.Descriptor {
	a.t.Helper()
	config := a.blob(`{"of":"`+name+`"}`, age)
	config.MediaType = ocispec.MediaTypeImageConfig
	b, err := json.Marshal(ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: layers})
	must(a.t, err)
	m := a.blob(string(b), age)
	m.MediaType = ocispec.MediaTypeImageManifest
	must(a.t, a.PutName(a.t.Context(), name, []byte("{}"), &m))
	a.mu.Lock()
	defer a.mu.Unlock()
	a.names[name] = age
	return append([]ocispec.Descriptor{m, config}, layers...)
}

// there lists the blobs that are in the bucket.
func (a *aged) there() map[digest.Digest]bool {
	a.t.Helper()
	all := map[digest.Digest]bool{}
	for o, err := range a.Client.ListBlobs(a.t.Context()) {
		must(a.t, err)
		all[o.Digest] = true
	}
	return all
}

func (a *aged) namesThere() []string {
	a.t.Helper()
	var all []string
	for e, err := range a.Client.ListNames(a.t.Context(), "") {
		must(a.t, err)
		all = append(all, e.Name)
	}
	slices.Sort(all)
	return all
}

// run prunes, and lists what went.
func (a *aged) run(o Options) (Report, []Removal, error) {
	a.t.Helper()
	var all []Removal
	removed := o.Removed
	o.Removed = func(r Removal) {
		all = append(all, r)
		if removed != nil {
			removed(r)
		}
	}
	report, err := Run(a.t.Context(), a, o)
	return report, all, err
}

func digests(all []Removal) map[digest.Digest]bool {
	of := map[digest.Digest]bool{}
	for _, r := range all {
		if r.Kind == Blob {
			of[r.Digest] = true
		}
	}
	return of
}

const day = 24 * time.Hour

// TestSweep takes what no name reaches and nobody has touched for the grace period; a dry run says the same
// and takes nothing.
func TestSweep(t *testing.T) {
	a := newBucket(t)
	shared, used := a.blob("shared", 90*day), a.blob("used", 90*day)
	a.name("app", 90*day, shared, used)
	a.name("other", 90*day, shared)
	old, young := a.blob("old", 3*day), a.blob("young", day)
	o := Options{Grace: 2 * day, DryRun: true}
	for _, o.DryRun = range []bool{true, false} {
		report, all, err := a.run(o)
		must(t, err)
		if diff := cmp.Diff(map[digest.Digest]bool{old.Digest: true}, digests(all)); diff != "" {
			t.Errorf("dry run %v (-want +got):\n%s", o.DryRun, diff)
		}
		want := Report{Blobs: 1, Bytes: 3, KeptNames: 2, KeptBlobs: 7, TooYoung: 1, DryRun: o.DryRun, KeptBytes: report.KeptBytes}
		if report != want || report.KeptBytes == 0 {
			t.Errorf("%+v, not %+v", report, want)
		}
		if there := a.there(); there[old.Digest] != o.DryRun || !there[young.Digest] || !there[used.Digest] {
			t.Errorf("dry run %v: old %v, young %v, used %v", o.DryRun, there[old.Digest], there[young.Digest], there[used.Digest])
		}
	}
	if report, _, err := a.run(o); err != nil || report.Blobs != 0 {
		t.Errorf("a second run takes %+v: %v", report, err)
	}
}

// TestNamesGoByRules, and then what only they reach; a name is kept for any of the reasons to keep it.
func TestNamesGoByRules(t *testing.T) {
	tests := []struct {
		name  string
		rules Options
		pin   string
		want  []string // what stays
	}{
		{"none", Options{}, "", []string{"main", "pr/1", "pr/2", "pr/3", "release/1"}},
		{"age", Options{OlderThan: 25 * day}, "", []string{"main", "pr/1", "pr/2"}},
		{"age, kept by name", Options{OlderThan: 5 * day, Keep: []string{"main", "release/*"}}, "", []string{"main", "release/1"}},
		{"age, kept by folder", Options{OlderThan: 5 * day, Keep: []string{"pr/"}}, "", []string{"main", "pr/1", "pr/2", "pr/3"}},
		{"age, kept by pin", Options{OlderThan: 5 * day}, "pr/3", []string{"main", "pr/3"}},
		{"age, kept by count", Options{OlderThan: 5 * day, KeepLast: 3}, "", []string{"main", "pr/1", "pr/2"}},
		{"count", Options{KeepLast: 2}, "", []string{"main", "pr/1"}},
		{"count of those not kept otherwise", Options{KeepLast: 1, Keep: []string{"main"}}, "", []string{"main", "pr/1"}},
		{"size", Options{KeepStorage: 3400}, "", []string{"main", "pr/1", "pr/2"}},
		{"size that is enough", Options{KeepStorage: 1 << 20}, "", []string{"main", "pr/1", "pr/2", "pr/3", "release/1"}},
		{"size, kept by name", Options{KeepStorage: 1, Keep: []string{"release/"}}, "", []string{"release/1"}},
		{"age and size", Options{OlderThan: 25 * day, KeepStorage: 2300}, "", []string{"main", "pr/1"}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			a := newBucket(t)
			closures := map[string][]ocispec.Descriptor{}
			for name, age := range map[string]time.Duration{"main": day, "pr/1": 10 * day, "pr/2": 20 * day, "pr/3": 30 * day, "release/1": 40 * day} {
				// With manifest and config each takes some 1,100 bytes.
				closures[name] = a.name(name, age, a.blob(name+strings.Repeat(".", 700), age))
			}
			if tc.pin != "" {
				must(t, a.PutPin(t.Context(), tc.pin))
			}
			o := tc.rules
			o.Grace = time.Hour
			dry := o
			dry.DryRun = true
			_, would, err := a.run(dry)
			must(t, err)
			_, all, err := a.run(o)
			must(t, err)
			if diff := cmp.Diff(digests(would), digests(all)); diff != "" {
				t.Errorf("(-dry run +run):\n%s", diff)
			}
			if diff := cmp.Diff(tc.want, a.namesThere()); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
			there := a.there()
			for name, closure := range closures {
				for _, d := range closure {
					if there[d.Digest] != slices.Contains(tc.want, name) {
						t.Errorf("name %q stays: %v, its blob %s: %v", name, slices.Contains(tc.want, name), d.Digest, there[d.Digest])
					}
				}
			}
		})
	}
}

// TestUnreadableNamesStopEverything: what they need is not known.
func TestUnreadableNamesStopEverything(t *testing.T) {
	for what, spoil := range map[string]func(a *aged){
		"no JSON": func(a *aged) { must(t, a.PutName(t.Context(), "bad", []byte("no JSON"), nil)) },
		"a manifest that is gone": func(a *aged) {
			must(t, a.DeleteBlob(t.Context(), a.name("bad", day, a.blob("x", day))[0].Digest))
		},
	} {
		t.Run(what, func(t *testing.T) {
			a := newBucket(t)
			old := a.blob("old", 30*day)
			spoil(a)
			_, all, err := a.run(Options{Grace: day})
			if err == nil || !strings.Contains(err.Error(), `what name "bad" needs`) || len(all) > 0 || !a.there()[old.Digest] {
				t.Errorf("%+v went: %v", all, err)
			}
		})
	}
}

// TestWhatIsTouchedMeanwhileStays: an exporter has found an old blob, and renewed it, after it was listed.
func TestWhatIsTouchedMeanwhileStays(t *testing.T) {
	a := newBucket(t)
	old := a.blob("old", 30*day)
	said := ""
	report, all, err := a.run(Options{Grace: day, Scanned: func(int) { a.touch(old.Digest) }, Log: func(s string) { said += s }})
	must(t, err)
	if len(all) > 0 || !a.there()[old.Digest] || report.KeptBlobs != 1 || !strings.Contains(said, "was touched meanwhile") {
		t.Errorf("%+v went, %+v: %q", all, report, said)
	}
}

// TestNameWrittenMeanwhileStays, with what it reaches.
func TestNameWrittenMeanwhileStays(t *testing.T) {
	a := newBucket(t)
	a.name("first", 40*day, a.blob("1", 40*day))
	layer := a.blob("2", 40*day)
	a.name("second", 30*day, layer)
	write := func(r Removal) {
		if r.Name == "first" {
			a.name("second", 0, layer)
		}
	}
	_, _, err := a.run(Options{Grace: day, OlderThan: 7 * day, Removed: write})
	must(t, err)
	if diff := cmp.Diff([]string{"second"}, a.namesThere()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !a.there()[layer.Digest] {
		t.Error("its layer is gone")
	}
}

// TestNamesOfALongSweepAreSeen: what a name needs that is written while a sweep goes on stays, also if it is old.
func TestNamesOfALongSweepAreSeen(t *testing.T) {
	a := newBucket(t)
	var old []ocispec.Descriptor
	for i := range 50 {
		old = append(old, a.blob(fmt.Sprint("old", i), 30*day))
	}
	var clock time.Duration
	written := false
	o := Options{Grace: day, now: func() time.Time { return time.Now().Add(clock) }}
	o.Scanned = func(int) {
		if !written {
			written = true
			a.name("late", 0, old...)
			clock = time.Minute
		}
	}
	_, all, err := a.run(o)
	must(t, err)
	if len(all) > 0 {
		t.Errorf("%d blobs went that a name needs", len(all))
	}
}

// TestLostBlobsAreTold: in the moment between the last look and the deletion, an exporter relies on the blob.
// If it is written again, nothing is wrong.
func TestLostBlobsAreTold(t *testing.T) {
	a := newBucket(t)
	old := a.blob("old", 30*day)
	lost := (*LostError)(nil)
	_, _, err := a.run(Options{Grace: day, pause: func(Removal) { a.name("late", 0, old) }})
	if !errors.As(err, &lost) || lost.Name != "late" || !slices.Equal(lost.Lost, []digest.Digest{old.Digest}) {
		t.Errorf("error %v", err)
	}
	a.blob("old", 30*day)
	a2 := newBucket(t)
	again := a2.blob("old", 30*day)
	_, _, err = a2.run(Options{Grace: day, Removed: func(r Removal) {
		if r.Digest == again.Digest {
			a2.blob("old", 0)
			a2.name("late", 0, again)
		}
	}})
	must(t, err)
}

// TestLostManifestsAreTold: a name cannot be read, because prune took its manifest in that moment.
func TestLostManifestsAreTold(t *testing.T) {
	a := newBucket(t)
	manifest := a.name("app", 30*day, a.blob("old", 30*day))[0]
	must(t, a.DeleteName(t.Context(), "app"))
	lost := (*LostError)(nil)
	_, _, err := a.run(Options{Grace: day, pause: func(r Removal) {
		if r.Digest == manifest.Digest {
			must(t, a.PutName(t.Context(), "late", []byte("{}"), &manifest))
		}
	}})
	if !errors.As(err, &lost) || lost.Name != "late" || !slices.Equal(lost.Lost, []digest.Digest{manifest.Digest}) {
		t.Errorf("error %v", err)
	}
}

// TestManifestsThatAreThereAgainAreNoLoss: a mount looks at a name's blobs once more when it has written it, and
// uploads what was pruned meanwhile.
func TestManifestsThatAreThereAgainAreNoLoss(t *testing.T) {
	a := newBucket(t)
	manifest := a.name("app", 30*day, a.blob("old", 30*day))[0]
	content, err := a.OpenBlob(t.Context(), manifest.Digest, 0, manifest.Size)
	must(t, err)
	b, err := io.ReadAll(content)
	must(t, errors.Join(err, content.Close()))
	must(t, a.DeleteName(t.Context(), "app"))
	a.missed = func(digest.Digest) { a.blob(string(b), 0) }
	_, _, err = a.run(Options{Grace: day, pause: func(r Removal) {
		if r.Digest == manifest.Digest {
			must(t, a.PutName(t.Context(), "late", []byte("{}"), &manifest))
		}
	}})
	must(t, err)
	if !a.there()[manifest.Digest] {
		t.Error("the manifest is not there: the test tests nothing")
	}
}

// TestUploadsThatNobodyFinishes go when they are old, and no others.
func TestUploadsThatNobodyFinishes(t *testing.T) {
	client := buckettest.Open(t)
	fake := &uploads{Client: client, all: []bucket.Upload{
		{Digest: digest.FromString("old"), ID: "1", Begun: time.Now().Add(-3 * day)},
		{Digest: digest.FromString("new"), ID: "2", Begun: time.Now().Add(-time.Hour)},
	}}
	for _, dry := range []bool{true, false} {
		fake.dropped = nil
		var all []Removal
		report, err := Run(t.Context(), fake, Options{Grace: 2 * day, DryRun: dry, Removed: func(r Removal) { all = append(all, r) }})
		must(t, err)
		if report.Uploads != 1 || len(all) != 1 || all[0].Digest != digest.FromString("old") {
			t.Errorf("%+v: %+v", report, all)
		}
		if dropped := slices.Equal(fake.dropped, []string{"1"}); dropped == dry {
			t.Errorf("dry run %v: %q were dropped", dry, fake.dropped)
		}
	}
}

type uploads struct {
	*bucket.Client
	all     []bucket.Upload
	dropped []string
}

func (u *uploads) ListUploads(context.Context) iter.Seq2[bucket.Upload, error] {
	return func(yield func(bucket.Upload, error) bool) {
		for _, up := range u.all {
			if !yield(up, nil) {
				return
			}
		}
	}
}

func (u *uploads) DropUpload(_ context.Context, up bucket.Upload) error {
	u.dropped = append(u.dropped, up.ID)
	return nil
}

// TestBrokenListingsDeleteNothing: a listing of names that breaks off must not pass for all of them.
func TestBrokenListingsDeleteNothing(t *testing.T) {
	a := newBucket(t)
	used := a.blob("used", 30*day)
	a.name("a", 30*day, used)
	a.name("b", 30*day, a.blob("more", 30*day))
	broken := &breaking{a}
	removed := 0
	_, err := Run(t.Context(), broken, Options{Grace: day, Removed: func(Removal) { removed++ }})
	if !errors.Is(err, errBroken) || removed > 0 {
		t.Errorf("%d went: %v", removed, err)
	}
}

var errBroken = errors.New("the listing broke off")

type breaking struct{ *aged }

func (b *breaking) ListNames(ctx context.Context, prefix string) iter.Seq2[bucket.NameEntry, error] {
	return func(yield func(bucket.NameEntry, error) bool) {
		for e, err := range b.aged.ListNames(ctx, prefix) {
			if err == nil && !yield(e, nil) {
				return
			}
			yield(bucket.NameEntry{}, errBroken)
			return
		}
	}
}

// disk is local disk in memory.
type disk map[digest.Digest]inspect.Blob

func (d disk) LocalBlobs(context.Context) iter.Seq2[inspect.Blob, error] {
	return func(yield func(inspect.Blob, error) bool) {
		for _, k := range slices.Sorted(maps.Keys(d)) {
			if !yield(d[k], nil) {
				return
			}
		}
	}
}

func TestLocal(t *testing.T) {
	tests := []struct {
		name string
		o    LocalOptions
		want []string // what stays
	}{
		{"everything", LocalOptions{}, []string{"staged"}},
		{"age", LocalOptions{OlderThan: 2 * day}, []string{"new", "staged"}},
		{"size", LocalOptions{KeepStorage: 25}, []string{"new", "staged"}},
		{"size that is enough", LocalOptions{KeepStorage: 1000}, []string{"new", "old", "partial", "staged"}},
		{"dry run", LocalOptions{DryRun: true}, []string{"new", "old", "partial", "staged"}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			d := disk{}
			names := map[digest.Digest]string{}
			for name, b := range map[string]inspect.Blob{
				"new": {In: inspect.Warm, Used: time.Now().Add(-day)}, "old": {In: inspect.Warm, Used: time.Now().Add(-9 * day)},
				"partial": {In: inspect.Partial, Used: time.Now().Add(-5 * day)}, "staged": {In: inspect.Staged, Used: time.Now().Add(-9 * day)},
			} {
				b.Digest, b.Size = digest.FromString(name), 10
				d[b.Digest], names[b.Digest] = b, name
			}
			tc.o.Drop = func(_ context.Context, dg digest.Digest) error { delete(d, dg); return nil }
			told := 0
			tc.o.Removed = func(Removal) { told++ }
			report, err := RunLocal(t.Context(), d, tc.o)
			must(t, err)
			var got []string
			for dg := range d {
				got = append(got, names[dg])
			}
			slices.Sort(got)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if report.Blobs != told || !tc.o.DryRun && report.KeptBlobs != len(got) {
				t.Errorf("%+v, %d told", report, told)
			}
		})
	}
}

func TestOptionsAreChecked(t *testing.T) {
	err := Options{Keep: []string{"["}, Grace: -1, KeepLast: -1}.Validate()
	for _, says := range []string{`--keep: "["`, "--grace", "--keep-last"} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v does not say %s", err, says)
		}
	}
}
