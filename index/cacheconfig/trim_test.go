package cacheconfig

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestTrimDropsEveryMentionOfALayer(t *testing.T) {
	goldens(t, func(t *testing.T, _, manifest, _ []byte) {
		whole, err := ParseManifest(manifest)
		must(t, err)
		for _, gone := range whole.Layers {
			trimmed, err := Trim(manifest, func(d digest.Digest) bool { return d == gone.Digest })
			must(t, err)
			if bytes.Contains(trimmed, []byte(gone.Digest)) {
				t.Fatalf("%s is still named: %s", gone.Digest, trimmed)
			}
			m, err := ParseManifest(trimmed)
			must(t, err)
			wantSame(t, m.Config.Digest, whole.Config.Digest)
			others := slices.DeleteFunc(slices.Clone(whole.Layers), func(d ocispec.Descriptor) bool { return d.Digest == gone.Digest })
			if string(mustJSON(t, m.Layers)) != string(mustJSON(t, others)) {
				t.Errorf("without %s the other layers changed", gone.Digest)
			}
		}
	})
}

func TestTrimOfNothingKeepsWhatIsThere(t *testing.T) {
	for _, manifest := range []string{asImage, asIndex} {
		trimmed, err := Trim([]byte(manifest), func(digest.Digest) bool { return false })
		must(t, err)
		same(t, []byte(manifest), trimmed)
	}
}

func TestTrimRefusesWhatIsNoManifest(t *testing.T) {
	for _, b := range []string{``, `[]`, `{"layers":{}}`, `{"layers":[1]}`, `{"manifests":[{"digest":1}]}`, `{"layers":[{}`} {
		trimmed, err := Trim([]byte(b), func(digest.Digest) bool { return false })
		if err == nil {
			t.Errorf("%s was trimmed to %s", b, trimmed)
		}
	}
}

func wantSame(t *testing.T, got, want digest.Digest) {
	t.Helper()
	if got != want {
		t.Errorf("%s, not %s", got, want)
	}
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	must(t, err)
	return b
}

func FuzzTrim(f *testing.F) {
	seed(f, func(_, manifest, _ []byte) { f.Add(manifest) })
	f.Fuzz(func(t *testing.T, b []byte) {
		even := func(d digest.Digest) bool { return strings.HasSuffix(string(d), "0") }
		trimmed, err := Trim(b, even)
		if err != nil {
			return
		}
		again, err := Trim(trimmed, even)
		must(t, err)
		if !bytes.Equal(trimmed, again) {
			t.Errorf("trimmed twice: %s, once: %s", again, trimmed)
		}
	})
}
