package daemon

import (
	"bytes"
	"encoding/csv"
	"regexp"
	"strings"
)

// Ready is what a mount tells when it answers: where things are, and how to use it.
type Ready struct {
	Mountpoint string
	Bucket     BucketStatus
	Cache      CacheStatus
	PID        int
	CacheTo    string // the value of --cache-to, quoted for a shell; empty on a read-only mount
	CacheFrom  string // the value of --cache-from, likewise
}

func (c Config) ready(pid int, cache CacheStatus) Ready {
	r := Ready{
		Mountpoint: c.Mountpoint, Bucket: c.bucketStatus(), Cache: cache, PID: pid,
		CacheFrom: cacheFlag("type=local", "src="+c.Mountpoint),
	}
	if c.ReadOnly {
		return r
	}
	r.CacheTo = cacheFlag(append([]string{"type=local", "dest=" + c.Mountpoint}, c.Bucket.Export.Fields()...)...)
	return r
}

var plain = regexp.MustCompile(`^[\w@%+=:,./-]+$`)

// cacheFlag is a CSV for docker buildx, quoted for a shell where it must be.
func cacheFlag(fields ...string) string {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	_ = w.Write(fields) // a bytes.Buffer takes everything
	w.Flush()
	s := strings.TrimSuffix(b.String(), "\n")
	if plain.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
