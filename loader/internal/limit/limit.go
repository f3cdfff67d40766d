// Package limit bounds what a model file may make a loader allocate.
package limit

// Limits are the bounds of one load. A field that is zero means its default.
type Limits struct {
	Bytes        int64 // size of the file
	Trees        int64 // trees in the model
	TreeNodes    int64 // split nodes and leaves of one tree, deleted ones included
	TotalNodes   int64 // split nodes and leaves of all trees
	Depth        int64 // splits on the longest path of a tree
	Features     int64 // model features
	Outputs      int64 // margins per row
	Categories   int64 // largest category code plus one, and entries of one vocabulary
	StringBytes  int64 // one name, key, line value or number
	NestingDepth int64 // objects and arrays inside each other
}

// Default returns the limits that Open uses.
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
		StringBytes:  1 << 20,
		NestingDepth: 64,
	}
}

// OrDefault fills the zero fields with the defaults.
func (l Limits) OrDefault() Limits {
	d := Default()
	for _, f := range []struct{ field, def *int64 }{
		{&l.Bytes, &d.Bytes},
		{&l.Trees, &d.Trees},
		{&l.TreeNodes, &d.TreeNodes},
		{&l.TotalNodes, &d.TotalNodes},
		{&l.Depth, &d.Depth},
		{&l.Features, &d.Features},
		{&l.Outputs, &d.Outputs},
		{&l.Categories, &d.Categories},
		{&l.StringBytes, &d.StringBytes},
		{&l.NestingDepth, &d.NestingDepth},
	} {
		if *f.field <= 0 {
			*f.field = *f.def
		}
	}
	return l
}
