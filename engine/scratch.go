package engine

import "github.com/treeline-ml/treeline/forest"

// scratch is the working memory of one scoring goroutine.
type scratch[F float] struct {
	ranking rankScratch
	sums    []F                 // accumulators: see machine
	keys    []int64             // walkGroup: rows of keys
	found   [word]uint32        // walkGroup: leaf entries of 64 rows
	slots   [slotCount]uint64   // bitTree: rows that reach each node
	numbers [bitBatch][8]uint64 // bitGroup: leaf numbers of 64 rows, by tree
}

// rankScratch is the part that masks are made in.
type rankScratch struct {
	masks  []uint64      // a word per split
	values [word]float64 // a feature's values
	ranks  [word]uint8   // their ranks
	upper  [word]uint8   // the high bytes of wide ranks
	wide   [word]uint16  // ranks of a feature with many cuts
}

// arithmetic is what reading and splitting values depends on.
type arithmetic struct {
	reading reading
	flush   bool
	cast    forest.CategoryCast
}
