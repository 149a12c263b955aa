package daemon

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// statusCollector gives Prometheus what status counts. All of one scrape is of one moment.
type statusCollector struct{ status func() Status }

// Describe implements prometheus.Collector: Collect says it all.
func (c statusCollector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c statusCollector) Collect(to chan<- prometheus.Metric) {
	for _, m := range metricsOf(c.status()) {
		to <- m.prometheus()
	}
}

// metric is one value, with an own label if it has one.
type metric struct {
	name  string // without the prefix of all
	kind  prometheus.ValueType
	help  string
	label string
	of    string // the label's value
	value float64
}

const metricsPrefix = "layoutfs_"

func (m metric) prometheus() prometheus.Metric {
	var names, values []string
	if m.label != "" {
		names, values = []string{m.label}, []string{strings.ToValidUTF8(m.of, "\uFFFD")}
	}
	desc := prometheus.NewDesc(metricsPrefix+m.name, m.help, names, nil)
	return prometheus.MustNewConstMetric(desc, m.kind, m.value, values...)
}

func metricsOf(s Status) []metric {
	const gauge, counter = prometheus.GaugeValue, prometheus.CounterValue
	n := s.Counters
	all := []metric{
		{"mount_info", gauge, "Always 1; which mount this is.", "mountpoint", s.Mountpoint, 1},
		{"build_info", gauge, "Always 1; which version serves it.", "version", s.Version, 1},
		{"bucket_up", gauge, "Whether the last request to the bucket got an answer.", "", "", oneIf(s.BucketUp)},
		{"disk_up", gauge, "Whether the disk of the cache directory takes files.", "", "", oneIf(s.Cache.Problem == "")},
		{"passthrough", gauge, "Whether the kernel reads warm blobs itself.", "", "", oneIf(s.Passthrough.On)},
		{"names", gauge, "Names known in the bucket.", "", "", float64(s.Names)},
		{"names_broken", gauge, "Names of which something cannot be shown.", "", "", float64(len(s.Broken))},
		{"names_large", gauge, "Names that BuildKit's type=local cannot import.", "", "", float64(len(s.Large))},
		{"names_pending", gauge, "Names that wait for their publication.", "", "", float64(s.Pending)},
		{"cache_limit_bytes", gauge, "What warm and partial blobs may take (--cache-size); 0: no limit.", "", "", float64(s.Cache.Size)},
		{"transfers", gauge, "Blobs in flight.", "direction", "up", float64(len(s.Uploading))},
		{"transfers", gauge, "Blobs in flight.", "direction", "down", float64(len(s.Downloading))},
		{"requests_total", counter, "Requests to the bucket.", "", "", float64(n.Requests)},
		{"errors_total", counter, "What went wrong with the bucket.", "", "", float64(n.Errors)},
		{"mismatches_total", counter, "Blobs whose bytes did not match their digest.", "", "", float64(n.Mismatches)},
		{"published_names_total", counter, "Names written to the bucket.", "", "", float64(n.Published)},
		{"uploaded_blobs_total", counter, "Blobs sent to the bucket.", "", "", float64(n.UploadedBlobs)},
		{"uploaded_bytes_total", counter, "Bytes sent to the bucket.", "", "", float64(n.UploadedBytes)},
		{"fetched_blobs_total", counter, "Blobs of the bucket that became warm.", "", "", float64(n.FetchedBlobs)},
		{"fetched_bytes_total", counter, "Bytes fetched from the bucket.", "", "", float64(n.FetchedBytes)},
		{"evicted_bytes_total", counter, "Bytes of local copies that made room.", "", "", float64(n.Evicted)},
	}
	for state, count := range map[string]struct{ blobs, bytes float64 }{
		"staged":  {float64(s.Staged.Blobs), float64(s.Staged.Bytes)},
		"warm":    {float64(s.Warm.Blobs), float64(s.Warm.Bytes)},
		"partial": {float64(s.Partial.Blobs), float64(s.Partial.Bytes)},
	} {
		all = append(all,
			metric{"blobs", gauge, "Blobs on local disk: staged (not in the bucket yet), warm, partial.", "state", state, count.blobs},
			metric{"blob_bytes", gauge, "Bytes of the blobs on local disk.", "state", state, count.bytes},
		)
	}
	if s.LastError != nil {
		all = append(all, metric{"last_error_timestamp_seconds", gauge, "When something went wrong last.", "", "", float64(s.LastError.Time.Unix())})
	}
	return all
}

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
