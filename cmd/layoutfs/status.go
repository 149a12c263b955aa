package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"github.com/urfave/cli/v2"

	"github.com/layoutfs/layoutfs/daemon"
)

func statusCommand() *cli.Command {
	return &cli.Command{
		Name:      "status",
		Usage:     "show bucket, names, local disk, transfers and errors",
		ArgsUsage: "[MOUNTPOINT]",
		Description: "Without MOUNTPOINT all mounts of this user are shown.\n\n" +
			"   layoutfs status --format '{{.Mountpoint}} {{size .Staged.Bytes}}'",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Value: "text", Usage: "`FORMAT`: text, json (one object a line), or a Go template"},
		},
		Action: func(c *cli.Context) error {
			show, err := statusPrinter(c.String("format"))
			if err != nil {
				return err
			}
			statuses, err := statuses(c)
			if err == nil && len(statuses) == 0 {
				fmt.Fprintln(c.App.ErrWriter, "layoutfs: nothing is mounted by this user")
			}
			errs := []error{err}
			for i, s := range statuses {
				errs = append(errs, show(c.App.Writer, i, s))
			}
			return errors.Join(errs...)
		},
	}
}

// printer prints the ith status.
type printer func(w io.Writer, i int, s daemon.Status) error

func statusPrinter(format string) (printer, error) {
	switch format {
	case "text":
		return printStatus, nil
	case "json":
		return func(w io.Writer, _ int, s daemon.Status) error { return json.NewEncoder(w).Encode(s) }, nil
	}
	t, err := statusTemplate(format)
	if err != nil {
		return nil, err
	}
	return func(w io.Writer, _ int, s daemon.Status) error {
		if err := t.Execute(w, s); err != nil {
			return err
		}
		_, err := fmt.Fprintln(w)
		return err
	}, nil
}

// templatePlace is where the library says what is wrong: at a line of a file.
var templatePlace = regexp.MustCompile(`^template: \S+ (executing "[^"]*" at )?`)

// statusTemplate finds out that a template is wrong before there is anything to print.
func statusTemplate(format string) (*template.Template, error) {
	if !strings.Contains(format, "{{") {
		return nil, usagef("--format: %q must be text, json, or a Go template such as {{.Mountpoint}}", format)
	}
	t, err := template.New("template").Funcs(template.FuncMap{"json": toJSON, "size": sizeText}).Parse(format)
	if err == nil {
		err = t.Execute(io.Discard, daemon.Status{})
	}
	if err != nil {
		text := templatePlace.ReplaceAllString(err.Error(), "")
		return nil, usagef("--format: %s; the fields are %s", text, strings.Join(statusFields(), " "))
	}
	return t, nil
}

// statusFields are what a template can use.
func statusFields() []string {
	var fields []string
	for _, f := range reflect.VisibleFields(reflect.TypeFor[daemon.Status]()) {
		if !f.Anonymous {
			fields = append(fields, "."+f.Name)
		}
	}
	return fields
}

func toJSON(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}

// statuses are those of the mount that is named, or of all.
func statuses(c *cli.Context) ([]daemon.Status, error) {
	at, err := mountpoint(c, true)
	if err != nil {
		return nil, err
	}
	if at != "" {
		client, err := daemon.Find(at)
		if err != nil {
			return nil, err
		}
		return ask(c.Context, []*daemon.Client{client})
	}
	clients, err := daemon.FindAll()
	if err != nil {
		return nil, err
	}
	statuses, err := ask(c.Context, clients)
	slices.SortFunc(statuses, func(a, b daemon.Status) int { return cmp.Compare(a.Mountpoint, b.Mountpoint) })
	return statuses, err
}

// ask asks clients for their status, in their order; the error is that of those who do not answer.
func ask(ctx context.Context, clients []*daemon.Client) ([]daemon.Status, error) {
	var statuses []daemon.Status
	var errs []error
	for _, client := range clients {
		s, err := client.Status(ctx)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		statuses = append(statuses, s)
	}
	return statuses, errors.Join(errs...)
}
