package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestEveryParameterIsAFlag compares the flags with the parameters that the document tells of, which a test
// of sync/bucket compares with the CSV's.
func TestEveryParameterIsAFlag(t *testing.T) {
	doc, err := os.ReadFile("../../docs/parameters.md")
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([\\w-]+)` \\|").FindAllStringSubmatch(string(doc), -1) {
		want = append(want, strings.ReplaceAll(row[1], "_", "-"))
	}
	for _, f := range bucketFlags()[1:] { // without --s3
		got = append(got, f.Names()[0])
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("flags\n%q, parameters\n%q", got, want)
	}
}
