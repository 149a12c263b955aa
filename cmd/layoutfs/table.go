package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"
)

// table is aligned output for people. Numbers are to the right of their column, and a cell may be coloured,
// which is why text/tabwriter does not do: it counts escapes as text.
type table struct {
	head  []string // a name that begins with ">" is of numbers
	rows  [][]cell
	paint painter
}

type cell struct {
	text  string
	color string
}

// The colours that are used, as ANSI numbers.
const (
	red    = "31"
	yellow = "33"
	bold   = "1"
	dim    = "2"
)

func newTable(w io.Writer, head ...string) *table { return &table{head: head, paint: painterFor(w)} }

// row adds a row of plain cells.
func (t *table) row(cells ...string) {
	row := make([]cell, 0, len(cells))
	for _, text := range cells {
		row = append(row, cell{text: text})
	}
	t.rows = append(t.rows, row)
}

// color colours the last cell of the last row.
func (t *table) color(color string) {
	row := t.rows[len(t.rows)-1]
	row[len(row)-1].color = color
}

// print writes the table; a table without rows has its head alone.
func (t *table) print(w io.Writer) error {
	var head []cell
	for _, name := range t.head {
		head = append(head, cell{text: strings.TrimPrefix(name, ">"), color: bold})
	}
	return t.write(w, append([][]cell{head}, t.rows...))
}

// body writes the rows alone.
func (t *table) body(w io.Writer) error { return t.write(w, t.rows) }

func (t *table) write(w io.Writer, all [][]cell) error {
	widths := make([]int, len(t.head))
	for _, row := range all {
		for i, c := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(c.text))
		}
	}
	for _, row := range all {
		if _, err := fmt.Fprintln(w, t.line(row, widths)); err != nil {
			return err
		}
	}
	return nil
}

func (t *table) line(row []cell, widths []int) string {
	var b strings.Builder
	for i, c := range row {
		pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c.text))
		switch last := i == len(row)-1; {
		case strings.HasPrefix(t.head[i], ">"):
			b.WriteString(pad + t.paint(c.color, c.text))
		case last:
			b.WriteString(t.paint(c.color, c.text))
		default:
			b.WriteString(t.paint(c.color, c.text) + pad)
		}
		if i < len(row)-1 {
			b.WriteString("  ")
		}
	}
	return strings.TrimRight(b.String(), " ")
}

// painter colours a text, or leaves it alone.
type painter func(color, text string) string

// painterFor colours on a terminal, and never with $NO_COLOR (https://no-color.org).
func painterFor(w io.Writer) painter {
	f, ok := w.(*os.File)
	if !ok || !isTerminal(f) || os.Getenv("NO_COLOR") != "" {
		return func(_, text string) string { return text }
	}
	return func(color, text string) string {
		if color == "" || text == "" {
			return text
		}
		return "\x1b[" + color + "m" + text + "\x1b[0m"
	}
}
