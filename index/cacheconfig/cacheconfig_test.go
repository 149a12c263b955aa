package cacheconfig

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// same compares two JSON documents by content.
func same(t *testing.T, want, got []byte) {
	t.Helper()
	var w, g any
	must(t, json.Unmarshal(want, &w))
	must(t, json.Unmarshal(got, &g))
	if diff := cmp.Diff(w, g); diff != "" {
		t.Error(diff)
	}
}

func hex(s string) string { return digest.FromString(s).String() }

func fill(s string) string {
	return strings.NewReplacer("$A", hex("a"), "$B", hex("b"), "$D", hex("diff"), "$C", hex("config"), "$R", hex("r")).Replace(s)
}

var (
	layoutConfig = fill(`{"layers":[{"blob":"$A","parent":-1},{"blob":"$B"},{"blob":"$A","parent":1,"future":{"x":1}}],` +
		`"records":[{"digest":"$R","layers":[{"layer":1,"createdAt":"2026-01-02T03:04:05.678Z"}],"big":12345678901234567890}],"new":true}`)
	layerA   = `{"mediaType":"application/vnd.docker.image.rootfs.diff.tar.gzip","digest":"$A","size":10,"annotations":{"containerd.io/uncompressed":"$D","buildkit/createdat":"2026-01-02T05:04:05+02:00"}}`
	layerB   = `{"mediaType":"application/vnd.oci.image.layer.v1.tar+zstd","digest":"$B","size":20,"annotations":{"containerd.io/uncompressed":"$D"}}`
	conf     = `{"mediaType":"application/vnd.buildkit.cacheconfig.v0","digest":"$C","size":5}`
	asImage  = fill(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":` + conf + `,"layers":[` + layerA + `,` + layerB + `]}`)
	asIndex  = fill(`{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.list.v2+json","manifests":[` + layerA + `,` + layerB + `,` + conf + `]}`)
	s3Config = fill(`{"layers":[` +
		`{"blob":"$A","parent":-1,"annotations":{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","diffID":"$D","size":10,"createdAt":"2026-01-02T03:04:05Z"}},` +
		`{"blob":"$B","annotations":{"mediaType":"application/vnd.oci.image.layer.v1.tar+zstd","diffID":"$D","size":20,"createdAt":"0001-01-01T00:00:00Z"}},` +
		`{"blob":"$A","parent":1,"future":{"x":1},"annotations":{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","diffID":"$D","size":10,"createdAt":"2026-01-02T03:04:05Z"}}],` +
		`"records":[{"digest":"$R","layers":[{"layer":1,"createdAt":"2026-01-02T03:04:05.678Z"}],"big":12345678901234567890}],"new":true}`)
)

func TestExportIsWhatTypeS3Writes(t *testing.T) {
	for _, manifest := range []string{asImage, asIndex} {
		m, err := ParseManifest([]byte(manifest))
		must(t, err)
		if !m.IsCache() || len(m.Layers) != 2 || len(m.Children) != 3 {
			t.Errorf("parsed: %+v", m)
		}
		got, err := Export(m, []byte(layoutConfig))
		must(t, err)
		same(t, []byte(s3Config), got)
		if !strings.Contains(string(got), "12345678901234567890") {
			t.Error("a large number was rounded")
		}
	}
}

func TestImportAndExportAreInverse(t *testing.T) {
	l, err := Import([]byte(s3Config))
	must(t, err)
	m, err := ParseManifest(l.Manifest)
	must(t, err)
	again, err := Export(m, l.Config)
	must(t, err)
	same(t, []byte(s3Config), again)
	if strings.Contains(string(l.Config), "annotations") {
		t.Errorf("the config is not compact: %s", l.Config)
	}
	var spaced any
	must(t, json.Unmarshal([]byte(strings.ReplaceAll(s3Config, "12345678901234567890", "1")), &spaced))
	pretty, err := json.MarshalIndent(spaced, " ", "\t")
	must(t, err)
	a, err := Import([]byte(strings.ReplaceAll(s3Config, "12345678901234567890", "1")))
	must(t, err)
	b, err := Import(pretty)
	must(t, err)
	if diff := cmp.Diff(a, b); diff != "" {
		t.Errorf("white space changes the layout: %s", diff)
	}
}

func TestExportNamesTheLayerThatLacksSomething(t *testing.T) {
	for what, c := range map[string]struct{ manifest, config, want string }{
		"layer not in the manifest": {strings.ReplaceAll(asImage, hex("b"), hex("other")), layoutConfig, hex("b")},
		"no diffID":                 {strings.ReplaceAll(asImage, "containerd.io/uncompressed", "x"), layoutConfig, "containerd.io/uncompressed"},
		"bad date":                  {strings.ReplaceAll(asImage, "2026-01-02T05:04:05+02:00", "yesterday"), layoutConfig, "createdat"},
		"bad blob":                  {asImage, `{"layers":[{"blob":"sha256:1"}]}`, "layers[0]"},
		"no blob":                   {asImage, `{"layers":[{}]}`, "layers[0]"},
		"null":                      {asImage, `{"layers":[null]}`, "layers[0]"},
		"not JSON":                  {asImage, `nonsense`, "cache config"},
	} {
		m, err := ParseManifest([]byte(c.manifest))
		must(t, err)
		if _, err := Export(m, []byte(c.config)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestImportRefusesWhatABuilderWouldFailOn(t *testing.T) {
	for what, config := range map[string]string{
		"no annotations": layoutConfig,
		"negative size":  strings.ReplaceAll(s3Config, `"size":20`, `"size":-20`),
		"bad diffID":     strings.ReplaceAll(s3Config, hex("diff"), "sha256:x"),
		"odd algorithm":  strings.ReplaceAll(s3Config, hex("b"), "crc32:00000000"),
		"parent beyond":  strings.ReplaceAll(s3Config, `"parent":1`, `"parent":3`),
		"parent below":   strings.ReplaceAll(s3Config, `"parent":-1`, `"parent":-2`),
		"huge size":      strings.ReplaceAll(s3Config, `"size":20`, `"size":99999999999999999999`),
		"not JSON":       "\x00",
		"layer beyond":   strings.ReplaceAll(s3Config, `"layer":1`, `"layer":3`),
		"chain beyond":   `{"records":[{"chains":[{"layers":[0]}]}]}`,
		"link beyond":    `{"records":[{"inputs":[[{"link":1}]]}]}`,
		"link below":     `{"records":[{"inputs":[[{"link":-1}]]}]}`,
		"empty input":    `{"records":[{"inputs":[[]]}]}`,
		"null record":    `{"records":[5]}`,
		"nested deeply":  `{"x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`,
		"no array":       `{"layers":{}}`,
		"no object":      `[]`,
	} {
		if _, err := Import([]byte(config)); err == nil {
			t.Errorf("%s was imported", what)
		}
	}
}

func TestWhatIsAManifest(t *testing.T) {
	for b, want := range map[string]bool{
		asImage: true, asIndex: true, layoutConfig: false, s3Config: false,
		`{"schemaVersion":2,"manifests":[]}`:                            true,
		fill(`{"manifests":[{"digest":"$A"},{}]}`):                      true,
		`{"manifests":["deployment.yaml"]}`:                             false,
		`{"manifests":[]}`:                                              false,
		`{"manifests":[{"name":"x"}]}`:                                  false,
		fill(`{"config":{"digest":"$C"},"layers":[]}`):                  true,
		`{"architecture":"amd64","config":{"Env":["A=b"]},"rootfs":{}}`: false,
		`{"mediaType":"application/vnd.oci.image.config.v1+json"}`:      false,
		`[]`: false, `"x"`: false, ``: false, `{`: false, "\x1f\x8b": false, `{"config":"x"}`: false,
	} {
		if got := IsManifest([]byte(b)); got != want {
			t.Errorf("IsManifest(%.60s) = %v", b, got)
		}
	}
}

func TestChildren(t *testing.T) {
	m, err := ParseManifest([]byte(fill(`{"mediaType":"application/vnd.oci.image.index.v1+json","subject":{"digest":"$D"},"manifests":[
		{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"$A","size":1},
		{"mediaType":"text/plain","digest":"$B","size":1},{"mediaType":"text/plain","digest":"$B","size":1},
		{"mediaType":"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip","digest":"$C","size":1,"urls":["https://example.com"]}]}`)))
	must(t, err)
	if len(m.Children) != 2 || len(m.Manifests) != 1 || m.IsCache() {
		t.Errorf("%+v", m)
	}
	for _, bad := range []string{`{"manifests":[{"digest":"x"}]}`, fill(`{"manifests":[{"digest":"$A","size":-1}]}`)} {
		if _, err := ParseManifest([]byte(bad)); err == nil || !strings.Contains(err.Error(), "manifests[0]") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestEmpty(t *testing.T) {
	for b, want := range map[string]bool{`{}`: true, `{"records":[]}`: true, `{"layers":[]}`: true, s3Config: false, `x`: false} {
		if Empty([]byte(b)) != want {
			t.Errorf("Empty(%.40s) = %v", b, !want)
		}
	}
}

func TestUnknownAnnotationsSurvive(t *testing.T) {
	newer := strings.Replace(s3Config, `"size":10,`, `"size":10,"future":{"b":1,"a":2},`, 1)
	l, err := Import([]byte(newer))
	must(t, err)
	m, err := ParseManifest(l.Manifest)
	must(t, err)
	again, err := Export(m, l.Config)
	must(t, err)
	same(t, []byte(newer), again)
}

func TestImportTakesTheLastOfSeveralDescriptions(t *testing.T) {
	docker := strings.ReplaceAll(s3Config, "vnd.oci.image.layer.v1.tar+gzip", "vnd.docker.image.rootfs.diff.tar.gzip")
	last := strings.LastIndex(docker, `"size":10`)
	l, err := Import([]byte(docker[:last] + `"size":11` + docker[last+len(`"size":10`):]))
	must(t, err)
	m, err := ParseManifest(l.Manifest)
	must(t, err)
	if len(m.Layers) != 2 || m.Layers[0].Size != 11 || m.Layers[0].MediaType != "application/vnd.oci.image.layer.v1.tar+gzip" {
		t.Errorf("layers: %+v", m.Layers)
	}
}

func TestTheConfigOfAnIndexIsFoundAnywhere(t *testing.T) {
	m, err := ParseManifest([]byte(fill(`{"schemaVersion":2,"manifests":[` + layerA + `,` + conf + `,` + layerB + `]}`)))
	must(t, err)
	if !m.IsCache() || m.Config.Digest.String() != hex("config") || len(m.Layers) != 2 || len(m.Children) != 3 {
		t.Errorf("%+v", m)
	}
}

// Memory must not be spent on what follows a bad element: 16 MiB of them took gigabytes.
func TestHostileListsEndAtTheirFirstBadElement(t *testing.T) {
	list := strings.Repeat("{},", 1000) + "{}"
	_, err := ParseManifest([]byte(`{"schemaVersion":2,"manifests":[` + list + `]}`))
	if err == nil || !strings.Contains(err.Error(), "manifests[0]") {
		t.Errorf("manifest: %v", err)
	}
	_, err = Import([]byte(`{"layers":[` + list + `]}`))
	if err == nil || !strings.Contains(err.Error(), "layers[0]") {
		t.Errorf("config: %v", err)
	}
	var fields strings.Builder
	for i := range maxFields + 1 {
		fmt.Fprintf(&fields, `"%d":0,`, i)
	}
	if _, err = Import([]byte(`{` + fields.String() + `"x":0}`)); err == nil || !strings.Contains(err.Error(), "fields") {
		t.Errorf("fields: %v", err)
	}
	if _, err = Import([]byte(`{"x":[{` + fields.String() + `"x":0}]}`)); err == nil || !strings.Contains(err.Error(), "fields") {
		t.Errorf("nested fields: %v", err)
	}
}

func FuzzImport(f *testing.F) {
	seed(f, func(s3, _, config []byte) { f.Add(s3); f.Add(config) })
	f.Add([]byte(s3Config))
	f.Add([]byte(layoutConfig))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := Import(b)
		if err != nil {
			return
		}
		m, err := ParseManifest(l.Manifest)
		must(t, err)
		again, err := Export(m, l.Config)
		must(t, err)
		l2, err := Import(again)
		must(t, err)
		if diff := cmp.Diff(l, l2); diff != "" {
			t.Error(diff)
		}
	})
}

func FuzzParseManifest(f *testing.F) {
	seed(f, func(_, manifest, config []byte) { f.Add(manifest, config) })
	f.Add([]byte(asImage), []byte(layoutConfig))
	f.Add([]byte(asIndex), []byte(layoutConfig))
	f.Fuzz(func(t *testing.T, b, config []byte) {
		m, err := ParseManifest(b)
		if err != nil {
			return
		}
		_, _ = m.Order(config) // it must not panic
		for _, c := range m.Children {
			must(t, c.Digest.Validate())
		}
		s3, err := Export(m, config)
		if err != nil {
			return
		}
		if l, err := Import(s3); err == nil && !IsManifest(l.Manifest) {
			t.Errorf("%s is no manifest", l.Manifest)
		}
	})
}
