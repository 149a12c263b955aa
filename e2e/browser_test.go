package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// evil is a site that its owner has made to stand for this machine.
const evil = "evil.test"

// browse has a real browser show a page, and returns the document that it ends up with and what it complained of.
func browse(t *testing.T, url string) (document, console string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--user-data-dir="+t.TempDir(), "--host-resolver-rules=MAP "+evil+" 127.0.0.1", "--enable-logging=stderr",
		"--virtual-time-budget=10000", "--dump-dom", url)
	cmd.WaitDelay = time.Second // for its children, which have its output
	var log strings.Builder
	cmd.Stderr = &log
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("chromium %s: %v\n%s", url, err, log.String())
	}
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, "CONSOLE") {
			console += line
		}
	}
	return string(out), console
}

// attack is a page that tries what a page can, to read another one.
const attack = `<!DOCTYPE html><body><script>
const say = (text) => document.body.append(text + ";");
for (const [name, url] of [["ours", %q], ["plain", %q]]) {
  fetch(url).then(() => say(name + " read"), () => say(name + " not read"));
  fetch(url, {mode: "no-cors"}).then(() => say(name + " asked"), () => say(name + " not asked"));
}
</script>`

// TestBrowser shows the web page in a real browser, which finds nothing to complain of, and attacks it from there: from
// another site, and from one whose name was made to stand for our address.
func TestBrowser(t *testing.T) {
	h := newHost(t, anyServer(t).config(t), "--web", "0")
	h.do("push", "../inspect/testdata/layouts/gzip")
	web := h.status().Web
	document, console := browse(t, web)
	if !strings.Contains(document, "<h1>"+h.mnt+"</h1>") || !strings.Contains(document, "<td>buildkit</td><td>cache</td>") {
		t.Errorf("the page shows\n%s", document)
	}
	if console != "" {
		t.Errorf("the browser complains: %s", console)
	}
	rebound := strings.Replace(web, "127.0.0.1", evil, 1)
	if document, _ := browse(t, rebound+"metrics"); !strings.Contains(document, "is no name of this page") || strings.Contains(document, "layoutfs_names") {
		t.Errorf("under another name it shows\n%s", document)
	}

	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer plain.Close()
	attacker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, attack, web+"metrics", plain.URL)
	}))
	defer attacker.Close()
	for _, from := range []string{attacker.URL, strings.Replace(attacker.URL, "127.0.0.1", evil, 1)} {
		document, _ := browse(t, from)
		// A server that does not protect itself is asked, so the browser does what the page tells it.
		for _, want := range []string{"plain asked", "ours not read", "ours not asked"} {
			if !regexp.MustCompile(`\b` + want + `;`).MatchString(document) {
				t.Errorf("%s: it is not so that %s:\n%s", from, want, document)
			}
		}
	}
}
