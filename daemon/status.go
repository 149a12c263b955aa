package daemon

import (
	"os"
	"runtime"
	"runtime/metrics"
	"time"

	"github.com/layoutfs/layoutfs/sync"
)

// Status is a report on a running mount: what `layoutfs status --format json` prints, and what its Go
// templates see. The JSON names are stable. Sizes are in bytes; there are no secrets in it.
type Status struct {
	Mountpoint string    `json:"mountpoint"`
	PID        int       `json:"pid"`
	Version    string    `json:"version"`
	Started    time.Time `json:"started"`
	Uptime     float64   `json:"uptime_seconds"`
	Goroutines int       `json:"goroutines"`
	Heap       int64     `json:"heap"` // bytes that the last garbage collection left

	Bucket      BucketStatus      `json:"bucket"`
	Cache       CacheStatus       `json:"cache"`
	Mode        ModeStatus        `json:"mode"`
	Passthrough PassthroughStatus `json:"passthrough"`
	Use         Use               `json:"use"`
	Web         string            `json:"web,omitempty"` // URL of the web page

	// names, broken, staged, warm, partial, pending, uploading, downloading, counters, bucket_up, last_error
	sync.Status
}

// BucketStatus says where the bucket is.
type BucketStatus struct {
	URL             string   `json:"url"` // s3://BUCKET/PREFIX
	Region          string   `json:"region"`
	Endpoint        string   `json:"endpoint,omitempty"` // empty: AWS
	Embedded        string   `json:"embedded,omitempty"` // the folder of the embedded server
	BlobsPrefix     string   `json:"blobs_prefix"`
	ManifestsPrefix string   `json:"manifests_prefix"`
	Names           []string `json:"names"` // those that are the tag latest of the root layout
}

// CacheStatus says where local copies are.
type CacheStatus struct {
	Dir     string `json:"dir"`
	Size    int64  `json:"size"`     // what warm and partial blobs may take; 0: no limit
	MinFree int64  `json:"min_free"` // what is left free
	Log     string `json:"log,omitempty"`
	Problem string `json:"problem,omitempty"` // why its disk takes no files
	Index   string `json:"index,omitempty"`   // what is wrong with the index
}

// ModeStatus says how the mount was made.
type ModeStatus struct {
	Write       string `json:"write"` // through or back
	ReadOnly    bool   `json:"read_only"`
	AllowDelete bool   `json:"allow_delete"`
	Offline     bool   `json:"offline"`
	VerifyReads bool   `json:"verify_reads"` // local copies are hashed before they are read
}

// PassthroughStatus says whether the kernel reads warm blobs itself.
type PassthroughStatus struct {
	On     bool   `json:"on"`
	Reason string `json:"reason,omitempty"` // why not
}

// Status reports on the mount.
func (d *Daemon) Status() Status {
	s := Status{
		Mountpoint: d.config.Mountpoint,
		PID:        os.Getpid(),
		Version:    d.config.Version,
		Started:    d.started,
		Uptime:     time.Since(d.started).Seconds(),
		Goroutines: runtime.NumGoroutine(),
		Heap:       liveHeap(),
		Bucket:     d.config.bucketStatus(),
		Cache:      d.cache,
		Mode:       d.config.modeStatus(),
		Use:        d.config.use(),
		Web:        d.webURL(),
		Status:     d.engine.Status(),
	}
	// A list without entries is a list in JSON, too.
	s.Uploading, s.Downloading = append([]sync.Transfer{}, s.Uploading...), append([]sync.Transfer{}, s.Downloading...)
	s.Passthrough.On, s.Passthrough.Reason = d.mount.Passthrough()
	s.Cache.Problem = d.diskProblem()
	s.Cache.Index = d.indexProblem()
	return s
}

func liveHeap() int64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	if s[0].Value.Kind() != metrics.KindUint64 {
		return 0 // a Go that does not know it
	}
	return int64(s[0].Value.Uint64())
}

func (c Config) bucketStatus() BucketStatus {
	b := c.Bucket
	return BucketStatus{
		URL: "s3://" + b.Bucket + "/" + b.Prefix, Region: b.Region,
		Endpoint: withoutUser(b.EndpointURL), Embedded: c.Embedded,
		BlobsPrefix: b.BlobsPrefix, ManifestsPrefix: b.ManifestsPrefix, Names: b.Names,
	}
}

func (c Config) modeStatus() ModeStatus {
	m := ModeStatus{
		Write: "through", ReadOnly: c.ReadOnly, AllowDelete: c.AllowDelete, Offline: c.Offline, VerifyReads: c.VerifyReads,
	}
	if c.WriteBack {
		m.Write = "back"
	}
	return m
}
