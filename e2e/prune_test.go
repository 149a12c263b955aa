package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/layoutfs/layoutfs/inspect/prune"
	"github.com/layoutfs/layoutfs/inspect/verify"
)

// TestPruneBesideExports prunes while builds export, of type=s3 and to a mount, what they exported long ago
// and what nobody has needed since: the case in which an exporter relies on blobs that are about to go. An
// export may fail for that; a name that was written has all its blobs, or prune has said which it lost.
func TestPruneBesideExports(t *testing.T) {
	dir := t.TempDir()
	s, p, err := startEmbedded(t, dir)
	must(t, err)
	t.Cleanup(p.stop)
	c := s.config(t)
	client := s.client(t, c)
	const short = ",touch_refresh=1s"
	host := newHostFor(t, csv(c)+short)
	b := newBuilder(t)
	context := newContext(t)
	export := func() (build, error) {
		return b.try(context,
			"--export-cache", "type=s3,mode=max,name=s3,"+csv(c)+short,
			"--export-cache", "type=local,mode=max,dest="+host.path("local"))
	}
	if r, err := export(); err != nil {
		t.Fatal(r.failures())
	}
	told, pruned, failed := 0, 0, 0
	const rounds, most = 8, 40 // on a busy machine it may take more until one is pruned
	round := 0
	for ; round < rounds || round < most && pruned == 0; round++ {
		for _, name := range []string{"s3", "local"} {
			must(t, client.DeleteName(t.Context(), name))
		}
		longAgo(t, filepath.Join(dir, "data", "buckets", c.Bucket))
		host.remount() // what it has seen a moment ago, it has seen a day ago
		done := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			for going := true; going; {
				select {
				case <-done:
					going = false
				default:
				}
				report, lost, err := tryPrune(csv(c)+short, "1m")
				pruned += report.Blobs
				told += lost
				// What a name needs is not known while its manifest is not there: until a mount has uploaded it
				// again, or for ever, which was told.
				if err != nil && lost == 0 && !strings.Contains(err.Error(), "it is not known what name") {
					t.Errorf("prune: %v", err)
				}
			}
		})
		r, err := export()
		close(done)
		wg.Wait()
		if err != nil {
			failed++
			mustBeOf(t, r.failures(), "input/output error", "failed to touch")
		}
		wantWhole(t, csv(c), told > 0, round)
	}
	if pruned == 0 || failed == round {
		t.Errorf("%d blobs were pruned, %d exports failed: the test tests nothing", pruned, failed)
	}
	t.Logf("%d blobs were pruned; %d exports failed, because a blob went that they had just found; %d names lost some, and prune said so", pruned, failed, told)
}

// mustBeOf fails unless a text has one of some words.
func mustBeOf(t testing.TB, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if strings.Contains(text, w) {
			return
		}
	}
	t.Errorf("an export failed for another reason: %s", text)
}

// longAgo makes all that a bucket on local disk holds a day old.
func longAgo(t testing.TB, dir string) {
	t.Helper()
	at := time.Now().Add(-24 * time.Hour)
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return os.Chtimes(path, at, at)
	}))
}

// tryPrune prunes a bucket, and counts the names of which it says that they lost blobs.
func tryPrune(csv, grace string) (report prune.Report, lost int, err error) {
	cmd := exec.Command(layoutfs, "prune", "--s3", csv, "--grace", grace, "--format", "json")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err = cmd.Run(); err != nil {
		err = fmt.Errorf("%w: %s", err, stderr.String())
	}
	lost = strings.Count(stderr.String(), "was written while blobs that it needs were pruned")
	lines := strings.Split(strings.TrimSpace(stdout.String()), "\n")
	if last := lines[len(lines)-1]; last != "" {
		err = errors.Join(err, json.Unmarshal([]byte(last), &report))
	}
	return report, lost, err
}

// wantWhole fails if a name of a bucket lacks blobs and nobody was told.
func wantWhole(t testing.TB, csv string, told bool, round int) {
	t.Helper()
	out, err := exec.Command(layoutfs, "verify", "--quick", "--s3", csv, "--format", "json").Output()
	if err == nil {
		return
	}
	for line := range strings.Lines(string(out)) {
		var p verify.Problem
		if json.Unmarshal([]byte(line), &p) == nil && p.Kind == verify.Missing && !told {
			t.Errorf("round %d: name %q lacks blob %s, and prune did not say so", round, p.Name, p.Digest)
		}
	}
}

// TestPruneKeepsWhatIsUsed: what stays is what names need, to the blob, on every server; and builds find it.
func TestPruneKeepsWhatIsUsed(t *testing.T) {
	onEachServer(t, func(t *testing.T, s *server) {
		c := s.config(t)
		client := s.client(t, c)
		host := newHostFor(t, csv(c)+",touch_refresh=1s")
		b := newBuilder(t)
		main, other := newContext(t), newContext(t)
		b.build(main, "--export-cache", "type=local,mode=max,dest="+host.path("main"))
		used := blobsOf(t, client)
		b.build(other, "--export-cache", "type=local,mode=max,dest="+host.path("pr/1"))
		all := blobsOf(t, client)
		host.do("rm", "pr/1")
		var report prune.Report
		eventually(t, "everything is older than the grace period", func() bool {
			var err error
			report, _, err = tryPrune(csv(c)+",touch_refresh=1s", "2s")
			must(t, err)
			return report.TooYoung == 0
		})
		left := blobsOf(t, client)
		for d := range used {
			if _, ok := left[d]; !ok {
				t.Errorf("blob %s is gone, which main needs", d)
			}
		}
		if len(left) != len(used) || len(all) == len(used) {
			t.Errorf("of %d blobs %d are left, and main needs %d", len(all), len(left), len(used))
		}
		b.forget()
		fresh := newHost(t, c)
		b.build(main, "--import-cache", "type=local,src="+fresh.path("main")).wantAllCached(t)
	})
}

// TestPruneUnderAPolicy prunes as a user who may do what docs/iam.md says; one who lacks an action of it deletes
// nothing that is needed, and is told which.
func TestPruneUnderAPolicy(t *testing.T) {
	s, p := servers[1].start(t), documentedPolicies(t)
	for _, without := range []string{"", "s3:DeleteObject", "s3:ListBucketMultipartUploads"} {
		t.Run("without "+without, func(t *testing.T) {
			c := s.config(t)
			host := newHost(t, c)
			must(t, newCache(t).exportTo(t.Context(), host.path("main"), "latest"))
			must(t, newCache(t).exportTo(t.Context(), host.path("old"), "latest"))
			host.do("rm", "old")
			client := s.client(t, c)
			before := len(blobsOf(t, client))
			u := s.user(t, c, p.readWrite.without(without))
			var out string
			eventually(t, "half of the blobs, which are older than the grace period then, are gone", func() bool {
				b, err := exec.Command(layoutfs, "prune", "--s3", csv(u)+",touch_refresh=1s", "--grace", "2s").CombinedOutput()
				out = string(b)
				if err != nil && without == "" {
					t.Fatalf("prune: %v: %s", err, out)
				}
				return err != nil || len(blobsOf(t, client)) == before/2
			})
			if without != "" && !strings.Contains(out, without) {
				t.Errorf("prune does not say that %s is missing: %s", without, out)
			}
			wantWhole(t, csv(c), false, 0)
		})
	}
}
