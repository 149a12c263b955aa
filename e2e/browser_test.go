package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// evil is a site that its owner has made to stand for this machine.
const evil = "evil.test"

// newBrowser starts a real browser, to whom evil is our address.
func newBrowser(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.UserDataDir(t.TempDir()), chromedp.Flag("host-resolver-rules", "MAP "+evil+" 127.0.0.1"))
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start the browser: %v", err)
	}
	return ctx
}

// browse has the browser show a page in a new tab, and returns the element that the page shows at last, as HTML, and
// what the browser complained of meanwhile.
func browse(t *testing.T, browser context.Context, url, element string) (html string, complaints []string) {
	t.Helper()
	tab, cancel := chromedp.NewContext(browser)
	defer cancel()
	var mu sync.Mutex // of complaints
	err := chromedp.Listen(tab, func(event any) {
		mu.Lock()
		defer mu.Unlock()
		switch e := event.(type) {
		case *log.EventEntryAdded:
			complaints = append(complaints, e.Entry.Text)
		case *runtime.EventExceptionThrown:
			complaints = append(complaints, e.ExceptionDetails.Text)
		}
	})
	if err == nil {
		err = chromedp.Do(tab, chromedp.Navigate(url))
	}
	if err == nil {
		html, err = chromedp.Run(tab, chromedp.OuterHTML(element))
	}
	if err != nil {
		t.Fatalf("browse %s: %v", url, err)
	}
	mu.Lock()
	defer mu.Unlock()
	return html, slices.Clone(complaints)
}

// attack is a page that tries what a page can, to read another one.
const attack = `<!DOCTYPE html><body><script>
const say = (text) => document.body.append(text + ";");
const tries = [["ours", %q], ["plain", %q]].flatMap(([name, url]) => [
  fetch(url).then(() => say(name + " read"), () => say(name + " not read")),
  fetch(url, {mode: "no-cors"}).then(() => say(name + " asked"), () => say(name + " not asked")),
]);
Promise.all(tries).then(() => { document.documentElement.className = "tried"; });
</script>`

// TestBrowser shows the web page in a real browser, which finds nothing to complain of, and attacks it from there: from
// another site, and from one whose name was made to stand for our address.
func TestBrowser(t *testing.T) {
	h := newHost(t, anyServer(t).config(t), "--web", "0")
	h.do("push", "../inspect/testdata/layouts/gzip")
	web := h.status().Web
	browser := newBrowser(t)
	document, complaints := browse(t, browser, web, "html")
	if !strings.Contains(document, "<h1>"+h.mnt+"</h1>") || !strings.Contains(document, "<td>buildkit</td><td>cache</td>") {
		t.Errorf("the page shows\n%s", document)
	}
	if len(complaints) > 0 {
		t.Errorf("the browser complains: %q", complaints)
	}
	rebound := strings.Replace(web, "127.0.0.1", evil, 1)
	if document, _ := browse(t, browser, rebound+"metrics", "html"); !strings.Contains(document, "is no name of this page") || strings.Contains(document, "layoutfs_names") {
		t.Errorf("under another name it shows\n%s", document)
	}

	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer plain.Close()
	attacker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, attack, web+"metrics", plain.URL)
	}))
	defer attacker.Close()
	for _, from := range []string{attacker.URL, strings.Replace(attacker.URL, "127.0.0.1", evil, 1)} {
		document, _ := browse(t, browser, from, "html.tried")
		// A server that does not protect itself is asked, so the browser does what the page tells it.
		for _, want := range []string{"plain asked", "ours not read", "ours not asked"} {
			if !regexp.MustCompile(`\b` + want + `;`).MatchString(document) {
				t.Errorf("%s: it is not so that %s:\n%s", from, want, document)
			}
		}
	}
}
