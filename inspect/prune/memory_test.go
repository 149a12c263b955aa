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
	"runtime"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

// vast is a bucket of names with 100 layers each, and as many blobs that no name reaches; nothing of it is
// kept anywhere.
type vast struct {
	names int
	peak  uint64 // the largest heap that was seen, in bytes
	seen  int
}

const layersPerName = 100

func (v *vast) blob(name, layer int) digest.Digest {
	return digest.FromString(fmt.Sprint(name, "/", layer))
}

func (v *vast) manifest(name int) []byte {
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageConfig, Digest: v.blob(name, -1), Size: 1000,
	}}
	for i := range layersPerName {
		m.Layers = append(m.Layers, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: v.blob(name, i), Size: 1 << 20})
	}
	b, _ := json.Marshal(m)
	return b
}

func (v *vast) entry(i int) bucket.NameEntry {
	return bucket.NameEntry{Name: fmt.Sprint("name", i), Version: bucket.Version{LastModified: time.Now().Add(-time.Hour), Size: 2}}
}

func (v *vast) ListNames(context.Context, string) iter.Seq2[bucket.NameEntry, error] {
	return func(yield func(bucket.NameEntry, error) bool) {
		for i := range v.names {
			if !yield(v.entry(i), nil) {
				return
			}
		}
	}
}

func (v *vast) GetName(_ context.Context, name string) (bucket.Name, error) {
	var i int
	if _, err := fmt.Sscanf(name, "name%d", &i); err != nil {
		return bucket.Name{}, err
	}
	b := v.manifest(i)
	d := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(b), Size: int64(len(b)), URLs: []string{name}}
	return bucket.Name{NameEntry: v.entry(i), Body: []byte("{}"), Descriptor: &d}, nil
}

func (v *vast) ListBlobs(context.Context) iter.Seq2[bucket.Object, error] {
	return func(yield func(bucket.Object, error) bool) {
		for name := range v.names {
			for i := range 2 * layersPerName { // half of them are of no name
				if !yield(bucket.Object{Digest: v.blob(name, i), Size: 1 << 20, LastModified: time.Unix(1, 0)}, nil) {
					return
				}
			}
			v.measure()
		}
	}
}

func (v *vast) measure() {
	if v.seen++; v.seen%500 != 0 {
		return
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	v.peak = max(v.peak, m.HeapInuse)
}

func (v *vast) OpenBlob(_ context.Context, d digest.Digest, off, n int64) (io.ReadCloser, error) {
	return nil, fmt.Errorf("blob %s: %w", d, iofs.ErrNotExist)
}

func (v *vast) StatBlob(context.Context, digest.Digest) (bucket.Object, error) {
	return bucket.Object{}, iofs.ErrNotExist
}

var errDelete = errors.New("a dry run deletes nothing")

func (v *vast) DeleteName(context.Context, string) error        { return errDelete }
func (v *vast) DeleteBlob(context.Context, digest.Digest) error { return errDelete }
func (v *vast) DropUpload(context.Context, bucket.Upload) error { return errDelete }
func (v *vast) Pins(context.Context) (map[string]bool, error)   { return nil, nil }
func (v *vast) ListUploads(context.Context) iter.Seq2[bucket.Upload, error] {
	return func(func(bucket.Upload, error) bool) {}
}

// reading is vast with manifests, found by the name that was read last for them.
type reading struct {
	*vast
	by chan map[digest.Digest]int
}

func newReading(names int) *reading {
	r := &reading{vast: &vast{names: names}, by: make(chan map[digest.Digest]int, 1)}
	r.by <- map[digest.Digest]int{}
	return r
}

func (r *reading) GetName(ctx context.Context, name string) (bucket.Name, error) {
	n, err := r.vast.GetName(ctx, name)
	if err != nil {
		return n, err
	}
	var i int
	_, err = fmt.Sscanf(name, "name%d", &i)
	by := <-r.by
	by[n.Descriptor.Digest] = i
	r.by <- by
	return n, err
}

func (r *reading) OpenBlob(_ context.Context, d digest.Digest, _, _ int64) (io.ReadCloser, error) {
	by := <-r.by
	i, ok := by[d]
	delete(by, d)
	r.by <- by
	if !ok {
		return nil, iofs.ErrNotExist
	}
	return io.NopCloser(bytes.NewReader(r.manifest(i))), nil
}

// dryRun prunes so many names and twice as many blobs as they reach, and gives the peak of the heap in bytes.
func dryRun(t testing.TB, names int) uint64 {
	t.Helper()
	runtime.GC()
	b := newReading(names)
	removed := 0
	report, err := Run(t.Context(), b, Options{Grace: time.Hour, DryRun: true, Removed: func(Removal) { removed++ }})
	if err != nil {
		t.Fatal(err)
	}
	if want := names * layersPerName; removed != want || report.KeptBlobs != want || report.KeptNames != names {
		t.Fatalf("%d would go of %d: %+v", removed, 2*want, report)
	}
	return b.peak
}

// TestMemoryOfADryRun is some bytes for each blob that a name reaches, and none for the others.
func TestMemoryOfADryRun(t *testing.T) {
	const names = 300 // 30,000 blobs that are reached, and as many that are not
	if peak := dryRun(t, names); peak > 30<<20 {
		t.Errorf("the heap had up to %d MiB", peak>>20)
	}
}

// BenchmarkDryRunOfAMillion reaches a million blobs of a bucket that has two: in less than 300 MiB.
func BenchmarkDryRunOfAMillion(b *testing.B) {
	for b.Loop() {
		peak := dryRun(b, 10_000)
		b.ReportMetric(float64(peak)/(1<<20), "peak-MiB")
		if peak > 300<<20 {
			b.Errorf("the heap had up to %d MiB", peak>>20)
		}
	}
}
