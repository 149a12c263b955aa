package sync

import (
	"context"
	"strings"
	"testing"
)

// TestStatusSaysWhyAClientFailed holds that what a client gets as a mere input/output error can be looked up.
func TestStatusSaysWhyAClientFailed(t *testing.T) {
	b := newMemBucket()
	h := newHost(t, b, func(o *Options) { o.AllowDelete = true })
	c := newCache(t, random(100, 1))
	wantLast := func(err error, reason string) {
		t.Helper()
		last := h.Status().LastError
		if err == nil || last == nil || !strings.Contains(last.Text, reason) {
			t.Errorf("the client gets %v, and status says %+v; want %q", err, last, reason)
		}
	}
	lost := h.mustWrite(c.layers[0])
	must(t, h.Flush(t.Context()))
	must(t, h.o.Disk.Remove(lost))
	b.remove(lost)
	h.age()
	h.mustWrite(c.config)
	_, err := h.write(c.manifest)
	wantLast(err, lost.String()+" is neither in the bucket nor here")

	b.failing(func(_ context.Context, verb, _ string) error {
		if verb == "putname" || verb == "deletename" {
			return errDown
		}
		return nil
	})
	wantLast(h.export("app", "latest", c), `publish name "app": `+errDown.Error())
	wantLast(h.Delete(t.Context(), "app"), `delete name "app": `+errDown.Error())
}
