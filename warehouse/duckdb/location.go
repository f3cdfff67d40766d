package duckdb

import (
	"encoding/json"
	"fmt"

	"github.com/treeline-ml/treeline/warehouse"
)

// location is the text of Ref.Location: where the pinned rows are and how to know that they are still the same.
type location struct {
	// Snapshot is the file that Snapshot made; Files the path or glob of an input that stays where it is.
	Snapshot string `json:"snapshot,omitempty"`
	Files    string `json:"files,omitempty"`
	// Identity is the fingerprint of inodes, sizes and times when the input was pinned.
	Identity string `json:"identity"`
	// Digest is the content of Files, compared when the identity differs or cannot be trusted.
	Digest string `json:"digest,omitempty"`
	// Fresh: the files changed so shortly before they were pinned that a later write could have left the same times.
	Fresh bool `json:"fresh,omitempty"`
	// DateColumn and one of Date and Through select the rows of Files.
	DateColumn string `json:"date_column,omitempty"`
	Date       string `json:"date,omitempty"`
	Through    string `json:"through,omitempty"`
}

func (l location) String() string {
	b, err := json.Marshal(l)
	if err != nil {
		return "" // strings and bools cannot fail; if they did, parseLocation would refuse this
	}
	return string(b)
}

func parseLocation(ref warehouse.Ref) (location, error) {
	var l location
	if err := json.Unmarshal([]byte(ref.Location), &l); err != nil {
		return l, fmt.Errorf("duckdb: location of %s is not one of ours: %w", ref.Source, warehouse.ErrSnapshotGone)
	}
	if (l.Snapshot == "") == (l.Files == "") {
		return l, fmt.Errorf("duckdb: location of %s names no file: %w", ref.Source, warehouse.ErrSnapshotGone)
	}
	return l, nil
}
