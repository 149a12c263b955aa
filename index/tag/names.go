package tag

import "strings"

// Names maps the keys of the entries of a layout to names of a bucket, and back. Its elements are the names that the tag
// Latest of the root layout stands for, of which the first one is shown as it; there is at least one. A scope is "" for
// the root layout, else the name that the layout is the directory of.
type Names []string

// Of lists the names that the entry with a key stands for.
func (n Names) Of(scope, key string) []string {
	switch {
	case key == Latest && scope == "":
		return n
	case key == Latest:
		return []string{scope}
	case scope == "":
		return []string{key}
	}
	return []string{scope + "/" + key}
}

// Key is the inverse of Of; ok is false when the scope does not show that name.
func (n Names) Key(scope, name string) (key string, ok bool) {
	if scope == "" {
		if name == n[0] {
			return Latest, true
		}
		return name, name != Latest
	}
	if name == scope {
		return Latest, true
	}
	key, ok = strings.CutPrefix(name, scope+"/")
	return key, ok && key != Latest && key != ""
}
