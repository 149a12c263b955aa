package cacheconfig

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// manyLayers is the CacheConfig of a chain of n layers, with the usual four records for three layers.
func manyLayers(n int) []byte {
	var layers, records []string
	for i := range n {
		blob := hex(fmt.Sprint("blob ", i))
		layers = append(layers, fmt.Sprintf(`{"blob":%q,"parent":%d,"annotations":{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip",`+
			`"diffID":%q,"size":1234567,"createdAt":"2026-01-02T03:04:05.678901234Z"}}`, blob, i-1, hex("diff "+blob)))
		records = append(records, fmt.Sprintf(`{"digest":%q,"layers":[{"layer":%d,"createdAt":"2026-01-02T03:04:05.678901234Z"}],"inputs":[[{"link":%d}]]}`,
			hex("record "+blob), i, max(i-1, 0)))
		if i%3 == 0 {
			records = append(records, fmt.Sprintf(`{"digest":%q}`, hex("source "+blob)))
		}
	}
	return []byte(`{"layers":[` + strings.Join(layers, ",") + `],"records":[` + strings.Join(records, ",") + `]}`)
}

// TestLargeCacheIsImportedWithoutTimes as far as that keeps it within what BuildKit imports.
func TestLargeCacheIsImportedWithoutTimes(t *testing.T) {
	for _, tc := range []struct {
		layers          int
		times, tooLarge bool
	}{{2900, true, false}, {3500, false, false}, {4000, false, true}} {
		l, err := Import(manyLayers(tc.layers))
		must(t, err)
		both := string(l.Config) + string(l.Manifest)
		if got := strings.Contains(both, "2026-"); got != tc.times {
			t.Errorf("%d layers: times %v", tc.layers, got)
		}
		if got := TooLarge(l.Descriptor.Size, int64(len(l.Config))); got != tc.tooLarge {
			t.Errorf("%d layers: a manifest of %d and a config of %d bytes", tc.layers, len(l.Manifest), len(l.Config))
		}
		m, err := ParseManifest(l.Manifest)
		must(t, err)
		var config struct {
			Layers  []struct{ Parent int }
			Records []struct {
				Digest string
				Layers []struct{ Layer int }
				Inputs [][]struct{ Link int }
			}
		}
		must(t, json.Unmarshal(l.Config, &config))
		last := config.Records[len(config.Records)-1]
		if len(m.Layers) != tc.layers || len(config.Layers) != tc.layers || len(config.Records) < tc.layers*4/3 || last.Digest == "" {
			t.Errorf("%d layers: %d in the manifest, %d and %d records in the config", tc.layers, len(m.Layers), len(config.Layers), len(config.Records))
		}
		if _, err := Export(m, l.Config); err != nil {
			t.Errorf("%d layers: %v", tc.layers, err)
		}
	}
}
