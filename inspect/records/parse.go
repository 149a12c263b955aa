package records

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
)

// most bounds what a config may have of layers, of records, and of links altogether. BuildKit's own have
// some thousands.
const most = 1 << 20

var errTooMany = fmt.Errorf("there are more than %d", most)

// Parse reads a cache config, of a layout or of type=s3. Its errors name the layer or record.
func Parse(config []byte) (*Graph, error) {
	p := parser{g: &Graph{}}
	if err := p.document(config); err != nil {
		return nil, fmt.Errorf("cache config: %w", err)
	}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("cache config: %w", err)
	}
	return p.g, nil
}

type parser struct {
	g     *Graph
	links int
}

func (p *parser) document(config []byte) error {
	var doc struct {
		Layers  json.RawMessage `json:"layers"`
		Records json.RawMessage `json:"records"`
	}
	if err := json.Unmarshal(config, &doc); err != nil {
		return err
	}
	if err := each(doc.Layers, "layers", p.layer); err != nil {
		return err
	}
	return each(doc.Records, "records", p.record)
}

// each calls f with the elements of an array, one at a time.
func each(raw json.RawMessage, what string, f func(*json.Decoder) error) error {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	if t, err := dec.Token(); err != nil || t != json.Delim('[') {
		return fmt.Errorf("%s is not an array", what)
	}
	for i := 0; dec.More(); i++ {
		err := f(dec)
		if i == most {
			err = errTooMany
		}
		if err != nil {
			return fmt.Errorf("%s[%d]: %w", what, i, err)
		}
	}
	return nil
}

func (p *parser) layer(dec *json.Decoder) error {
	var l struct {
		Blob   digest.Digest `json:"blob"`
		Parent int           `json:"parent"` // of a layer without one it is -1, and 0 is left out
	}
	if err := dec.Decode(&l); err != nil {
		return err
	}
	if err := l.Blob.Validate(); err != nil {
		return fmt.Errorf("blob %q: %w", l.Blob, err)
	}
	p.g.Layers = append(p.g.Layers, Layer{Blob: l.Blob, Parent: l.Parent})
	return nil
}

// record is a record as it is written; the fields are those of BuildKit's CacheRecord.
type record struct {
	Results []struct {
		Layer     int       `json:"layer"`
		CreatedAt time.Time `json:"createdAt"`
	} `json:"layers"`
	Chains []struct {
		Layers    []int     `json:"layers"`
		CreatedAt time.Time `json:"createdAt"`
	} `json:"chains"`
	Digest digest.Digest `json:"digest"`
	Inputs [][]struct {
		Selector digest.Digest `json:"selector"`
		Link     int           `json:"link"`
	} `json:"inputs"`
}

func (p *parser) record(dec *json.Decoder) error {
	var in record
	if err := dec.Decode(&in); err != nil {
		return err
	}
	r := Record{Digest: in.Digest}
	for _, res := range in.Results {
		r.Results = append(r.Results, Result{Top: res.Layer, CreatedAt: res.CreatedAt})
	}
	for _, c := range in.Chains {
		if n := len(c.Layers) - 1; n >= 0 {
			r.Results = append(r.Results, Result{Top: c.Layers[n], Below: c.Layers[:n], Listed: true, CreatedAt: c.CreatedAt})
		}
	}
	for i, any := range in.Inputs {
		if p.links += len(any); p.links > most {
			return fmt.Errorf("inputs[%d]: %w", i, errTooMany)
		}
		alternatives := make([]Input, 0, len(any))
		for _, a := range any {
			alternatives = append(alternatives, Input{Record: a.Link, Selector: a.Selector})
		}
		r.Inputs = append(r.Inputs, alternatives)
	}
	p.g.Records = append(p.g.Records, r)
	return nil
}

// check refuses what BuildKit's importer refuses, and puts the records in order.
func (p *parser) check() error {
	if err := p.checkLayers(); err != nil {
		return err
	}
	for i := range p.g.Records {
		if err := p.checkRecord(&p.g.Records[i]); err != nil {
			return fmt.Errorf("records[%d]: %w", i, err)
		}
	}
	return p.sort()
}

// checkLayers finds parents that are not there, and loops: from where a walk was before, the rest is good.
func (p *parser) checkLayers() error {
	layers := p.g.Layers
	seen := make([]int, len(layers)) // the walk that came by, from 1
	for i := range layers {
		for at := i; at != -1 && seen[at] == 0; at = layers[at].Parent {
			seen[at] = i + 1
			next := layers[at].Parent
			if next < -1 || next >= len(layers) {
				return fmt.Errorf("layers[%d]: parent %d of %d layers", at, next, len(layers))
			}
			if next != -1 && seen[next] == i+1 {
				return fmt.Errorf("layers[%d]: it is below itself", at)
			}
		}
	}
	return nil
}

func (p *parser) checkRecord(r *Record) error {
	for _, res := range r.Results {
		for _, l := range append(slices.Clone(res.Below), res.Top) {
			if l < 0 || l >= len(p.g.Layers) {
				return fmt.Errorf("layer %d of %d", l, len(p.g.Layers))
			}
		}
	}
	for i, any := range r.Inputs {
		if len(any) == 0 {
			return fmt.Errorf("inputs[%d]: is empty", i)
		}
		for _, in := range any {
			if in.Record < 0 || in.Record >= len(p.g.Records) {
				return fmt.Errorf("inputs[%d]: link %d of %d records", i, in.Record, len(p.g.Records))
			}
		}
	}
	return nil
}

var errLoop = errors.New("it is its own input")

// sort puts the records in an order in which inputs come first.
func (p *parser) sort() error {
	waiting := make([]int, len(p.g.Records)) // for how many links
	users := make([][]int, len(p.g.Records))
	for i, r := range p.g.Records {
		for _, any := range r.Inputs {
			for _, in := range any {
				waiting[i]++
				users[in.Record] = append(users[in.Record], i)
			}
		}
	}
	for i, n := range waiting {
		if n == 0 {
			p.g.order = append(p.g.order, i)
		}
	}
	for at := 0; at < len(p.g.order); at++ {
		for _, user := range users[p.g.order[at]] {
			if waiting[user]--; waiting[user] == 0 {
				p.g.order = append(p.g.order, user)
			}
		}
	}
	for i, n := range waiting {
		if n > 0 {
			return fmt.Errorf("records[%d]: %w", i, errLoop)
		}
	}
	return nil
}
