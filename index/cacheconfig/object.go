package cacheconfig

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// maxFields is how many fields an object may have. BuildKit's have four; the bound is for what was not
// written by BuildKit.
const maxFields = 4096

// object is a JSON object whose unknown fields are kept as they are.
type object map[string]json.RawMessage

// UnmarshalJSON reads field by field, so that an object with too many ends early.
func (o *object) UnmarshalJSON(b []byte) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	if err := open(dec, '{'); err != nil {
		return err
	}
	*o = object{}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return err
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return err
		}
		if len(*o) == maxFields {
			return fmt.Errorf("an object has more than %d fields", maxFields)
		}
		(*o)[fmt.Sprint(key)] = value
	}
	return nil
}

// elements calls f for each element of an array, which f must take from the decoder. An absent array
// or null has none.
func elements(raw json.RawMessage, f func(i int, dec *json.Decoder) error) error {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	if err := open(dec, '['); err != nil {
		return err
	}
	for i := 0; dec.More(); i++ {
		if err := f(i, dec); err != nil {
			return err
		}
	}
	return nil
}

// count counts the elements of an array, which may be anything.
func count(raw json.RawMessage) (n int, err error) {
	err = elements(raw, func(_ int, dec *json.Decoder) error {
		n++
		return dec.Decode(new(skip))
	})
	return n, err
}

// skip takes any value and keeps nothing.
type skip struct{}

// UnmarshalJSON passes over the value.
func (*skip) UnmarshalJSON([]byte) error { return nil }

func open(dec *json.Decoder, delim json.Delim) error {
	t, err := dec.Token()
	if err != nil {
		return err
	}
	if t != delim {
		return errors.New(map[json.Delim]string{'{': "is not an object", '[': "is not an array"}[delim])
	}
	return nil
}
