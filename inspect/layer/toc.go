package layer

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"strconv"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
)

const (
	// tocName is the file in the archive that is estargz's table of contents.
	tocName = "stargz.index.json"
	// tocDigest and chunkedDigest are the annotations with the digest of a table of contents: of estargz's
	// file, and of zstd:chunked's as it is compressed.
	tocDigest     = "containerd.io/snapshot/stargz/toc.digest"
	chunkedDigest = "io.containers.zstd-chunked.manifest-checksum"
	// worthTOC is how large a layer is, in bytes, for which it is worth a request to look for a table of
	// contents: smaller ones are read.
	worthTOC = 128 << 10
	// estargzFooter and chunkedFooter are the lengths of footers, in bytes. The former is an empty gzip
	// member with a field of its own, the latter the content of a frame that zstd passes over.
	estargzFooter = 51
	chunkedFooter = 40
	// maxEntry bounds what is read of a table of contents for one entry, in bytes.
	maxEntry = 4 << 20
)

// toc is a table of contents.
type toc struct {
	l           *Layer
	compression Compression
	off, size   int64 // of it in the blob
	begin       int64 // where it and what belongs to it begins: the end of the last file
}

// findTOC looks for a table of contents; nil if there is none.
func (l *Layer) findTOC(ctx context.Context) (*toc, error) {
	if l.Size < worthTOC && l.Annotations[tocDigest] == "" && l.Annotations[chunkedDigest] == "" {
		return nil, nil
	}
	n := min(l.Size, estargzFooter)
	r, err := l.Open(ctx, l.Size-n, n)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	t := &toc{l: l}
	if !t.estargz(b) && !t.chunked(b) {
		return nil, nil
	}
	if t.off <= 0 || t.size <= 0 || t.off > l.Size || t.size > l.Size-t.off {
		return nil, nil // a file that happens to end so
	}
	return t, nil
}

// estargz reads the footer of estargz: the offset in hex, then STARGZ, in the extra field "SG" of a gzip
// header.
func (t *toc) estargz(b []byte) bool {
	if len(b) != estargzFooter || !bytes.HasPrefix(b, gzipMagic) || string(b[12:14]) != "SG" || string(b[32:38]) != "STARGZ" {
		return false
	}
	off, err := strconv.ParseInt(string(b[16:32]), 16, 64)
	if err != nil {
		return false
	}
	t.compression, t.off, t.begin, t.size = EStargz, off, off, t.l.Size-estargzFooter-off
	return true
}

// chunked reads the footer of zstd:chunked: offset, length, length when decompressed, type, magic.
func (t *toc) chunked(b []byte) bool {
	if len(b) < chunkedFooter || string(b[len(b)-8:]) != "GnUlInUx" {
		return false
	}
	b = b[len(b)-chunkedFooter:]
	off, size := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
	if off > 1<<62 || size > 1<<62 {
		return false
	}
	t.compression, t.off, t.size = ZstdChunked, int64(off), int64(size)
	t.begin = t.off - 8 // the head of its frame
	return true
}

// tocEntry is an entry of either format.
type tocEntry struct {
	Type        string        `json:"type"` // dir, reg, symlink, hardlink, char, block, fifo, or chunk
	Name        string        `json:"name"`
	Link        string        `json:"linkName"`
	Mode        int64         `json:"mode"`
	Size        int64         `json:"size"`
	UID         int           `json:"uid"`
	GID         int           `json:"gid"`
	ModTime     string        `json:"modtime"`
	Digest      digest.Digest `json:"digest"`
	Offset      int64         `json:"offset"`
	EndOffset   int64         `json:"endOffset"` // of zstd:chunked
	InnerOffset int64         `json:"innerOffset"`
	ChunkSize   int64         `json:"chunkSize"` // 0: to the end of the file
	ChunkOffset int64         `json:"chunkOffset"`
	ChunkType   string        `json:"chunkType"`
}

// each calls f with the entries, chunks included, until it says false. One that is read to its end is
// checked, if its digest is known.
func (t *toc) each(ctx context.Context, f func(*tocEntry) bool) (err error) {
	blob, err := t.l.Open(ctx, t.off, t.size)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, blob.Close()) }()
	compressed, plain := digest.Canonical.Digester(), digest.Canonical.Digester()
	tee := io.TeeReader(blob, compressed.Hash())
	r, closeAll, err := t.document(tee)
	if err != nil {
		return fmt.Errorf("table of contents: %w", err)
	}
	defer closeAll()
	stopped, err := entries(ctx, io.TeeReader(r, plain.Hash()), f)
	if err == nil && !stopped && t.compression == ZstdChunked {
		if _, err = io.Copy(io.Discard, tee); err == nil {
			err = t.check(chunkedDigest, compressed.Digest())
		}
	} else if err == nil && !stopped {
		err = t.check(tocDigest, plain.Digest())
	}
	if err != nil {
		return fmt.Errorf("table of contents: %w", err)
	}
	return nil
}

func (t *toc) check(annotation string, is digest.Digest) error {
	if want := t.l.Annotations[annotation]; want != "" && want != is.String() {
		return fmt.Errorf("its digest is %s and should be %s", is, want)
	}
	return nil
}

// document is the JSON inside.
func (t *toc) document(blob io.Reader) (io.Reader, func(), error) {
	if t.compression == ZstdChunked {
		z, err := zstd.NewReader(blob, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	}
	z, err := gzip.NewReader(blob)
	if err != nil {
		return nil, nil, err
	}
	archive := tar.NewReader(z)
	h, err := archive.Next()
	if err == nil && h.Name != tocName {
		err = fmt.Errorf("%s is in its place", h.Name)
	}
	return archive, func() { _ = z.Close() }, err
}

// entries decodes {"version":1,"entries":[…]} entry by entry; stopped says that f wanted no more.
func entries(ctx context.Context, r io.Reader, f func(*tocEntry) bool) (stopped bool, err error) {
	limit := &perEntry{r: r, left: maxEntry}
	dec := json.NewDecoder(limit)
	there, err := seekArray(dec, "entries")
	if err != nil {
		return false, err
	}
	for there && dec.More() {
		limit.left = maxEntry
		var e tocEntry
		if err := dec.Decode(&e); err != nil {
			return false, err
		}
		if err := context.Cause(ctx); err != nil {
			return false, err
		}
		if !f(&e) {
			return true, nil
		}
	}
	for { // to the end, for the digest
		limit.left = maxEntry
		if _, err := dec.Token(); errors.Is(err, io.EOF) {
			return false, nil
		} else if err != nil {
			return false, err
		}
	}
}

// seekArray goes to the first element of the array that is a field of an object; there is false if it is
// null, as in the table of contents of an empty layer.
func seekArray(dec *json.Decoder, field string) (there bool, err error) {
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return false, errors.Join(errors.New("it is no object"), err)
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return false, err
		}
		if key == field {
			t, err := dec.Token()
			if err == nil && t != nil && t != json.Delim('[') {
				err = fmt.Errorf("%s is no array", field)
			}
			return t != nil, err
		}
		var skip json.RawMessage
		if err := dec.Decode(&skip); err != nil {
			return false, err
		}
	}
	return false, fmt.Errorf("it has no %s", field)
}

// perEntry ends the reading of an entry that is too long.
type perEntry struct {
	r    io.Reader
	left int
}

func (p *perEntry) Read(b []byte) (int, error) {
	if p.left <= 0 {
		return 0, fmt.Errorf("an entry has more than %d bytes", maxEntry)
	}
	n, err := p.r.Read(b[:min(len(b), p.left)])
	p.left -= n
	return n, err
}

var tocModes = map[string]iofs.FileMode{
	"dir": iofs.ModeDir, "reg": 0, "hardlink": 0, "symlink": iofs.ModeSymlink, "fifo": iofs.ModeNamedPipe,
	"block": iofs.ModeDevice, "char": iofs.ModeDevice | iofs.ModeCharDevice,
}

// entry is what a listing shows; ok is false for what is no file.
func (e *tocEntry) entry() (Entry, bool) {
	mode, known := tocModes[e.Type]
	p, hides, ok := place(e.Name)
	switch {
	case !known || !ok:
		return Entry{}, false
	case hides != Nothing:
		return Entry{Path: p, Hides: hides}, true
	}
	out := Entry{Path: p, Mode: mode | permissions(e.Mode), UID: e.UID, GID: e.GID, Link: e.Link, Hard: e.Type == "hardlink"}
	if t, err := time.Parse(time.RFC3339, e.ModTime); err == nil {
		out.ModTime = t
	}
	if out.Hard {
		out.Link = relative(e.Link)
	}
	if e.Type == "reg" {
		out.Size, out.Digest = e.Size, e.Digest
		if e.Size == 0 && e.Digest == "" {
			out.Digest = digest.FromBytes(nil)
		}
	}
	return out, true
}

// permissions are those of a tar header.
func permissions(mode int64) iofs.FileMode {
	m := iofs.FileMode(mode) & iofs.ModePerm
	for bit, is := range map[int64]iofs.FileMode{0o4000: iofs.ModeSetuid, 0o2000: iofs.ModeSetgid, 0o1000: iofs.ModeSticky} {
		if mode&bit != 0 {
			m |= is
		}
	}
	return m
}
