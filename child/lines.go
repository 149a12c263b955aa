package child

import "bytes"

// maxLine is where a line is cut, in bytes.
const maxLine = 64 << 10

// Lines is an io.Writer that calls a function with each line, without its end and the space around it. Empty ones it passes over.
type Lines struct {
	each func(line []byte)
	rest []byte // of a line without its end
}

// NewLines returns one for what a single process prints. A line is each's only until it returns.
func NewLines(each func(line []byte)) *Lines { return &Lines{each: each} }

// Write implements io.Writer.
func (l *Lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		line, rest, ok := bytes.Cut(l.rest, []byte("\n"))
		if !ok && len(l.rest) < maxLine {
			return len(p), nil
		}
		l.rest = rest
		if line = bytes.TrimSpace(line); len(line) > 0 {
			l.each(line)
		}
	}
}
