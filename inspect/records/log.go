package records

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

// Build is what the log of a build says of its steps.
type Build struct {
	Steps []Step // in the order in which they came up
	Exact bool   // the log says what each step takes, as that of --progress=rawjson does; else it is a guess from the stages
}

// Step is a step of a build, in BuildKit's words a vertex.
type Step struct {
	Name      string // such as "[build 2/3] RUN make"
	Cached    bool
	Error     string
	Started   time.Time // zero if the log does not say
	Completed time.Time
	Inputs    []int // indices of steps
}

// IsInternal says whether a step is BuildKit's own rather than one of the Dockerfile or of its LLB.
func (s Step) IsInternal() bool {
	return strings.HasPrefix(s.Name, "[internal]") || strings.HasPrefix(s.Name, "importing cache") ||
		strings.HasPrefix(s.Name, "exporting ") || strings.HasPrefix(s.Name, "[auth]") ||
		strings.HasPrefix(s.Name, "resolve image config") || strings.HasPrefix(s.Name, "docker-image://")
}

// maxLine is the longest line of a log that is taken, in bytes; a longer one is passed over.
const maxLine = 1 << 20

// ParseLog reads the log of a build: of --progress=rawjson, as buildctl and buildx write it, or of
// --progress=plain. Lines that are neither are passed over.
func ParseLog(r io.Reader) (*Build, error) {
	p := logParser{b: &Build{}, at: map[string]int{}, inputs: map[int][]digest.Digest{}}
	lines := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := lines.ReadSlice('\n')
		if err == nil || errors.Is(err, io.EOF) {
			p.line(bytes.TrimSpace(line))
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return nil, fmt.Errorf("read the build's log: %w", err)
		}
	}
	if len(p.b.Steps) == 0 {
		return nil, errors.New("this is no log of a build: give what `docker buildx build --progress=rawjson` or `--progress=plain` wrote to standard error")
	}
	p.link()
	return p.b, nil
}

type logParser struct {
	b      *Build
	at     map[string]int // steps by digest, or by number in a plain log
	inputs map[int][]digest.Digest
}

func (p *logParser) step(key string) *Step {
	i, ok := p.at[key]
	if !ok {
		i = len(p.b.Steps)
		p.at[key] = i
		p.b.Steps = append(p.b.Steps, Step{})
	}
	return &p.b.Steps[i]
}

func (p *logParser) line(line []byte) {
	switch {
	case bytes.HasPrefix(line, []byte("{")):
		p.raw(line)
	case bytes.HasPrefix(line, []byte("#")):
		p.plain(string(line))
	}
}

// vertex is one as client.SolveStatus of BuildKit has it.
type vertex struct {
	Digest    digest.Digest   `json:"digest"`
	Inputs    []digest.Digest `json:"inputs"`
	Name      string          `json:"name"`
	Started   *time.Time      `json:"started"`
	Completed *time.Time      `json:"completed"`
	Cached    bool            `json:"cached"`
	Error     string          `json:"error"`
}

func (p *logParser) raw(line []byte) {
	var status struct {
		Vertexes []vertex `json:"vertexes"`
	}
	if json.Unmarshal(line, &status) != nil {
		return
	}
	for _, v := range status.Vertexes {
		s := p.step(v.Digest.String())
		s.Name = v.Name
		s.Cached = s.Cached || v.Cached
		s.Error += v.Error
		if v.Started != nil && (s.Started.IsZero() || v.Started.Before(s.Started)) {
			s.Started = *v.Started
		}
		if v.Completed != nil && v.Completed.After(s.Completed) {
			s.Completed = *v.Completed
		}
		p.b.Exact = true
		if len(v.Inputs) > 0 { // what is told of a pull has none
			p.inputs[p.at[v.Digest.String()]] = v.Inputs
		}
	}
}

// plainLine is a line of a plain log: "#7 [build 2/3] RUN make", "#7 CACHED", "#7 DONE 0.1s", "#7 ERROR: …".
var plainLine = regexp.MustCompile(`^#(\d+) (.*)$`)

func (p *logParser) plain(line string) {
	m := plainLine.FindStringSubmatch(line)
	if m == nil {
		return
	}
	key, text := "#"+m[1], m[2]
	_, begun := p.at[key]
	switch s := p.step(key); {
	case !begun:
		s.Name = text
	case text == "CACHED":
		s.Cached = true
	case strings.HasPrefix(text, "ERROR: "):
		s.Error = strings.TrimPrefix(text, "ERROR: ")
	}
}

// ofStage is how BuildKit calls the step of a stage.
var ofStage = regexp.MustCompile(`^\[(?:(.*) )?(\d+)/(\d+)\] `)

// link says what the steps take.
func (p *logParser) link() {
	if !p.b.Exact {
		p.guess()
		return
	}
	for i, inputs := range p.inputs {
		for _, d := range inputs {
			if at, ok := p.at[d.String()]; ok {
				p.b.Steps[i].Inputs = append(p.b.Steps[i].Inputs, at)
			}
		}
	}
}

// fromStage is how a step names a stage that it takes files of.
var fromStage = regexp.MustCompile(`\bfrom=([\w.-]+)`)

// guess links the steps of a plain log, which does not tell what they take: of a stage each step takes the
// one before it, and the last one of the stage that it names.
func (p *logParser) guess() {
	at, last := map[string]int{}, map[string]int{}
	place := func(stage string, n int) string { return stage + "\x00" + strconv.Itoa(n) }
	for i, s := range p.b.Steps {
		if m := ofStage.FindStringSubmatch(s.Name); m != nil {
			n, _ := strconv.Atoi(m[2])
			at[place(m[1], n)] = i
			if m[2] == m[3] {
				last[m[1]] = i
			}
		}
	}
	for i, s := range p.b.Steps {
		m := ofStage.FindStringSubmatch(s.Name)
		if m == nil {
			continue
		}
		n, _ := strconv.Atoi(m[2])
		if before, ok := at[place(m[1], n-1)]; ok {
			p.b.Steps[i].Inputs = append(p.b.Steps[i].Inputs, before)
		}
		for _, from := range fromStage.FindAllStringSubmatch(s.Name, -1) {
			if other, ok := last[from[1]]; ok && other != i {
				p.b.Steps[i].Inputs = append(p.b.Steps[i].Inputs, other)
			}
		}
	}
}
