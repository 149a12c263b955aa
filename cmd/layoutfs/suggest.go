package main

import "github.com/urfave/cli/v2"

// suggestCommand is what the library suggests for a name, if it is near: among many commands it finds one for
// anything.
func suggestCommand(all []*cli.Command, name string) string {
	suggestion := cli.SuggestCommand(all, name)
	for _, c := range all {
		for _, known := range c.Names() {
			if suggestion == "Did you mean \""+known+"\"?" && 2*distance(known, name) <= len(name) {
				return suggestion
			}
		}
	}
	return ""
}

// distance is how many bytes must be added, dropped or changed to make a of b (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range a {
		diagonal := row[0]
		row[0] = i + 1
		for j := range b {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
