package main

import (
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strings"
	"text/template"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/opencontainers/go-digest"
	"github.com/urfave/cli/v3"
)

// formatHelp ends the description of commands that print lists.
const formatHelp = "\n\n--format json prints one object a line; a Go template sees the fields of the\n" +
	"same object, such as {{.%s}}, and can use json, size and age."

func formatFlag(otherwise string) cli.Flag {
	return &cli.StringFlag{
		Name: "format", Category: groupOutput, Value: otherwise,
		Usage: "`FORMAT`: " + otherwise + ", json, or a Go template",
	}
}

func truncFlag() cli.Flag {
	return &cli.BoolFlag{Name: "no-trunc", Category: groupOutput, Usage: "print digests whole"}
}

func quietFlag(what string) cli.Flag {
	return &cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Category: groupOutput, Usage: "print " + what + " alone"}
}

// lines prints items of one type, by --format: each as JSON or by a template, or all of them by table.
func lines[T any](c *cli.Command, items []T, table func(io.Writer) error) error {
	switch format := c.String("format"); format {
	case "table", "text":
		return table(c.Writer)
	case "json":
		enc := json.NewEncoder(c.Writer)
		enc.SetEscapeHTML(false)
		for _, item := range items {
			if err := enc.Encode(item); err != nil {
				return err
			}
		}
		return nil
	default:
		t, err := templateFor[T](format)
		if err != nil {
			return err
		}
		for _, item := range items {
			if err := t.Execute(c.Writer, item); err != nil {
				return err
			}
			fmt.Fprintln(c.Writer)
		}
		return nil
	}
}

// checkFormat finds out that a format is wrong before anything is asked for.
func checkFormat[T any](c *cli.Command) error {
	switch format := c.String("format"); format {
	case "table", "text", "json":
		return nil
	default:
		_, err := templateFor[T](format)
		return err
	}
}

// templatePlace is where the library says what is wrong: at a line of a file.
var templatePlace = regexp.MustCompile(`^template: \S+ (executing "[^"]*" at )?`)

// templateFor parses a template for items of one type.
func templateFor[T any](format string) (*template.Template, error) {
	if !strings.Contains(format, "{{") {
		return nil, usagef("--format: %q must be json, or a Go template such as {{.%s}}, or left out", format, reflect.TypeFor[T]().Field(0).Name)
	}
	t, err := template.New("template").Funcs(template.FuncMap{"json": toJSON, "size": sizeText, "age": ageText}).Parse(format)
	if err == nil {
		var none T
		// What else may fail with nothing to print need not fail with something.
		if failed := t.Execute(io.Discard, none); failed != nil && strings.Contains(failed.Error(), "can't evaluate field") {
			err = failed
		}
	}
	if err != nil {
		var fields []string
		for _, f := range reflect.VisibleFields(reflect.TypeFor[T]()) {
			if !f.Anonymous {
				fields = append(fields, "."+f.Name)
			}
		}
		return nil, usagef("--format: %s; the fields are %s", templatePlace.ReplaceAllString(err.Error(), ""), strings.Join(fields, " "))
	}
	return t, nil
}

func toJSON(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}

// ageText is how long ago something was; empty if that is not known.
func ageText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return humanize.Time(t)
}

// shortDigest is a digest in a table: 12 digits, as Docker shows IDs, unless --no-trunc is given.
func shortDigest(c *cli.Command, d digest.Digest) string {
	if c.Bool("no-trunc") || d.Validate() != nil {
		return d.String()
	}
	return d.Encoded()[:12]
}

// shareText is part of whole in percent; empty of nothing.
func shareText(part, whole int64) string {
	if whole == 0 {
		return ""
	}
	return fmt.Sprintf("%d%%", part*100/whole)
}
