package inspect

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	iofs "io/fs"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

// Buildkitd asks a buildkitd that was started with --debugaddr and --save-cache-debug what digests were made
// of (/debug/cache/lookup). It knows the digests that it worked out itself since.
type Buildkitd struct {
	URL    string       // such as http://127.0.0.1:6060
	Client *http.Client // nil: http.DefaultClient
}

// plaintext is a record of cachedigest of BuildKit.
type plaintext struct {
	Digest digest.Digest `json:"digest"`
	Type   string        `json:"type"` // string, string-list, digest-list, file-list, file, or json
	Data   []struct {
		Type uint32 `json:"type"` // 2: data, 3: left out
		Data []byte `json:"data"`
	} `json:"data"`
	Sub []*plaintext `json:"subRecords"`
}

// maxPlaintext bounds an answer, in bytes, and askWithin how long one is waited for.
const (
	maxPlaintext = 16 << 20
	askWithin    = 10 * time.Second
)

// Plaintext implements Plaintexts. What buildkitd does not know is an empty text.
func (b *Buildkitd) Plaintext(ctx context.Context, d digest.Digest) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(b.URL, "/")+"/debug/cache/lookup?digest="+url.QueryEscape(d.String()), nil)
	if err != nil {
		return "", fmt.Errorf("ask buildkitd: %w", err)
	}
	r.Header.Set("Accept", "application/json")
	client := b.Client
	if client == nil {
		client = http.DefaultClient
	}
	res, err := client.Do(r)
	if err != nil {
		return "", fmt.Errorf("ask buildkitd what digests were made of: %w", err)
	}
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusOK:
	case http.StatusInternalServerError: // it answers so for what it does not know
		return "", nil
	default:
		return "", fmt.Errorf("ask buildkitd at %s: HTTP status %d: is it started with --debugaddr and --save-cache-debug? %w", b.URL, res.StatusCode, iofs.ErrNotExist)
	}
	var p plaintext
	if err := json.NewDecoder(io.LimitReader(res.Body, maxPlaintext)).Decode(&p); err != nil {
		return "", fmt.Errorf("ask buildkitd at %s: its answer cannot be read: %w", b.URL, err)
	}
	return p.text(), nil
}

// text is what a person wants to see of it: of a record the operation below it.
func (p *plaintext) text() string {
	for _, sub := range p.Sub {
		if t := sub.text(); t != "" {
			return t
		}
	}
	var data strings.Builder
	for _, f := range p.Data {
		if f.Type == 2 {
			data.Write(f.Data)
		}
	}
	switch p.Type {
	case "json":
		return operation([]byte(data.String()))
	case "digest-list", "file-list", "file":
		return "the content of files"
	case "string":
		if strings.HasPrefix(data.String(), "sha256:") { // the digest of the operation at its output
			return ""
		}
	}
	return data.String()
}

// operation words the JSON that ops of BuildKit hash (solver/llbsolver/ops): an exec, or file actions.
func operation(b []byte) string {
	var op struct {
		Exec struct {
			Meta struct {
				Args []string `json:"args"`
				Env  []string `json:"env"`
				Cwd  string   `json:"cwd"`
				User string   `json:"user"`
			} `json:"meta"`
		}
		Actions [][]byte
	}
	if err := json.Unmarshal(b, &op); err != nil {
		return string(b)
	}
	if m := op.Exec.Meta; len(m.Args) > 0 {
		text := fmt.Sprintf("exec %q in %s", m.Args, m.Cwd)
		if m.User != "" {
			text += " as " + m.User
		}
		return fmt.Sprintf("%s with env %q", text, m.Env)
	}
	var actions []string
	for _, a := range op.Actions {
		actions = append(actions, action(a))
	}
	if len(actions) == 0 {
		return string(b)
	}
	return strings.Join(actions, ", ")
}

func action(b []byte) string {
	var a struct {
		Src  string `json:"src"`
		Dest string `json:"dest"`
		Path string `json:"path"`
	}
	switch err := json.Unmarshal(b, &a); {
	case err != nil:
		return string(b)
	case a.Dest != "":
		return fmt.Sprintf("copy %s to %s", a.Src, a.Dest)
	case a.Path != "":
		return "change " + a.Path
	}
	return string(b)
}
