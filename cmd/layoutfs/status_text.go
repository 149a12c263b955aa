package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"

	"github.com/layoutfs/layoutfs/daemon"
	"github.com/layoutfs/layoutfs/sync"
)

func printStatuses(w io.Writer, statuses []daemon.Status) error {
	for i, s := range statuses {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if err := printStatus(w, s); err != nil {
			return err
		}
	}
	return nil
}

// printStatus prints a status for people: one fact a line, in the order in which they are asked for.
func printStatus(w io.Writer, s daemon.Status) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, value string) { fmt.Fprintf(t, "%s\t%s\n", name, value) }
	row("mountpoint", s.Mountpoint)
	row("bucket", bucketText(s.Bucket))
	row("reachable", reachable(s))
	row("names", fmt.Sprintf("%d, latest is %s", s.Names, strings.Join(s.Bucket.Names, ";")))
	for _, name := range slices.Sorted(maps.Keys(s.Broken)) {
		row("", fmt.Sprintf("%s is broken: %s", name, s.Broken[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(s.Large)) {
		row("", fmt.Sprintf("%s is too large: %s", name, s.Large[name]))
	}
	row("mode", modeText(s.Mode))
	row("staged", countText(s.Staged)+pendingText(s.Pending))
	row("warm", countText(s.Warm))
	row("partial", countText(s.Partial))
	transfers(row, "uploading", s.Uploading)
	transfers(row, "downloading", s.Downloading)
	c := s.Counters
	row("uploaded", countText(sync.Count{Blobs: int(c.UploadedBlobs), Bytes: c.UploadedBytes})+", "+english.Plural(int(c.Published), "name", "")+" published")
	row("fetched", countText(sync.Count{Blobs: int(c.FetchedBlobs), Bytes: c.FetchedBytes}))
	row("evicted", sizeText(c.Evicted))
	row("requests", fmt.Sprintf("%d to the bucket, %s, %s with wrong bytes",
		c.Requests, english.Plural(int(c.Errors), "error", ""), english.Plural(int(c.Mismatches), "blob", "")))
	row("last error", lastError(s.LastError))
	row("passthrough", passthroughText(s.Passthrough))
	row("cache", cacheText(s.Cache))
	if s.Cache.Problem != "" {
		row("", s.Cache.Problem)
	}
	if s.Cache.Index != "" {
		row("", s.Cache.Index)
	}
	if s.Cache.Log != "" {
		row("log", s.Cache.Log)
	}
	if s.Web != "" {
		row("web", s.Web)
	}
	row("running", fmt.Sprintf("for %s, pid %d, version %s", uptime(s), s.PID, s.Version))
	return t.Flush()
}

func reachable(s daemon.Status) string {
	switch {
	case s.Mode.Offline:
		return "not asked (--offline)"
	case s.BucketUp:
		return "yes"
	}
	return "NO"
}

func modeText(m daemon.ModeStatus) string {
	text := "write " + m.Write
	if m.ReadOnly {
		text = "read-only"
	}
	if m.AllowDelete {
		text += ", names may be deleted"
	}
	if m.Offline {
		text += ", offline"
	}
	if m.VerifyReads {
		text += ", what is read is verified"
	}
	return text
}

func countText(c sync.Count) string {
	return fmt.Sprintf("%s in %s", sizeText(c.Bytes), english.Plural(c.Blobs, "blob", ""))
}

func pendingText(names int) string {
	if names == 0 {
		return ""
	}
	return ", " + english.Plural(names, "name", "") + " to be published"
}

// transfers prints one line for each blob in flight.
func transfers(row func(name, value string), name string, all []sync.Transfer) {
	if len(all) == 0 {
		row(name, "nothing")
	}
	for _, t := range all {
		row(name, fmt.Sprintf("%s of %s  %s", sizeText(t.Done), sizeText(t.Size), t.Digest))
		name = ""
	}
}

func lastError(f *sync.Failure) string {
	if f == nil {
		return "none"
	}
	return humanize.Time(f.Time) + ": " + f.Text
}

func passthroughText(p daemon.PassthroughStatus) string {
	if p.On {
		return "on"
	}
	return "off: " + p.Reason
}

func uptime(s daemon.Status) time.Duration {
	return time.Duration(s.Uptime * float64(time.Second)).Round(time.Second)
}
