package daemon

import (
	"bytes"
	"encoding/csv"
	"path/filepath"
	"regexp"
	"strings"
)

// Ready is what a mount tells when it answers: where things are, and how to use it.
type Ready struct {
	Mountpoint string
	Bucket     BucketStatus
	Cache      CacheStatus
	PID        int
	Use        Use
	Web        string // URL of the web page; empty: there is none
}

func (c Config) ready(pid int, cache CacheStatus) Ready {
	return Ready{Mountpoint: c.Mountpoint, Bucket: c.bucketStatus(), Cache: cache, PID: pid, Use: c.use()}
}

// Use says how a builder uses a mount.
type Use struct {
	Dest   string   `json:"dest,omitempty"`   // where --cache-to type=local goes; empty on a read-only mount
	Src    string   `json:"src"`              // where --cache-from type=local comes from
	Export []string `json:"export,omitempty"` // further fields of --cache-to, as the CSV of type=s3 has them
}

func (c Config) use() Use {
	u := Use{Src: c.Mountpoint}
	if !c.ReadOnly {
		u.Dest, u.Export = c.Mountpoint, c.Bucket.Export.Fields()
	}
	return u
}

// Of is the use of the directory of a name; the empty name is the root.
func (u Use) Of(name string) Use {
	u.Src = filepath.Join(u.Src, name)
	if u.Dest != "" {
		u.Dest = filepath.Join(u.Dest, name)
	}
	return u
}

// CacheTo is the value of --cache-to, quoted for a shell; empty on a read-only mount.
func (u Use) CacheTo() string {
	if u.Dest == "" {
		return ""
	}
	return cacheFlag(append([]string{"type=local", "dest=" + u.Dest}, u.Export...)...)
}

// CacheFrom is the value of --cache-from, likewise.
func (u Use) CacheFrom() string { return cacheFlag("type=local", "src="+u.Src) }

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
