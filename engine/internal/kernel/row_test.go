package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// rowValues are hostile values and random ones.
func rowValues(rng *rand.Rand, cuts []float64) float64 {
	edge := []float64{0, math.Copysign(0, -1), math.Inf(1), math.Inf(-1), math.NaN(), math.MaxFloat64, 5e-324}
	switch rng.IntN(4) {
	case 0:
		return edge[rng.IntN(len(edge))]
	case 1:
		if len(cuts) > 0 {
			c := cuts[rng.IntN(len(cuts))]
			return []float64{c, math.Nextafter(c, math.Inf(1)), math.Nextafter(c, math.Inf(-1))}[rng.IntN(3)]
		}
	}
	return rng.NormFloat64()
}

func rowCutsFor(rng *rand.Rand, n int) []float64 {
	cuts := make([]float64, 0, n)
	for len(cuts) < n {
		cuts = append(cuts, rng.NormFloat64())
		if len(cuts) == n {
			slices.Sort(cuts)
			cuts = slices.Compact(cuts)
		}
	}
	if n > 0 && rng.IntN(4) == 0 {
		cuts[0] = math.Inf(-1)
	}
	return cuts
}

func eachRowTable(t *testing.T, f func(t *testing.T, r *RowTable)) {
	for _, table := range Tables() {
		t.Run(table.Tier.String(), func(t *testing.T) { f(t, &table.Row) })
	}
}

func TestRowCodesCountCutsBelow(t *testing.T) {
	eachRowTable(t, func(t *testing.T, r *RowTable) {
		rng := rand.New(rand.NewPCG(1, 2))
		for range 400 {
			var sources []RowSource
			var all [][]float64
			sizes := make([]int, rng.IntN(RowSources+1))
			for i := range sizes {
				sizes[i] = []int{0, 1, 7, 8, 9, 63, 64, 65, 71, 253, 254, rng.IntN(9), rng.IntN(65), rng.IntN(255)}[rng.IntN(14)]
			}
			slices.Sort(sizes)
			values := make([]float64, RowSources)
			for i, n := range sizes {
				cuts := rowCutsFor(rng, n)
				all = append(all, cuts)
				sources = append(sources, NewRowSource(slices.Clone(cuts)))
				values[i] = rowValues(rng, cuts)
			}
			one, two := RowLevels(sources)
			var codes RowCodes
			r.Codes(&codes, values, sources, one, two)
			for i, cuts := range all {
				want := 0
				for _, c := range cuts {
					if values[i] > c {
						want++
					}
				}
				high := want
				if math.IsNaN(values[i]) {
					high = 255
				}
				if got := codes.Codes[2*i : 2*i+2]; int(got[0]) != want || int(got[1]) != high {
					t.Fatalf("source %d of %d with %d cuts: value %v: got %v, want %d %d", i, len(all), len(cuts), values[i], got, want, high)
				}
			}
		}
	})
}

func TestRowOutcomesCompareCodes(t *testing.T) {
	eachRowTable(t, func(t *testing.T, r *RowTable) {
		rng := rand.New(rand.NewPCG(3, 2))
		for _, columns := range []int{1, 63, 64, 65, 128, 129, 256} {
			for n := range 9 {
				var codes RowCodes
				for i := range codes.Codes {
					codes.Codes[i] = uint8(rng.Uint32())
				}
				nodes := make([]uint8, 128*n)
				out := make([]uint64, n)
				for i := range nodes {
					nodes[i] = uint8(rng.Uint32())
					if i/64%2 == 0 {
						nodes[i] = uint8(rng.IntN(columns))
					}
				}
				r.Outcomes(out, nodes, &codes, columns)
				for i := range 64 * n {
					at := 128*(i/64) + i%64
					want := codes.Codes[nodes[at]] > nodes[at+64]
					if got := out[i/64]>>(i%64)&1 == 1; got != want {
						t.Fatalf("%d columns, node %d of %d: got %v", columns, i, 64*n, got)
					}
				}
			}
		}
	})
}

// rowTree is a random tree: node j's children are nodes, or leaves ^l.
type rowTree struct{ children [][2]int }

func newRowTree(rng *rand.Rand, leaves, depth int) rowTree {
	type place struct{ node, side, depth int }
	var t rowTree
	open, deepest := []place{{-1, 0, 0}}, []place(nil)
	for len(t.children) < leaves-1 && len(open) > 0 {
		i := rng.IntN(len(open))
		p := open[i]
		open = slices.Delete(open, i, i+1)
		at := len(t.children)
		t.children = append(t.children, [2]int{})
		if p.node >= 0 {
			t.children[p.node][p.side] = at
		}
		under := &open
		if p.depth+1 == depth {
			under = &deepest
		}
		*under = append(*under, place{at, 0, p.depth + 1}, place{at, 1, p.depth + 1})
	}
	if len(t.children) == 0 {
		return t
	}
	// Number leaves from left to right.
	for _, p := range append(open, deepest...) {
		t.children[p.node][p.side] = -1
	}
	next := 0
	var number func(at int)
	number = func(at int) {
		for side, c := range t.children[at] {
			if c == -1 {
				t.children[at][side] = ^next
				next++
			} else {
				number(c)
			}
		}
	}
	number(0)
	return t
}

// leaf walks by the outcomes of nodes.
func (t *rowTree) leaf(right func(node int) bool) int {
	if len(t.children) == 0 {
		return 0
	}
	at := 0
	for at >= 0 {
		side := 0
		if right(at) {
			side = 1
		}
		at = t.children[at][side]
	}
	return ^at
}

// left gives each leaf the nodes that have it on their left.
func (t *rowTree) left(out []uint32) {
	var fill func(at int, above uint32)
	fill = func(at int, above uint32) {
		if at < 0 {
			out[^at] = above
			return
		}
		fill(t.children[at][0], above|1<<at)
		fill(t.children[at][1], above)
	}
	if len(t.children) > 0 {
		fill(0, 0)
	}
}

func TestRowFlatTrees(t *testing.T) {
	eachRowTable(t, func(t *testing.T, r *RowTable) {
		rng := rand.New(rand.NewPCG(4, 2))
		for range 300 {
			n := 1 + rng.IntN(40)
			outcomes := make([]uint64, words(n, 32))
			for i := range outcomes {
				outcomes[i] = rng.Uint64()
			}
			left := make([]uint32, 32*n)
			offsets := make([]uint32, n)
			var leaves []float64
			var single []float32
			want := make([]uint8, n)
			sum, sum32 := 0.5, float32(0.5)
			for i := range n {
				tree := newRowTree(rng, 1+rng.IntN(32), 31)
				tree.left(left[32*i:])
				leaf := tree.leaf(func(node int) bool { return outcomes[i/2]>>(32*(i%2)+node)&1 == 1 })
				want[i] = uint8(leaf)
				offsets[i] = uint32(len(leaves))
				for range len(tree.children) + 1 {
					v := rng.NormFloat64()
					leaves, single = append(leaves, v), append(single, float32(v))
				}
				sum += leaves[int(offsets[i])+leaf]
				sum32 += single[int(offsets[i])+leaf]
			}
			got := make([]uint8, n)
			r.Flat(got, outcomes, left)
			if !slices.Equal(got, want) {
				t.Fatalf("%d trees: got leaves %v, want %v", n, got, want)
			}
			if v := r.FlatSum64(0.5, outcomes, left, offsets, leaves); v != sum {
				t.Fatalf("%d trees: sum %v, want %v", n, v, sum)
			}
			if v := r.FlatSum32(0.5, outcomes, left, offsets, single); v != sum32 {
				t.Fatalf("%d trees: single sum %v, want %v", n, v, sum32)
			}
		}
	})
}

func TestRowHeapTrees(t *testing.T) {
	eachRowTable(t, func(t *testing.T, r *RowTable) {
		rng := rand.New(rand.NewPCG(5, 2))
		for range 200 {
			n := 8 * (1 + rng.IntN(5))
			outcomes := make([]uint64, n)
			places := make([]uint8, 64*n)
			want := make([]uint8, n)
			for i := range n {
				outcomes[i] = rng.Uint64()
				tree := newRowTree(rng, 1+rng.IntN(64), HeapDepth)
				heap := make(map[int]int) // tree node to heap node
				var lay func(at, place, depth int)
				lay = func(at, place, depth int) {
					if at < 0 {
						for p := place << (HeapDepth - depth); p < (place+1)<<(HeapDepth-depth); p++ {
							places[64*i+p-64] = uint8(^at)
						}
						return
					}
					heap[at] = place
					lay(tree.children[at][0], 2*place, depth+1)
					lay(tree.children[at][1], 2*place+1, depth+1)
				}
				if len(tree.children) > 0 {
					lay(0, 1, 0)
				}
				want[i] = uint8(tree.leaf(func(node int) bool { return outcomes[i]>>heap[node]&1 == 1 }))
			}
			got := make([]uint8, n)
			r.Heap(got, outcomes, places)
			if !slices.Equal(got, want) {
				t.Fatalf("%d trees: got %v, want %v", n, got, want)
			}
		}
	})
}

// layRowBlocks lays a tree out in blocks of n places.
func layRowBlocks(tree *rowTree, n int, column, cut []int) []uint8 {
	var blocks []uint8
	queue := []int{0}
	if len(tree.children) == 0 {
		queue[0] = ^0
	}
	for i := 0; i < len(queue); i++ {
		block := make([]uint8, 4*n)
		heap := map[int]int{1: queue[i]}
		for place := 1; place < n; place++ {
			at := heap[place]
			block[n+place] = 255
			heap[2*place], heap[2*place+1] = at, at
			if at >= 0 {
				block[place], block[n+place] = uint8(column[at]), uint8(cut[at])
				heap[2*place], heap[2*place+1] = tree.children[at][0], tree.children[at][1]
			}
		}
		for e := range n {
			exit := ^heap[n+e]
			if exit < 0 {
				exit = RowBlockOn | 4*n*(len(queue)-i)
				queue = append(queue, heap[n+e])
			}
			block[2*n+2*e], block[2*n+2*e+1] = uint8(exit), uint8(exit>>8)
		}
		blocks = append(blocks, block...)
	}
	return blocks
}

func TestRowBlocks(t *testing.T) {
	forests := 100
	if testing.Short() {
		forests = 15
	}
	eachRowTable(t, func(t *testing.T, r *RowTable) {
		rng := rand.New(rand.NewPCG(8, 2))
		for range forests {
			columns := []int{1, 64, 100, 128, 256}[rng.IntN(5)]
			var codes RowCodes
			for i := range codes.Codes {
				codes.Codes[i] = uint8(rng.Uint32())
			}
			n, levels := 1+rng.IntN(80), MinBlockLevels+rng.IntN(MaxBlockLevels-MinBlockLevels+1)
			var blocks []uint8
			var roots []uint64
			want := make([]uint8, n)
			for i := range n {
				tree := newRowTree(rng, 1+rng.IntN(256), 4+rng.IntN(20))
				column, cut := make([]int, len(tree.children)), make([]int, len(tree.children))
				for j := range column {
					column[j], cut[j] = rng.IntN(columns), rng.IntN(255)
				}
				roots = append(roots, uint64(i)<<32|uint64(len(blocks)))
				blocks = append(blocks, layRowBlocks(&tree, 1<<levels, column, cut)...)
				want[i] = uint8(tree.leaf(func(node int) bool { return int(codes.Codes[column[node]]) > cut[node] }))
			}
			got := make([]uint8, n)
			r.Blocks(got, blocks, levels, roots, make([]uint64, n), make([]uint16, (n+31)&^31), &codes, columns)
			if !slices.Equal(got, want) {
				t.Fatalf("%d trees: got %v, want %v", n, got, want)
			}
		}
	})
}

func BenchmarkRow(b *testing.B) {
	rng := rand.New(rand.NewPCG(7, 2))
	for _, table := range Tables() {
		r := &table.Row
		var sources []RowSource
		for range 28 {
			sources = append(sources, NewRowSource(rowCutsFor(rng, 110)))
		}
		values := make([]float64, RowSources)
		for i := range values {
			values[i] = rng.NormFloat64()
		}
		var codes RowCodes
		b.Run(fmt.Sprintf("%v/codes-28x110", table.Tier), func(b *testing.B) {
			one, two := RowLevels(sources)
			for b.Loop() {
				r.Codes(&codes, values, sources, one, two)
			}
		})
		const n = 100
		nodes := Aligned[uint8](128 * n)
		for i := range nodes {
			nodes[i] = uint8(rng.IntN(56))
		}
		out := Aligned[uint64](n)
		b.Run(fmt.Sprintf("%v/outcomes-100x32", table.Tier), func(b *testing.B) {
			for b.Loop() {
				r.Outcomes(out[:n/2], nodes, &codes, 56)
			}
		})
		left, offsets, leaves := Aligned[uint32](32*n), make([]uint32, n), make([]float64, 32*n)
		for i := range n {
			tree := newRowTree(rng, 31, 31)
			tree.left(left[32*i:])
			offsets[i] = uint32(32 * i)
		}
		b.Run(fmt.Sprintf("%v/flatsum-100x31", table.Tier), func(b *testing.B) {
			sum := 0.0
			for b.Loop() {
				sum += r.FlatSum64(0, out[:n/2], left, offsets, leaves)
			}
		})
		numbers := make([]uint8, 104)
		places := make([]uint8, 64*104)
		heap := Aligned[uint64](104)
		b.Run(fmt.Sprintf("%v/heap-104", table.Tier), func(b *testing.B) {
			for b.Loop() {
				r.Heap(numbers, heap, places)
			}
		})
	}
}
