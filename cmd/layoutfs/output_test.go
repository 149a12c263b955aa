package main

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/layoutfs/layoutfs/inspect"
	"github.com/layoutfs/layoutfs/inspect/prune"
	"github.com/layoutfs/layoutfs/inspect/verify"
)

// TestOutputIsDocumented: docs/output.md names every field that a command prints as JSON, in its section, and no other.
func TestOutputIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/output.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for part := range strings.SplitSeq(string(doc), "\n## ") {
		title, text, _ := strings.Cut(part, "\n")
		text, _, _ = strings.Cut(text, "\n# ")
		sections[title] = text
	}
	for title, types := range map[string][]reflect.Type{
		"ls":      {reflect.TypeFor[inspect.Summary]()},
		"inspect": {reflect.TypeFor[inspect.Document]()},
		"du":      {reflect.TypeFor[inspect.NameUsage](), reflect.TypeFor[inspect.BlobUsage]()},
		"files":   {reflect.TypeFor[fileLine]()},
		"diff":    {reflect.TypeFor[inspect.Diff]()},
		"why":     {reflect.TypeFor[inspect.Why]()},
		"verify":  {reflect.TypeFor[verify.Problem](), reflect.TypeFor[verify.Report]()},
		"prune":   {reflect.TypeFor[prune.Removal](), reflect.TypeFor[prune.Report]()},
	} {
		known := map[string]bool{}
		elsewhere := []reflect.Type{reflect.TypeFor[inspect.DocumentLayer](), reflect.TypeFor[inspect.DocumentRecord]()}
		if title == "inspect" {
			elsewhere = nil
		}
		for _, typ := range types {
			fields(typ, elsewhere, known)
		}
		if sections[title] == "" {
			t.Errorf("there is no section on %s", title)
		}
		for field := range known {
			if !strings.Contains(sections[title], "`"+field+"`") {
				t.Errorf("%s: field %q is not documented", title, field)
			}
		}
		for _, m := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(sections[title], -1) {
			if !known[m[1]] {
				t.Errorf("%s: there is no field %q", title, m[1])
			}
		}
	}
}

// fields collects the JSON names of a type of ours and of those in it, but for some that are documented elsewhere;
// what OCI defines is OCI's.
func fields(typ reflect.Type, elsewhere []reflect.Type, known map[string]bool) {
	for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
		typ = typ.Elem()
	}
	if slices.Contains(elsewhere, typ) || typ.Kind() != reflect.Struct || !strings.HasPrefix(typ.PkgPath(), "github.com/layoutfs/") && typ.PkgPath() != "main" {
		return
	}
	for f := range typ.Fields() {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			known[name] = true
			fields(f.Type, elsewhere, known)
		}
	}
}
