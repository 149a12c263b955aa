package e2e

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

// snippet is a piece of a document that people type in.
type snippet struct {
	document string
	line     int
	script   string
}

// TestDocuments runs every command of the documents, in a mount namespace of its own, so that /mnt/cache
// is what they say. Only what stands for the reader's own things is replaced: see realThings.
func TestDocuments(t *testing.T) {
	s := servers[1].start(t) // MinIO: one example is about it
	d := newDocker(t)
	documents, err := filepath.Glob("../docs/*.md")
	must(t, err)
	found := 0
	for _, doc := range append(documents, "../README.md") {
		for _, sn := range snippets(t, doc) {
			found++
			t.Run(fmt.Sprintf("%s:%d", filepath.Base(sn.document), sn.line), func(t *testing.T) {
				s.runSnippet(t, d, sn)
			})
		}
	}
	if found < 8 {
		t.Errorf("only %d pieces of the documents are commands: are they still marked as console?", found)
	}
}

// snippets finds the blocks of a document that are a session at a terminal, or the steps of a CI job.
func snippets(t testing.TB, document string) []snippet {
	t.Helper()
	f, err := os.Open(document)
	must(t, err)
	defer f.Close()
	var all []snippet
	var kind string
	in := bufio.NewScanner(f)
	for n := 1; in.Scan(); n++ {
		line := in.Text()
		switch fence, isFence := strings.CutPrefix(line, "```"); {
		case isFence && kind == "" && fence != "":
			kind = fence
			if kind == "console" || kind == "yaml" {
				all = append(all, snippet{document: document, line: n})
			}
		case isFence:
			kind = ""
		case kind == "console":
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				all[len(all)-1].script += command + "\n"
			}
		case kind == "yaml":
			all[len(all)-1].script += stepOf(line)
		}
	}
	must(t, in.Err())
	return all
}

var inlineStep = regexp.MustCompile(`^\s*(- )?run: ([^|].*)$`)

// stepOf is what a line of a CI job's steps runs.
func stepOf(line string) string {
	if m := inlineStep.FindStringSubmatch(line); m != nil {
		return m[2] + "\n"
	}
	if strings.HasPrefix(line, "      ") {
		return strings.TrimSpace(line) + "\n"
	}
	return ""
}

// realThings replaces what stands for the reader's own things: where the bucket is, and where the source
// of layoutfs is.
func (s *server) realThings(t testing.TB, script string) string {
	t.Helper()
	repository, err := filepath.Abs("..")
	must(t, err)
	return strings.NewReplacer(
		"eu-west-1", "us-east-1",
		"region=auto", "region=us-east-1",
		"https://ACCOUNT.r2.cloudflarestorage.com", s.endpoint,
		"http://127.0.0.1:9000", s.endpoint,
		"AWS_ACCESS_KEY_ID=minioadmin", "AWS_ACCESS_KEY_ID="+s.key,
		"AWS_SECRET_ACCESS_KEY=minioadmin", "AWS_SECRET_ACCESS_KEY="+s.secret,
		"git clone https://github.com/layoutfs/layoutfs", "git clone -q "+repository+" layoutfs",
		"${{ github.ref_name }}", "feature",
	).Replace(script)
}

// sandbox is run in a mount namespace: what a document's commands touch is in memory there.
const sandbox = `set -eu
for dir in /mnt /usr/local/bin /var/cache; do mount -t tmpfs none $dir; done
mkdir -p /mnt/cache
ln -s "$LAYOUTFS" /usr/local/bin/layoutfs
cat > /usr/local/bin/sudo <<'EOF'
#!/bin/sh
[ "$1" != --preserve-env ] || shift
exec "$@"
EOF
cat > /usr/local/bin/docker <<'EOF'
#!/bin/sh
[ "$1" != buildx ] || shift
exec "$BUILDX" "$@"
EOF
chmod +x /usr/local/bin/*
trap 'status=$?; "$LAYOUTFS" umount --force /mnt/cache 2>/dev/null || [ ! -e /mnt/cache/oci-layout ] || exit 1; exit $status' EXIT
`

func (s *server) runSnippet(t *testing.T, d *docker, sn snippet) {
	for _, name := range []string{"ci-cache", "cache"} {
		c := bucket.Default()
		c.Bucket, c.Region, c.EndpointURL, c.UsePathStyle = name, "us-east-1", s.endpoint, true
		c.AccessKeyID, c.SecretAccessKey = s.key, s.secret
		must(t, s.client(t, c).CreateBucket(t.Context()))
	}
	script := sandbox
	if !strings.Contains(sn.script, "layoutfs mount") && strings.Contains(sn.script, "/mnt/cache") {
		// It goes on where another one of the document ended: with a cache in the mount.
		script += "layoutfs mount --s3 region=us-east-1,bucket=ci-cache -d /mnt/cache\n" +
			"docker build --cache-to type=local,dest=/mnt/cache/app .\n"
	}
	script += "set -x\n" + s.realThings(t, sn.script)
	runtimeDir, err := os.MkdirTemp("", "layoutfs-docs-")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(runtimeDir)) })
	t.Chdir(contextOf(t, "FROM scratch\nCOPY seed /seed\n", map[string]int{"seed": 1000}))
	out, err := try(t, append(d.env, "LAYOUTFS="+layoutfs, "BUILDX="+tool(t, "buildx"), "LAYOUTFS_RUNTIME_DIR="+runtimeDir,
		"AWS_ENDPOINT_URL_S3="+s.endpoint, "AWS_ACCESS_KEY_ID="+s.key, "AWS_SECRET_ACCESS_KEY="+s.secret,
		"RUNNER_TEMP="+t.TempDir()), "unshare", "--mount", "--propagation", "private", "bash", "-c", script)
	if err != nil {
		t.Errorf("%s:%d: %v\n%s", sn.document, sn.line, err, out)
	}
}
