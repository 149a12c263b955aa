package fs

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
)

// TestWhyIsLogged: an errno does not say what the bucket or a flag would have to allow.
func TestWhyIsLogged(t *testing.T) {
	r := testMount(t)
	r.names.set("app", indexOf("a"))
	wantErrno(t, "removing a name", os.Remove(r.path("app/index.json")), syscall.EPERM)
	r.names.failWith(errors.New("put: the credentials need s3:PutObject"))
	_, err := buildKitPut(r.path("index.json"), indexOf("a"))
	wantErrno(t, "publishing", err, syscall.EIO)
	for _, want := range []string{"delete app", "s3:PutObject"} {
		if !strings.Contains(r.log.String(), want) {
			t.Errorf("the log says nothing of %q:\n%s", want, r.log)
		}
	}
	wantErrno(t, "removing a marker", os.Remove(r.path("oci-layout")), syscall.EPERM)
	if strings.Contains(r.log.String(), "oci-layout") {
		t.Errorf("the log tells of what the errno says:\n%s", r.log)
	}
}
