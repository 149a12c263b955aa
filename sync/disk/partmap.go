package disk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
)

// ChunkSize is the granularity of a partial blob's map, in bytes.
const ChunkSize = 1 << 20

// Range is a half-open range of chunk numbers.
type Range struct{ From, To int }

const (
	mapSuffix = ".map"
	mapMagic  = "layoutfs partial 1\n"
	// maxMap bounds what is read as a map: that of a blob of 32 TiB.
	maxMap = 4 << 20
)

// chunkMap says which chunks of a blob are there.
type chunkMap struct {
	size int64
	bits []byte
	have int
}

func chunks(size int64) int { return int((size + ChunkSize - 1) / ChunkSize) }

func newMap(size int64) *chunkMap {
	return &chunkMap{size: size, bits: make([]byte, (chunks(size)+7)/8)}
}

func (m *chunkMap) has(c int) bool { return m.bits[c/8]&(1<<(c%8)) != 0 }

func (m *chunkMap) set(c int) {
	if !m.has(c) {
		m.bits[c/8] |= 1 << (c % 8)
		m.have++
	}
}

func (m *chunkMap) complete() bool { return m.have == chunks(m.size) }

// missing lists the ranges of [from,to) that are not there.
func (m *chunkMap) missing(from, to int) []Range {
	var rs []Range
	for c := from; c < to; c++ {
		switch {
		case m.has(c):
		case len(rs) > 0 && rs[len(rs)-1].To == c:
			rs[len(rs)-1].To++
		default:
			rs = append(rs, Range{c, c + 1})
		}
	}
	return rs
}

// encode renders a map: magic, size, bits, checksum of all that.
func (m *chunkMap) encode() []byte {
	b := append([]byte(mapMagic), binary.BigEndian.AppendUint64(nil, uint64(m.size))...)
	b = append(b, m.bits...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

func readMap(path string) (*chunkMap, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxMap {
		return nil, fmt.Errorf("map %s has %d bytes", path, info.Size())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m, err := parseMap(b)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", path, err)
	}
	return m, nil
}

func parseMap(b []byte) (*chunkMap, error) {
	rest, ok := bytes.CutPrefix(b, []byte(mapMagic))
	if !ok || len(rest) < 12 {
		return nil, errors.New("is no map of chunks")
	}
	if sum := binary.BigEndian.Uint32(b[len(b)-4:]); sum != crc32.ChecksumIEEE(b[:len(b)-4]) {
		return nil, errors.New("checksum does not match")
	}
	size, bits := int64(binary.BigEndian.Uint64(rest)), rest[8:len(rest)-4]
	if size < 0 || size > maxMap*8*ChunkSize || len(bits) != (chunks(size)+7)/8 {
		return nil, fmt.Errorf("%d bytes of map do not fit a blob of %d bytes", len(bits), size)
	}
	m := newMap(size)
	for c := range chunks(size) {
		if bits[c/8]&(1<<(c%8)) != 0 {
			m.set(c)
		}
	}
	return m, nil
}
