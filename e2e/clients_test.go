package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

// clients are what people do with image layouts. Each script works on the layout $LAYOUT and takes images from
// the layout $IMAGES; what it prints must be the same whatever $LAYOUT is.
var clients = map[string]string{
	"skopeo": `
skopeo copy -q "oci:$IMAGES:v1" "oci:$LAYOUT:v1"
skopeo copy -q "oci:$IMAGES:v2" "oci:$LAYOUT:v2"
skopeo copy -q --all "oci:$IMAGES:multi" "oci:$LAYOUT:multi"
skopeo copy -q "oci:$LAYOUT:v2" "oci:$LAYOUT:latest"
skopeo copy -q "oci:$IMAGES:arm" "oci:$LAYOUT:v2"
for tag in v1 v2 latest; do skopeo inspect "oci:$LAYOUT:$tag"; skopeo inspect --raw --config "oci:$LAYOUT:$tag"; done
skopeo inspect --raw "oci:$LAYOUT:multi"
skopeo copy -q --all "oci:$LAYOUT:multi" dir:out
skopeo copy -q "oci:$LAYOUT:latest" docker-archive:out.tar:img:latest
skopeo list-tags docker-archive:out.tar
skopeo copy -q --dest-tls-verify=false "oci:$LAYOUT:latest" "docker://$REGISTRY/skopeo:latest"
skopeo list-tags --tls-verify=false "docker://$REGISTRY/skopeo"
skopeo copy -q --src-tls-verify=false "docker://$REGISTRY/skopeo:latest" "oci:$LAYOUT:back"
find out -type f | sort | xargs sha256sum
`,
	"umoci": `
mkdir -p files/sub && echo one > files/one && head -c 100000 /dev/zero > files/sub/zeros
touch -d "$TIME" files/one files/sub/zeros files/sub files
[ -e "$LAYOUT" ] || umoci init --layout "$LAYOUT" # the root is there
umoci new --image "$LAYOUT:v1"
umoci insert --image "$LAYOUT:v1" $HISTORY files /files
umoci config --image "$LAYOUT:v1" --created "$TIME" $HISTORY --config.cmd /one
umoci tag --image "$LAYOUT:v1" v2
umoci stat --image "$LAYOUT:v2" --json
umoci unpack --image "$LAYOUT:v2" bundle
echo more > bundle/rootfs/files/more
touch -d "$TIME" bundle/rootfs/files/more bundle/rootfs/files
umoci repack --image "$LAYOUT:latest" $HISTORY bundle
umoci config --image "$LAYOUT:latest" --created "$TIME" $HISTORY
umoci rm --image "$LAYOUT:v1"
umoci list --layout "$LAYOUT" | sort
umoci gc --layout "$LAYOUT"
ls "$LAYOUT/blobs/sha256"
umoci unpack --image "$LAYOUT:latest" again
find again/rootfs -type f | sort | xargs sha256sum
`,
	"crane": `
mkdir -p files && echo one > files/one
tar cf layer.tar --sort=name --mtime="$TIME" files
crane append --oci-empty-base -f layer.tar -t "$REGISTRY/crane:one"
crane pull --format=oci "$REGISTRY/crane:one" "$LAYOUT"
crane push "$LAYOUT" "$REGISTRY/crane:back"
crane digest "$REGISTRY/crane:back"
crane push "$IMAGES" "$REGISTRY/crane:all" --index
crane pull --format=oci --annotate-ref "$REGISTRY/crane:all" "$LAYOUT"
crane push "$LAYOUT" "$REGISTRY/crane:whole" --index > /dev/null # its order is that of index.json
crane validate --remote "$REGISTRY/crane:whole"
crane index list "$REGISTRY/crane:whole" | sort
`,
	"oras": `
echo artifact > file
created() { echo --annotation "org.opencontainers.image.created=2024-01-01T00:00:0$1Z"; }
{
oras cp --from-oci-layout --to-oci-layout "$IMAGES:v1" "$LAYOUT:v1"
oras cp -r --from-oci-layout --to-oci-layout "$IMAGES:multi" "$LAYOUT:multi"
oras push --oci-layout $(created 1) --artifact-type application/x.test "$LAYOUT:artifact" file:text/plain
oras attach --oci-layout $(created 2) --artifact-type application/x.sbom "$LAYOUT:v1" file:text/plain
oras attach --oci-layout $(created 3) --artifact-type application/x.signature "$LAYOUT:v1" file:text/plain
oras tag --oci-layout "$LAYOUT:v1" stable latest
} > /dev/null
oras discover --oci-layout --format json --depth 1 "$LAYOUT:v1" | jq -S '.referrers | sort_by(.digest)[] | del(.reference)'
oras repo tags --oci-layout "$LAYOUT"
oras resolve --oci-layout "$LAYOUT:latest"
oras manifest fetch --oci-layout "$LAYOUT:artifact"
oras pull --oci-layout -o pulled "$LAYOUT:artifact" > /dev/null
sha256sum pulled/file
oras cp -r --from-oci-layout --to-oci-layout "$LAYOUT:v1" copy:v1 > /dev/null
find copy/blobs -type f | sort | xargs sha256sum
oras manifest delete --oci-layout -f "$LAYOUT:artifact" > /dev/null
oras repo tags --oci-layout "$LAYOUT"
`,
	"regctl": `
layout="ocidir://$LAYOUT"
{
regctl image copy "ocidir://$IMAGES:v1" "$layout:v1"
regctl image copy "ocidir://$IMAGES:multi" "$layout:multi"
regctl image mod --create changed --annotation changed=yes "$layout:v1"
regctl image mod --replace --annotation changed=too "$layout:multi"
echo artifact | regctl artifact put --artifact-type application/x.signature --subject "$layout:v1"
regctl index create "$layout:latest" --ref "$layout:v1" --ref "$layout:changed"
regctl image export "$layout:v1" v1.tar
regctl image import "$layout:imported" v1.tar
regctl tag delete "$layout:changed"
} > /dev/null
regctl tag ls "$layout"
for tag in v1 multi latest imported; do regctl manifest get --format raw-body "$layout:$tag"; done
regctl artifact list --format '{{range .Descriptors}}{{println .Digest}}{{end}}' "$layout:v1"
regctl image copy --referrers "$layout:latest" ocidir://copy:latest > /dev/null
find copy/blobs -type f | sort | xargs sha256sum
ls "$LAYOUT/blobs/sha256"
`,
	"shell": `
if [ -e "$LAYOUT" ]; then cp -r "$IMAGES"/. "$LAYOUT"; else cp -r "$IMAGES" "$LAYOUT"; fi
cd "$LAYOUT"
ls -lR . > /dev/null
find blobs index.json oci-layout -type f | sort
cat oci-layout
out=$(mktemp -d -p "$OUT")
cp -a blobs index.json oci-layout "$out"
diff -r "$IMAGES/blobs" "$out/blobs"
tar c blobs index.json oci-layout | tar x -C "$out" --overwrite
diff -r "$IMAGES/blobs" "$out/blobs"
find "$out/blobs" -type f -printf '%f %s\n' | sort
jq -c '.manifests |= map(select(.annotations["org.opencontainers.image.ref.name"] != "arm"))' index.json > .changed
mv .changed index.json
cp "$IMAGES"/blobs/sha256/* blobs/sha256 # over what is there
sha256sum blobs/sha256/*
`,
}

// TestClients runs each client on a plain folder, on the root layout and on the directory of a name. It must
// say the same, and leave the same; another host must see that, and type=s3 nothing but empty caches.
func TestClients(t *testing.T) {
	env := []string{"IMAGES=" + newImages(t), "REGISTRY=" + newRegistry(t)}
	b, s := newBuilder(t), anyServer(t)
	for name, text := range clients {
		t.Run(name, func(t *testing.T) {
			plain := filepath.Join(t.TempDir(), "plain")
			said := runClient(t, text, plain, env)
			want := readLayout(t, plain)

			c := s.config(t)
			h, other := newHost(t, c, "--allow-delete"), newHost(t, c, "--refresh", "10ms")
			for _, where := range []string{"", "team/app"} {
				dir := h.path(where)
				must(t, os.MkdirAll(filepath.Dir(dir), 0o755))
				if diff := cmp.Diff(said, runClient(t, text, dir, env)); diff != "" {
					t.Errorf("in /%s the client says (-plain folder +mount):\n%s", where, diff)
				}
				got := readLayout(t, dir)
				if diff := cmp.Diff(want.seenIn(where), got.seenIn(where)); diff != "" {
					t.Errorf("in /%s the client leaves (-plain folder +mount):\n%s", where, diff)
				}
				if diff := cmp.Diff(got, readLayout(t, other.path(where))); diff != "" {
					t.Errorf("/%s on another host (-there +here):\n%s", where, diff)
				}
				inspectAll(t, other.path(where))
			}
			b.t = t
			wantEmptyCaches(t, b, s.client(t, c), c)
		})
	}
}

func runClient(t *testing.T, text, dir string, env []string) string {
	t.Helper()
	return strings.ReplaceAll(script(t, text, append(env, "LAYOUT="+dir, "OUT="+t.TempDir())...), dir, "LAYOUT")
}

// inspectAll has skopeo prove every tag of a layout.
func inspectAll(t *testing.T, dir string) {
	t.Helper()
	for _, d := range entriesOf(t, dir) {
		if tag := d.Annotations[ocispec.AnnotationRefName]; tag != "" {
			raw := run(t, tool(t, "skopeo"), "inspect", "--raw", "oci:"+dir+":"+tag)
			if got := d.Digest.Algorithm().FromString(raw); got != d.Digest {
				t.Errorf("skopeo inspects %s in %s as %s, not %s", tag, dir, got, d.Digest)
			}
		}
	}
}

// wantEmptyCaches imports all names of a bucket with type=s3: that must neither fail nor make a step CACHED.
func wantEmptyCaches(t *testing.T, b *builder, client *bucket.Client, c bucket.Config) {
	t.Helper()
	var imports []string
	for n, err := range client.ListNames(t.Context(), "") {
		must(t, err)
		if body := object(t, client, n.Name).Body; string(body) != "{}" {
			t.Errorf("the object of name %s is %q", n.Name, body)
		}
		imports = append(imports, "--import-cache", "type=s3,name="+n.Name+","+csv(c))
	}
	if len(imports) == 0 {
		t.Error("the bucket has no names")
	}
	b.forget()
	r := b.build(contextOf(t, "FROM scratch\nCOPY seed /\n", map[string]int{"seed": 10}), imports...)
	asked := 0
	for _, s := range r.steps {
		if strings.HasPrefix(s.Name, "importing cache manifest") {
			asked++
			if s.Error != "" {
				t.Errorf("%s: %s", s.Name, s.Error)
			}
		}
	}
	if asked != len(imports)/2 || r.ran() != 1 {
		t.Errorf("%d names, of which %d were imported; %d steps ran of 1", len(imports)/2, asked, r.ran())
	}
}

// newRegistry starts a registry and returns its address.
func newRegistry(t testing.TB) string {
	t.Helper()
	addr, err := freePort()
	must(t, err)
	p, err := startProcess(t.TempDir(), nil, tool(t, "crane"), "registry", "serve", "--address", addr)
	must(t, err)
	t.Cleanup(p.stop)
	must(t, p.awaitUp(func() bool { return exec.Command(tool(t, "crane"), "catalog", addr).Run() == nil }))
	return addr
}
