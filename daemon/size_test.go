package daemon

import "testing"

// What String prints is read as the same size; nothing else than sizes from 0 on is read.
func FuzzParseSize(f *testing.F) {
	for _, seed := range []string{"50GB", "20GiB", "1048576", "0", "30%", " 2.5 % ", "-1", "1e400%", "NaN%", "9EB", "8EiB", "16EiB", "0x1p-2%", "1,000", ".5GB"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSize(text)
		if err != nil {
			return
		}
		if s.Bytes < 0 || !(s.Percent >= 0 && s.Percent <= 100) || s.Bytes > 0 && s.Percent > 0 {
			t.Errorf("%q is read as %+v", text, s)
		}
		if again, err := ParseSize(s.String()); err != nil || again != s {
			t.Errorf("%q is read as %+v, printed as %s, and read as %+v, %v", text, s, s, again, err)
		}
	})
}
