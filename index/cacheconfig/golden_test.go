package cacheconfig

import (
	"os"
	"path/filepath"
	"testing"
)

// seed calls f with what a real BuildKit wrote for the same build in each shape.
func seed(t testing.TB, f func(s3, manifest, config []byte)) {
	t.Helper()
	for _, dir := range goldenDirs(t) {
		f(readGolden(t, dir))
	}
}

// goldens calls f with the same, each as a test of its own.
func goldens(t *testing.T, f func(t *testing.T, s3, manifest, config []byte)) {
	t.Helper()
	for _, dir := range goldenDirs(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			s3, manifest, config := readGolden(t, dir)
			f(t, s3, manifest, config)
		})
	}
}

func goldenDirs(t testing.TB) []string {
	t.Helper()
	dirs, err := filepath.Glob("testdata/*-*")
	must(t, err)
	if len(dirs) != 12 {
		t.Fatalf("%d folders of goldens, not 12", len(dirs))
	}
	return dirs
}

func readGolden(t testing.TB, dir string) (s3, manifest, config []byte) {
	t.Helper()
	var b [3][]byte
	for i, name := range []string{"s3.json", "manifest.json", "config.json"} {
		var err error
		b[i], err = os.ReadFile(filepath.Join(dir, name))
		must(t, err)
	}
	return b[0], b[1], b[2]
}

func TestExportOfARealCache(t *testing.T) {
	goldens(t, func(t *testing.T, s3, manifest, config []byte) {
		if !IsManifest(manifest) || IsManifest(config) || IsManifest(s3) {
			t.Error("the documents are taken for each other")
		}
		m, err := ParseManifest(manifest)
		must(t, err)
		got, err := Export(m, config)
		must(t, err)
		same(t, s3, got)
	})
}

func TestImportOfARealCache(t *testing.T) {
	goldens(t, func(t *testing.T, s3, _, config []byte) {
		l, err := Import(s3)
		must(t, err)
		same(t, config, l.Config)
		m, err := ParseManifest(l.Manifest)
		must(t, err)
		again, err := Export(m, l.Config)
		must(t, err)
		same(t, s3, again)
	})
}
