package daemon

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"
)

// Size is an amount of disk: bytes, or a share of a file system.
type Size struct {
	Bytes   int64
	Percent float64 // of the whole file system, if not 0
}

// ParseSize reads "50GB", "20GiB", "1048576" or "30%".
func ParseSize(s string) (Size, error) {
	if number, ok := strings.CutSuffix(strings.TrimSpace(s), "%"); ok {
		p, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || math.IsNaN(p) || p < 0 || p > 100 {
			return Size{}, fmt.Errorf("%q is no size: a share must be from 0%% to 100%%", s)
		}
		return Size{Percent: p}, nil
	}
	n, err := humanize.ParseBytes(s)
	if err != nil || n > math.MaxInt64 {
		return Size{}, fmt.Errorf("%q is no size: write it as 50GB, 20GiB or 30%%", s)
	}
	return Size{Bytes: int64(n)}, nil
}

// String is what ParseSize reads.
func (s Size) String() string {
	if s.Percent != 0 {
		return strconv.FormatFloat(s.Percent, 'f', -1, 64) + "%"
	}
	return strconv.FormatInt(s.Bytes, 10)
}

// On is the size in bytes on the file system that holds dir, which must exist.
func (s Size) On(dir string) (int64, error) {
	if s.Percent == 0 {
		return s.Bytes, nil
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("size of the file system of %s: %w", dir, err)
	}
	total := float64(st.Blocks) * float64(st.Bsize)
	return max(1, int64(total*s.Percent/100)), nil // 0 would mean: no limit
}
