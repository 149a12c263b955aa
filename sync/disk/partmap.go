package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/bits"
	"os"

	"golang.org/x/sys/unix"
)

// bitmap has one bit per chunk.
type bitmap []byte

func newBitmap(chunks int) bitmap { return make(bitmap, (chunks+7)/8) }

func (m bitmap) has(chunk int) bool { return m[chunk/8]&(1<<(chunk%8)) != 0 }

func (m bitmap) set(chunk int) { m[chunk/8] |= 1 << (chunk % 8) }

func (m bitmap) count() (n int) {
	for _, b := range m {
		n += bits.OnesCount8(b)
	}
	return n
}

// inode tells a file from others that had its path before: a map that a crash brought back must not be
// taken for that of another file.
type inode struct {
	number uint64
	born   int64 // ns since 1970; 0 where the file system does not keep it
}

func inodeOf(f *os.File) (inode, error) {
	var st unix.Statx_t
	err := unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_INO|unix.STATX_BTIME, &st)
	if err != nil {
		return inode{}, fmt.Errorf("stat %s: %w", f.Name(), err)
	}
	id := inode{number: st.Ino}
	if st.Mask&unix.STATX_BTIME != 0 {
		id.born = st.Btime.Sec*1e9 + int64(st.Btime.Nsec)
	}
	return id, nil
}

// partMap is what is kept of a partial blob beside its bytes.
type partMap struct {
	size   int64 // of the blob
	file   inode // that holds the bytes
	chunks bitmap
}

// A map's file, all numbers little-endian: magic, size, inode number, birth, bitmap, and a CRC-32C of
// all that.
const (
	mapMagic  = "lfsmap2\n"
	mapHeader = len(mapMagic) + 3*8
	mapSum    = 4
)

// maxSize bounds a partial blob and with it its map, in bytes. No S3 server takes larger objects.
const maxSize = 1 << 46

var errMap = errors.New("damaged map of chunks")

// chunksOf is how many chunks a blob has.
func chunksOf(size int64) int { return int((size + ChunkSize - 1) / ChunkSize) }

func (m partMap) encode() []byte {
	b := make([]byte, 0, mapHeader+len(m.chunks)+mapSum)
	b = append(b, mapMagic...)
	b = binary.LittleEndian.AppendUint64(b, uint64(m.size))
	b = binary.LittleEndian.AppendUint64(b, m.file.number)
	b = binary.LittleEndian.AppendUint64(b, uint64(m.file.born))
	b = append(b, m.chunks...)
	return binary.LittleEndian.AppendUint32(b, mapCRC(b))
}

func mapCRC(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// decodeMap reads what encode wrote; anything else is an error.
func decodeMap(b []byte) (partMap, error) {
	if len(b) < mapHeader+mapSum || string(b[:len(mapMagic)]) != mapMagic {
		return partMap{}, fmt.Errorf("%w: no header", errMap)
	}
	body, sum := b[:len(b)-mapSum], binary.LittleEndian.Uint32(b[len(b)-mapSum:])
	if mapCRC(body) != sum {
		return partMap{}, fmt.Errorf("%w: wrong checksum", errMap)
	}
	fields := body[len(mapMagic):]
	m := partMap{
		size: int64(binary.LittleEndian.Uint64(fields)),
		file: inode{
			number: binary.LittleEndian.Uint64(fields[8:]),
			born:   int64(binary.LittleEndian.Uint64(fields[16:])),
		},
		chunks: bitmap(body[mapHeader:]),
	}
	return m, m.check()
}

func (m partMap) check() error {
	if m.size < 0 || m.size > maxSize || len(m.chunks) != (chunksOf(m.size)+7)/8 {
		return fmt.Errorf("%w: %d bytes of bitmap for a blob of %d", errMap, len(m.chunks), m.size)
	}
	for chunk := chunksOf(m.size); chunk < 8*len(m.chunks); chunk++ {
		if m.chunks.has(chunk) {
			return fmt.Errorf("%w: chunk %d is beyond the end", errMap, chunk)
		}
	}
	return nil
}
