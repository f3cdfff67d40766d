// Package limit bounds what a model file may make a loader allocate. Callers see it as loader.Limits.
package limit

import "github.com/treeline-ml/treeline/loader/internal/fault"

// Limits are the bounds of one load. A field that is zero means its default. Loaders check a count before they
// allocate for it, and grow arrays with the bytes that really arrive, so a small file never takes more than a small
// multiple of its size plus Features and SetBytes.
type Limits struct {
	Bytes        int64 // size of the file; default 8 GiB
	Trees        int64 // trees in the model; default 1,048,576
	TreeNodes    int64 // splits and leaves of one tree, deleted ones included; default 16,777,216
	TotalNodes   int64 // splits and leaves of all trees; default 268,435,456
	Depth        int64 // splits on the longest path of a tree; default 65,536
	Features     int64 // model features; default 1,048,576
	Outputs      int64 // margins per row; default 65,536
	Categories   int64 // entries of one vocabulary, and the largest category code plus one; default 16,777,216
	SetBytes     int64 // memory of all category sets; default 1 GiB
	StringBytes  int64 // one name, key or number; default 1 MiB
	NestingDepth int64 // objects and arrays inside each other; default 64
	Objects      int64 // values of a pickle or skops file; default 16,777,216
	Ratio        int64 // bytes that one compressed byte may become, beyond the first 64 MiB; default 200
}

// Default returns the limits that loader.Open uses.
func Default() Limits {
	return Limits{
		Bytes:        8 << 30,
		Trees:        1 << 20,
		TreeNodes:    1 << 24,
		TotalNodes:   1 << 28,
		Depth:        1 << 16,
		Features:     1 << 20,
		Outputs:      1 << 16,
		Categories:   1 << 24,
		SetBytes:     1 << 30,
		StringBytes:  1 << 20,
		NestingDepth: 64,
		Objects:      1 << 24,
		Ratio:        200,
	}
}

// OrDefault fills the zero fields with the defaults.
func (l Limits) OrDefault() Limits {
	d := Default()
	for _, f := range []struct {
		field *int64
		def   int64
	}{
		{&l.Bytes, d.Bytes},
		{&l.Trees, d.Trees},
		{&l.TreeNodes, d.TreeNodes},
		{&l.TotalNodes, d.TotalNodes},
		{&l.Depth, d.Depth},
		{&l.Features, d.Features},
		{&l.Outputs, d.Outputs},
		{&l.Categories, d.Categories},
		{&l.SetBytes, d.SetBytes},
		{&l.StringBytes, d.StringBytes},
		{&l.NestingDepth, d.NestingDepth},
		{&l.Objects, d.Objects},
		{&l.Ratio, d.Ratio},
	} {
		if *f.field <= 0 {
			*f.field = f.def
		}
	}
	return l
}

// Check returns a fault.Limit when got exceeds most; field is the name of the exceeded field.
func Check(field string, most, got int64) error {
	if got > most {
		return fault.Limit(field, most, got)
	}
	return nil
}
