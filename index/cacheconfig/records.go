package cacheconfig

import (
	"encoding/json"
	"errors"
	"fmt"
)

// record holds of a cache record what refers to layers and to other records.
type record struct {
	Results json.RawMessage `json:"layers"` // [{"layer": index}]
	Chains  json.RawMessage `json:"chains"` // [{"layers": [index]}]
	Inputs  json.RawMessage `json:"inputs"` // [[{"link": index of a record}]]
}

// checkRecords says which record refers to a layer or a record that is not there: BuildKit's importer
// refuses the whole cache for it.
func checkRecords(raw json.RawMessage, layers int) error {
	records, err := count(raw)
	if err != nil {
		return fmt.Errorf("cache config: records: %w", err)
	}
	return elements(raw, func(i int, dec *json.Decoder) error {
		var r record
		err := dec.Decode(&r)
		if err == nil {
			err = errors.Join(r.checkResults(layers), r.checkChains(layers), r.checkInputs(records))
		}
		if err != nil {
			return fmt.Errorf("cache config: records[%d]: %w", i, err)
		}
		return nil
	})
}

func (r record) checkResults(layers int) error {
	return elements(r.Results, func(_ int, dec *json.Decoder) error {
		var result struct {
			Layer int `json:"layer"`
		}
		if err := dec.Decode(&result); err != nil {
			return err
		}
		return inRange("layer", result.Layer, layers)
	})
}

func (r record) checkChains(layers int) error {
	return elements(r.Chains, func(_ int, dec *json.Decoder) error {
		var chain struct {
			Layers json.RawMessage `json:"layers"`
		}
		if err := dec.Decode(&chain); err != nil {
			return err
		}
		return elements(chain.Layers, func(_ int, dec *json.Decoder) error {
			var layer int
			if err := dec.Decode(&layer); err != nil {
				return err
			}
			return inRange("layer", layer, layers)
		})
	})
}

func (r record) checkInputs(records int) error {
	return elements(r.Inputs, func(i int, dec *json.Decoder) error {
		var links json.RawMessage
		if err := dec.Decode(&links); err != nil {
			return err
		}
		n := 0
		err := elements(links, func(_ int, dec *json.Decoder) error {
			var input struct {
				Link int `json:"link"`
			}
			n++
			if err := dec.Decode(&input); err != nil {
				return err
			}
			return inRange("link", input.Link, records)
		})
		if err == nil && n == 0 {
			err = errors.New("is empty")
		}
		if err != nil {
			return fmt.Errorf("inputs[%d]: %w", i, err)
		}
		return nil
	})
}

func inRange(what string, i, n int) error {
	if i < 0 || i >= n {
		return fmt.Errorf("%s %d of %d", what, i, n)
	}
	return nil
}
