package e2e

import (
	"crypto/rand"
	"encoding/json"
	"encoding/xml"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/madmin-go/v3"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/opencontainers/go-digest"

	"github.com/layoutfs/layoutfs/doctor"
	"github.com/layoutfs/layoutfs/sync/bucket"
)

// policy is what somebody may do, in AWS's language.
type policy struct {
	Version   string
	Statement []statement
}

type statement struct {
	Effect           string
	Action, Resource []string
	Condition        map[string]map[string][]string `json:",omitempty"`
}

// policies are those of docs/iam.md.
type policies struct{ readWrite, readOnly, prefix policy }

var jsonBlock = regexp.MustCompile("(?s)```json\n(.*?)```")

func documentedPolicies(t testing.TB) policies {
	t.Helper()
	doc, err := os.ReadFile("../docs/iam.md")
	must(t, err)
	blocks := jsonBlock.FindAllSubmatch(doc, -1)
	var p policies
	all := []*policy{&p.readWrite, &p.readOnly, &p.prefix}
	if len(blocks) != len(all) {
		t.Fatalf("docs/iam.md has %d policies", len(blocks))
	}
	for i, b := range blocks {
		must(t, json.Unmarshal(b[1], all[i]))
	}
	return p
}

func (p policy) actions() []string {
	var all []string
	for _, s := range p.Statement {
		all = append(all, s.Action...)
	}
	return all
}

// without is the policy with an action taken away.
func (p policy) without(action string) policy {
	less := policy{Version: p.Version}
	for _, s := range p.Statement {
		s.Action = slices.DeleteFunc(slices.Clone(s.Action), func(a string) bool { return a == action })
		if len(s.Action) > 0 {
			less.Statement = append(less.Statement, s)
		}
	}
	return less
}

// user makes a user of MinIO's who may do what the policy says, and nothing else: c as theirs.
func (s *server) user(t testing.TB, c bucket.Config, p policy) bucket.Config {
	t.Helper()
	text, err := json.Marshal(p)
	must(t, err)
	text = []byte(strings.NewReplacer("BUCKET", c.Bucket, "PREFIX", c.Prefix).Replace(string(text)))
	admin, err := madmin.NewWithOptions(strings.TrimPrefix(s.endpoint, "http://"), &madmin.Options{Creds: credentials.NewStaticV4(s.key, s.secret, "")})
	must(t, err)
	c.AccessKeyID, c.SecretAccessKey = "user-"+rand.Text()[:8], rand.Text()
	must(t, admin.AddCannedPolicy(t.Context(), c.AccessKeyID, text))
	must(t, admin.AddUser(t.Context(), c.AccessKeyID, c.SecretAccessKey))
	_, err = admin.AttachPolicy(t.Context(), madmin.PolicyAssociationReq{Policies: []string{c.AccessKeyID}, User: c.AccessKeyID})
	must(t, err)
	return c
}

// TestPolicy has users of MinIO's, which enforces policies as AWS does, work with those of docs/iam.md.
func TestPolicy(t *testing.T) {
	s, p := servers[1].start(t), documentedPolicies(t)
	t.Run("what is documented", func(t *testing.T) { testDocumentedActions(t, p) })
	t.Run("read and write", func(t *testing.T) {
		c := s.config(t)
		u := s.user(t, c, p.readWrite)
		testBothDirections(t, s, u, newBuilder(t), shapes["image"])
		wantPermissions(t, s.client(t, u), nil)
		testWork(t, u)
		testDelete(t, u)
		testCutOff(t, c, u)
	})
	t.Run("read", func(t *testing.T) { testReadOnlyPolicy(t, s, p.readOnly) })
	t.Run("prefix", func(t *testing.T) { testPrefixPolicy(t, s, p.prefix) })
	for _, action := range p.readWrite.actions() {
		t.Run("without "+action, func(t *testing.T) {
			c := s.config(t)
			u := s.user(t, c, p.readWrite.without(action))
			wantPermissions(t, s.client(t, u), []string{action})
			wantFinding(t, u, action)
			if said := withoutAction[action](t, c, u); !strings.Contains(said, action) {
				t.Errorf("nothing says that %s is missing:\n%s", action, said)
			}
		})
	}
}

// testDocumentedActions: the policies allow what the client says that it needs, and no more.
func testDocumentedActions(t *testing.T, p policies) {
	readWrite, readOnly := map[string]bool{}, map[string]bool{}
	for _, a := range bucket.Default().Actions() {
		readWrite[a.Name] = true
		if a.ReadOnly {
			readOnly[a.Name] = true
		}
	}
	for _, tc := range []struct {
		policy policy
		want   map[string]bool
	}{{p.readWrite, readWrite}, {p.prefix, readWrite}, {p.readOnly, readOnly}} {
		got := map[string]bool{}
		for _, a := range tc.policy.actions() {
			got[a] = true
		}
		if !maps.Equal(got, tc.want) {
			t.Errorf("documented are %v, needed %v", got, tc.want)
		}
	}
}

// wantPermissions has a client try what it may: all but some actions.
func wantPermissions(t *testing.T, c *bucket.Client, denied []string) {
	t.Helper()
	for _, p := range c.Permissions(t.Context(), false) {
		want := bucket.Allowed
		if slices.Contains(denied, p.Action.Name) {
			want = bucket.Denied
		}
		if p.Outcome != want {
			t.Errorf("%s is %s (%v), want %s", p.Action.Name, p.Outcome, p.Err, want)
		}
	}
}

// wantFinding has doctor find that an action is denied, and fail if a mount cannot do without.
func wantFinding(t *testing.T, u bucket.Config, action string) {
	t.Helper()
	want := doctor.Fail
	if action == "s3:DeleteObject" || action == "s3:ListBucketMultipartUploads" {
		want = doctor.Warn
	}
	out, err := try(t, []string{"LAYOUTFS_S3=" + csv(u)}, layoutfs, "doctor", "--format", "json", "--cache-dir", t.TempDir())
	if (err != nil) != (want == doctor.Fail) {
		t.Errorf("doctor ends with %v", err)
	}
	for line := range strings.Lines(out) {
		var f doctor.Finding
		if json.Unmarshal([]byte(line), &f) == nil && f.Result == want && strings.Contains(f.What+f.Says, action) {
			return
		}
	}
	t.Errorf("doctor does not find that %s is denied:\n%s", action, out)
}

// newCache is a cache with a layer that goes up in parts, and two that go up in one request each, one of which is
// large enough that the server is asked before its bytes are sent.
func newCache(t testing.TB) synthetic {
	t.Helper()
	var layers [][]byte
	for _, size := range []int{33 << 20, 20 << 20, 1000} {
		b := make([]byte, size)
		_, _ = rand.Read(b)
		layers = append(layers, b)
	}
	return newSynthetic(t, layers...)
}

// testWork exports a cache, imports it on another machine, and exports it again, which touches its blobs.
func testWork(t *testing.T, u bucket.Config) {
	t.Helper()
	cache := newCache(t)
	must(t, cache.exportTo(t.Context(), newHost(t, u).path("work"), "latest"))
	if got, err := importFrom(newHost(t, u).path("work"), "latest"); err != nil || got != cache.desc.Digest {
		t.Errorf("imported %s, %v, want %s", got, err, cache.desc.Digest)
	}
	p := newPlainS3(t, u)
	before := p.blobs()
	layer := digest.FromBytes(cache.layers[0])
	eventually(t, "the blob is a second old", func() bool { return time.Since(before[layer].LastModified) > time.Second })
	again := newHostFor(t, csv(u, "touch_refresh=1ms"))
	must(t, cache.exportTo(t.Context(), again.path("work"), "latest"))
	eventually(t, "the blob is touched", func() bool { return p.blobs()[layer].LastModified.After(before[layer].LastModified) })
}

// testDelete deletes a name.
func testDelete(t *testing.T, u bucket.Config) {
	t.Helper()
	h := newHost(t, u, "--allow-delete")
	must(t, newCache(t).exportTo(t.Context(), h.path("old"), "latest"))
	must(t, os.Remove(h.path("old", "index.json")))
	if _, ok := newPlainS3(t, u).names()["old"]; ok {
		t.Error("the name is still there")
	}
}

// cutOff kills a daemon in the middle of an upload, and mounts again. It returns how to ask whether the
// server still keeps the parts.
func cutOff(t *testing.T, owner, u bucket.Config) (h *host, kept func() bool) {
	t.Helper()
	h = newHostFor(t, csv(u, "upload_limit=4MB"))
	cache := newCache(t)
	p, key := newPlainS3(t, owner), u.Prefix+u.BlobsPrefix+digest.FromBytes(cache.layers[0]).String()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cache.exportTo(t.Context(), h.path("cut"), "latest") // the daemon dies meanwhile
	}()
	var began []string
	eventually(t, "a part is there", func() bool {
		began = p.uploads(key)
		return len(began) > 0 && p.hasPart(key, began[0])
	})
	h.kill()
	<-done
	h.mount()
	return h, func() bool { return slices.Contains(p.uploads(key), began[0]) }
}

// uploads lists the uploads in parts of one object, by ID. MinIO has no other listing of them.
func (p *plainS3) uploads(key string) []string {
	p.t.Helper()
	var all struct {
		Upload []struct{ UploadId string }
	}
	b, _ := p.do(http.MethodGet, "", url.Values{"uploads": {""}, "prefix": {key}})
	must(p.t, xml.Unmarshal(b, &all))
	var ids []string
	for _, u := range all.Upload {
		ids = append(ids, u.UploadId)
	}
	return ids
}

// hasPart says whether a part of an upload has arrived. MinIO lists an upload for a moment before it knows it.
func (p *plainS3) hasPart(key, id string) bool {
	p.t.Helper()
	b, _, err := p.request(http.MethodGet, key, url.Values{"uploadId": {id}})
	if err != nil && !strings.Contains(err.Error(), "NoSuchUpload") {
		p.t.Fatal(err)
	}
	return strings.Contains(string(b), "<PartNumber>")
}

func testCutOff(t *testing.T, owner, u bucket.Config) {
	t.Helper()
	h, kept := cutOff(t, owner, u)
	eventually(t, "the parts are dropped", func() bool { return !kept() })
	h.kill() // the blob goes up again, slowly
}

func testReadOnlyPolicy(t *testing.T, s *server, p policy) {
	c := s.config(t)
	cache := newCache(t)
	must(t, cache.exportTo(t.Context(), newHost(t, c).path("work"), "latest"))
	u := s.user(t, c, p)
	h := newHost(t, u, "--read-only")
	if got, err := importFrom(h.path("work"), "latest"); err != nil || got != cache.desc.Digest {
		t.Errorf("imported %s, %v, want %s", got, err, cache.desc.Digest)
	}
	if e := h.status().LastError; e != nil {
		t.Errorf("the mount says: %s", e.Text)
	}
	wantPermissions(t, s.client(t, u), []string{"s3:PutObject", "s3:AbortMultipartUpload", "s3:DeleteObject", "s3:ListBucketMultipartUploads"})
}

func testPrefixPolicy(t *testing.T, s *server, p policy) {
	c := s.config(t)
	c.Prefix = "team/"
	u := s.user(t, c, p)
	wantPermissions(t, s.client(t, u), nil)
	testWork(t, u)
	testDelete(t, u)
	testCutOff(t, c, u)
	u.Prefix = "others/"
	if err := s.client(t, u).Check(t.Context()); !errors.Is(err, bucket.ErrDenied) {
		t.Errorf("Check of what is others': %v, want bucket.ErrDenied", err)
	}
}

// withoutAction is what a person sees who lacks an action.
var withoutAction = map[string]func(t *testing.T, owner, u bucket.Config) string{
	"s3:ListBucket": func(t *testing.T, _, u bucket.Config) string {
		return tryMount(t, u)
	},
	"s3:GetObject": func(t *testing.T, owner, u bucket.Config) string {
		must(t, newCache(t).exportTo(t.Context(), newHost(t, owner).path("app"), "latest"))
		h := newHost(t, u)
		if _, err := importFrom(h.path("app"), "latest"); err == nil {
			t.Error("the import does not fail")
		}
		return failedExport(t, h, "s3:GetObject")
	},
	"s3:PutObject": func(t *testing.T, _, u bucket.Config) string {
		return failedExport(t, newHost(t, u), "s3:PutObject")
	},
	"s3:AbortMultipartUpload": func(t *testing.T, owner, u bucket.Config) string {
		testWork(t, u)
		h, kept := cutOff(t, owner, u)
		eventually(t, "the log tells of the parts", func() bool { return strings.Contains(h.log(), "are left in the bucket") })
		if !kept() {
			t.Error("the parts are gone")
		}
		h.kill()
		return h.log()
	},
	"s3:DeleteObject": func(t *testing.T, _, u bucket.Config) string {
		testWork(t, u)
		h := newHost(t, u, "--allow-delete")
		if err := os.Remove(h.path("work", "index.json")); err == nil {
			t.Error("the deletion does not fail")
		}
		return h.do("status", h.mnt)
	},
	"s3:ListBucketMultipartUploads": func(t *testing.T, _, u bucket.Config) string {
		testWork(t, u)
		testDelete(t, u)
		c, err := bucket.Open(t.Context(), u, bucket.Options{})
		must(t, err)
		for _, err := range c.ListUploads(t.Context()) {
			return err.Error()
		}
		return ""
	},
}

// failedExport is what the status says after an export that must fail.
func failedExport(t *testing.T, h *host, action string) (said string) {
	t.Helper()
	if err := newCache(t).exportTo(t.Context(), h.path("new"), "latest"); err == nil {
		t.Error("the export does not fail")
	}
	// Who sends a large body may be hung up on before the refusal is read. Then the next try is told.
	eventually(t, "status tells why", func() bool {
		said = h.do("status", h.mnt)
		return strings.Contains(said, action)
	})
	h.kill() // what is staged cannot go up
	return said
}

// tryMount is what a mount says that must fail.
func tryMount(t *testing.T, u bucket.Config) string {
	t.Helper()
	dir := t.TempDir()
	mnt := filepath.Join(dir, "mnt")
	must(t, os.Mkdir(mnt, 0o755))
	env := []string{"LAYOUTFS_RUNTIME_DIR=" + filepath.Join(dir, "run"), "LAYOUTFS_S3=" + csv(u)}
	out, err := try(t, env, layoutfs, "mount", "-d", "--cache-dir", filepath.Join(dir, "cache"), mnt)
	if err == nil {
		t.Error("the mount does not fail")
		_, _ = try(t, env, layoutfs, "umount", "--force", mnt)
	}
	return out
}
