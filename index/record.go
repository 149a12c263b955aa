package index

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// The record of a name is its generation, the length of a JSON document, that document without the closure,
// and the closure: media types, then blobs. A mount may have a million blobs in closures, and to list its names
// means to read them all: as JSON that takes seconds.

// encodeName is a record.
func encodeName(generation []byte, n Name) ([]byte, error) {
	head := n
	head.Closure = nil
	doc, err := json.Marshal(head)
	if err != nil {
		return nil, err
	}
	v := bytes.Clone(generation)
	v = append(binary.AppendUvarint(v, uint64(len(doc))), doc...)
	types := map[string]uint64{}
	var ordered []string
	for _, d := range n.Closure {
		if _, ok := types[d.MediaType]; !ok {
			types[d.MediaType] = uint64(len(ordered))
			ordered = append(ordered, d.MediaType)
		}
	}
	v = binary.AppendUvarint(v, uint64(len(ordered)))
	for _, t := range ordered {
		v = append(binary.AppendUvarint(v, uint64(len(t))), t...)
	}
	for _, d := range n.Closure {
		v = binary.AppendUvarint(v, types[d.MediaType])
		v = binary.AppendUvarint(v, uint64(d.Size))
		v = append(binary.AppendUvarint(v, uint64(len(d.Digest))), d.Digest...)
	}
	return v, nil
}

func decodeName(v []byte) (generation []byte, n Name, err error) {
	if len(v) < generationSize {
		return nil, Name{}, errRecord
	}
	r := recordReader{rest: string(v[generationSize:])} // once: the texts of the closure are parts of it
	if err := json.Unmarshal([]byte(r.text()), &n); err != nil {
		return nil, Name{}, fmt.Errorf("%w: %w", errRecord, err)
	}
	n.Closure = r.closure()
	if r.damaged {
		return nil, Name{}, errRecord
	}
	return bytes.Clone(v[:generationSize]), n, nil
}

// recordReader reads a record from its front.
type recordReader struct {
	rest    string
	damaged bool
}

func (r *recordReader) number() uint64 {
	var n uint64
	for i := range min(len(r.rest), binary.MaxVarintLen64) {
		b := r.rest[i]
		n |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			r.rest = r.rest[i+1:]
			return n
		}
	}
	r.rest, r.damaged = "", true
	return 0
}

func (r *recordReader) text() string {
	n := r.number()
	if n > uint64(len(r.rest)) {
		r.rest, r.damaged = "", true
		return ""
	}
	text := r.rest[:n]
	r.rest = r.rest[n:]
	return text
}

func (r *recordReader) closure() []ocispec.Descriptor {
	var types []string
	for range min(r.number(), uint64(len(r.rest))) {
		types = append(types, r.text())
	}
	const least = 64 // bytes of a blob, about
	all := make([]ocispec.Descriptor, 0, len(r.rest)/least)
	for len(r.rest) > 0 {
		t, size := r.number(), r.number()
		d := digest.Digest(r.text())
		if t >= uint64(len(types)) {
			r.damaged = true
			break
		}
		all = append(all, ocispec.Descriptor{MediaType: types[t], Digest: d, Size: int64(size)})
	}
	if len(all) == 0 {
		return nil
	}
	return all
}
