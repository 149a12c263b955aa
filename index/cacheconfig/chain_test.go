package cacheconfig

import (
	"maps"
	"testing"

	"github.com/opencontainers/go-digest"
)

func TestChain(t *testing.T) {
	for name, tc := range map[string]struct {
		config string
		want   map[digest.Digest]digest.Digest
	}{
		"none":     {`{}`, nil},
		"a chain":  {`{"layers":[{"blob":"b","parent":1},{"blob":"a","parent":-1},{"blob":"c"}]}`, map[digest.Digest]digest.Digest{"a": "b", "b": "c"}},
		"branches": {`{"layers":[{"blob":"a","parent":-1},{"blob":"b"},{"blob":"c"},{"blob":"d","parent":2}]}`, map[digest.Digest]digest.Digest{"c": "d"}},
		"twice":    {`{"layers":[{"blob":"a","parent":-1},{"blob":"b"},{"blob":"b"}]}`, map[digest.Digest]digest.Digest{"a": "b"}},
		"nonsense": {`{"layers":[{"blob":"a"},{"blob":"b","parent":7}]}`, nil},
	} {
		got, err := Chain([]byte(tc.config))
		if err != nil || !maps.Equal(got, tc.want) {
			t.Errorf("%s: %v, %v, want %v", name, got, err, tc.want)
		}
	}
	for _, config := range []string{`[]`, `{"layers":{}}`, `{"layers":[1]}`} {
		if _, err := Chain([]byte(config)); err == nil {
			t.Errorf("%s is taken", config)
		}
	}
}
