package verify

import (
	"github.com/opencontainers/go-digest"
)

// Problem is something that is wrong. The JSON names are stable.
type Problem struct {
	Where  string        `json:"where"` // bucket, disk or folder
	Kind   Kind          `json:"kind"`
	Name   string        `json:"name,omitempty"` // a name that it is a problem of; of a blob there may be more
	Digest digest.Digest `json:"digest,omitempty"`
	Text   string        `json:"text"`
	Repair string        `json:"repair,omitempty"` // what was done about it; empty: nothing

	only bool // it is of what may be the only copy
}

// Kind is a kind of problem.
type Kind string

// The kinds.
const (
	WrongBytes     Kind = "wrong-bytes"      // they do not have the digest that they are kept under
	WrongSize      Kind = "wrong-size"       // it has another than a manifest says
	WrongMediaType Kind = "wrong-media-type" // the bytes are not of the type that a manifest says
	Missing        Kind = "missing"          // a name reaches it, and it is not there
	Unreadable     Kind = "unreadable"       // it is listed, and cannot be read
	BrokenName     Kind = "broken-name"      // the name cannot be understood
)

// Report is what a run found. The JSON names are stable; sizes are in bytes.
type Report struct {
	Where    string `json:"where"`
	Names    int    `json:"names"`
	Blobs    int    `json:"blobs"` // that were verified, now or in the run that this one goes on with
	Bytes    int64  `json:"bytes"` // of these
	Skipped  int    `json:"skipped"`
	Orphans  int    `json:"orphans"` // blobs that no name reaches
	Problems int    `json:"problems"`
	Repaired int    `json:"repaired"`
}
