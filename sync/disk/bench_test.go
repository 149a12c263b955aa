package disk

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
)

const benchSize = 256 << 20

func benchStore(b *testing.B) (*Store, []byte, digest.Digest) {
	dir := b.TempDir()
	s, err := Open(dir, Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	data := make([]byte, benchSize)
	for i := range data {
		data[i] = byte(i * 7 >> 3)
	}
	b.SetBytes(benchSize)
	return s, data, digest.FromBytes(data)
}

func benchOK(b *testing.B, err error) {
	if err != nil {
		b.Fatal(err)
	}
}

func BenchmarkSHA256OfFile(b *testing.B) {
	s, data, _ := benchStore(b)
	path := filepath.Join(s.Scratch(), "f")
	benchOK(b, os.WriteFile(path, data, 0o600))
	for b.Loop() {
		f, err := os.Open(path)
		benchOK(b, err)
		h := sha256.New()
		_, err = io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{f}, make([]byte, 1<<20))
		benchOK(b, errors.Join(err, f.Close()))
	}
}

func BenchmarkWriteAndFsync(b *testing.B) {
	s, data, _ := benchStore(b)
	for b.Loop() {
		f, err := os.CreateTemp(s.Scratch(), "f")
		benchOK(b, err)
		_, err = f.Write(data)
		benchOK(b, errors.Join(err, f.Sync(), f.Close(), os.Remove(f.Name())))
	}
}

func BenchmarkStage256(b *testing.B) {
	s, data, d := benchStore(b)
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		path := filepath.Join(s.Scratch(), fmt.Sprint(i))
		benchOK(b, os.WriteFile(path, data, 0o600))
		b.StartTimer()
		_, err := s.Stage(b.Context(), path, d)
		benchOK(b, err)
		b.StopTimer()
		benchOK(b, errors.Join(s.Promote(d), s.Remove(d)))
		b.StartTimer()
	}
}

func BenchmarkPart256(b *testing.B) {
	s, data, d := benchStore(b)
	for b.Loop() {
		p, err := s.Part(d, benchSize)
		benchOK(b, err)
		for i := range p.Chunks() {
			benchOK(b, p.WriteChunk(i, data[i*ChunkSize:(i+1)*ChunkSize]))
		}
		benchOK(b, p.Finish(b.Context()))
		b.StopTimer()
		benchOK(b, errors.Join(p.Close(), s.Remove(d)))
		b.StartTimer()
	}
}

func BenchmarkScan100k(b *testing.B) {
	dir := b.TempDir()
	s, err := Open(dir, Options{})
	benchOK(b, err)
	s.Close()
	blobs := filepath.Join(dir, "blobs", "sha256")
	benchOK(b, os.MkdirAll(blobs, 0o700))
	for i := range 100_000 {
		benchOK(b, os.WriteFile(filepath.Join(blobs, digest.FromString(fmt.Sprint(i)).Encoded()), nil, 0o600))
	}
	for b.Loop() {
		s, err := Open(dir, Options{})
		benchOK(b, err)
		s.Close()
	}
}
