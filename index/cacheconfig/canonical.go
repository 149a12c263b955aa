package cacheconfig

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// maxDepth is how deep arrays and objects may be nested. BuildKit's are six deep.
const maxDepth = 64

// canonical orders the keys of all objects and drops white space, so that equal content has equal
// bytes. Numbers stay as they are written, large ones included.
func canonical(b []byte) ([]byte, error) {
	c := canonicalizer{dec: json.NewDecoder(bytes.NewReader(b))}
	c.dec.UseNumber()
	if err := c.value(maxDepth); err != nil {
		return nil, err
	}
	return c.out, nil
}

type canonicalizer struct {
	dec *json.Decoder
	out []byte
}

// value copies the next value. depth is how much deeper it may be nested.
func (c *canonicalizer) value(depth int) error {
	t, err := c.dec.Token()
	if err != nil {
		return err
	}
	if depth == 0 {
		return fmt.Errorf("nested deeper than %d", maxDepth)
	}
	switch t {
	case json.Delim('['):
		return c.array(depth - 1)
	case json.Delim('{'):
		return c.object(depth - 1)
	}
	return c.scalar(t)
}

func (c *canonicalizer) scalar(t json.Token) error {
	b, err := json.Marshal(t)
	c.out = append(c.out, b...)
	return err
}

func (c *canonicalizer) array(depth int) error {
	c.out = append(c.out, '[')
	for i := 0; c.dec.More(); i++ {
		if i > 0 {
			c.out = append(c.out, ',')
		}
		if err := c.value(depth); err != nil {
			return err
		}
	}
	c.out = append(c.out, ']')
	_, err := c.dec.Token()
	return err
}

// member is a member of an object: its key, and where key and value were written.
type member struct {
	key        string
	start, end int
}

// object copies the members as they come and then puts them in order. Members with equal keys keep
// theirs, as a reader takes the last.
func (c *canonicalizer) object(depth int) error {
	c.out = append(c.out, '{')
	first := len(c.out)
	var members []member
	for c.dec.More() {
		if len(members) == maxFields {
			return fmt.Errorf("an object has more than %d fields", maxFields)
		}
		m, err := c.member(depth)
		if err != nil {
			return err
		}
		members = append(members, m)
	}
	c.order(first, members)
	c.out = append(c.out, '}')
	_, err := c.dec.Token()
	return err
}

func (c *canonicalizer) member(depth int) (member, error) {
	key, err := c.dec.Token()
	if err != nil {
		return member{}, err
	}
	m := member{key: fmt.Sprint(key), start: len(c.out)}
	if err := c.scalar(key); err != nil {
		return member{}, err
	}
	c.out = append(c.out, ':')
	if err := c.value(depth); err != nil {
		return member{}, err
	}
	m.end = len(c.out)
	c.out = append(c.out, ',')
	return m, nil
}

// order sorts the members, which fill the output from first on, each with a comma behind it.
func (c *canonicalizer) order(first int, members []member) {
	byKey := func(a, b member) int { return strings.Compare(a.key, b.key) }
	if !slices.IsSortedFunc(members, byKey) {
		slices.SortStableFunc(members, byKey)
		was := slices.Clone(c.out[first:])
		c.out = c.out[:first]
		for _, m := range members {
			c.out = append(append(c.out, was[m.start-first:m.end-first]...), ',')
		}
	}
	if len(members) > 0 {
		c.out = c.out[:len(c.out)-1]
	}
}
