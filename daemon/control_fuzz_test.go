package daemon

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"
)

// Whatever is sent to the control socket gets an answer that can be read, and only a request that asks for
// it ends the mount.
func FuzzRequests(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"timeout_seconds":1}`, `{"timeout_seconds":-1,"force":true}`, `{"timeout_seconds":1e300}`, `{"force":"yes"}`,
		``, `null`, `[]`, `"x"`, `{"timeout_seconds":`, `{"a":{"b":[[[[]]]]}}`, "\x00\xff", `{} {}`,
	} {
		f.Add(umountPath, []byte(seed))
		f.Add(flushPath, []byte(seed))
		f.Add(statusPath, []byte(seed))
	}
	f.Fuzz(func(t *testing.T, path string, body []byte) {
		if path != umountPath && path != flushPath && path != statusPath {
			return
		}
		if len(body) > 12_000 {
			return // a server that answers without reading so much closes while the client still writes
		}
		r := serve(t, newFakeEngine(0), nil)
		code, answer := post(t, r, path, body)
		var in any = &FlushRequest{}
		if path == umountPath {
			in = &UnmountRequest{}
		}
		err := json.NewDecoder(bytes.NewReader(body)).Decode(in)
		asked := err == nil || errors.Is(err, io.EOF)
		switch {
		case code != http.StatusOK && code != http.StatusBadRequest && code != http.StatusMethodNotAllowed:
			t.Errorf("%s %q: status %d", path, body, code)
		case code == http.StatusOK && !json.Valid(answer), code == http.StatusBadRequest && !json.Valid(answer):
			t.Errorf("%s %q: answered with %q", path, body, answer)
		case code == http.StatusOK && !asked:
			t.Errorf("%s %q is taken for a request", path, body)
		case isClosed(r.mount.gone) && path != umountPath:
			t.Errorf("%s %q ended the mount", path, body)
		}
		if path != umountPath || code != http.StatusOK {
			finish(t, r)
		} else if err := <-r.ended; err != nil {
			t.Errorf("ended with %v", err)
		}
	})
}

func post(t *testing.T, r *rig, path string, body []byte) (code int, answer []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://layoutfs"+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := r.client.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(res.Body); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, b.Bytes()
}

func TestTimeoutsOfRequests(t *testing.T) {
	for seconds, want := range map[float64]time.Duration{0.5: time.Second / 2, 60: time.Minute, 1e300: forever} {
		ctx, cancel := within(t.Context(), seconds)
		at, ok := ctx.Deadline()
		if left := time.Until(at); !ok || left > want || left < want-time.Second {
			t.Errorf("%v s end in %s", seconds, left)
		}
		cancel()
	}
	for _, seconds := range []float64{0, -1} {
		ctx, cancel := within(t.Context(), seconds)
		if _, ok := ctx.Deadline(); ok {
			t.Errorf("%v s end", seconds)
		}
		cancel()
	}
}
