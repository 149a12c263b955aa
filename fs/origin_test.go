package fs

import (
	"bytes"
	"os"
	"testing"
)

// A local copy was wrong and is replaced, or is being fetched anew. Who opens the blob from then on sees nothing of
// the wrong one, neither read nor mapped, and whether or not others have that open.
func TestNothingIsReadOfACopyThatWasWrong(t *testing.T) {
	for name, partial := range map[string]bool{"replaced": false, "being fetched": true} {
		for _, held := range []string{"open", "mapped", ""} {
			t.Run(name+" "+held, func(t *testing.T) {
				r, d, content := existing(t, 300_000)
				wrong := bytes.Clone(content)
				wrong[150_000] ^= 1
				must(t, os.WriteFile(r.blobs.file(d), wrong, 0o600))
				wantContent(t, r.blob(d), wrong)
				switch held {
				case "open":
					f := openAndClose(t, r, d)
					wantRead(t, f, 0, wrong)
				case "mapped":
					m := mapFile(t, r.blob(d))
					m.want(wrong)
					t.Cleanup(m.end)
				}
				must(t, os.Remove(r.blobs.file(d)))
				must(t, os.WriteFile(r.blobs.file(d), content, 0o600))
				r.blobs.anew.Store(true)
				r.blobs.partial.Store(partial)
				for range 2 {
					wantContent(t, r.blob(d), content)
					m := mapFile(t, r.blob(d))
					m.want(content)
					m.end()
				}
				r.blobs.partial.Store(false)
				wantContent(t, r.blob(d), content)
			})
		}
	}
}
