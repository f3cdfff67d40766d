package numbering_test

import (
	"math/bits"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/treeline-ml/treeline/engine/internal/numbering"
)

// grow returns a tree of n leaves: the leaf to split next is picked among the first reach of those that are left.
func grow(r *rand.Rand, n, reach int) [][2]int32 {
	type end struct{ node, side int }
	children := make([][2]int32, 0, n-1)
	ends := []end{{-1, 0}}
	for len(children) < n-1 {
		at := r.IntN(min(reach, len(ends)))
		e := ends[at]
		ends[at] = ends[0]
		ends = ends[1:]
		if e.node >= 0 {
			children[e.node][e.side] = int32(len(children))
		}
		children = append(children, [2]int32{})
		own := []end{{len(children) - 1, 0}, {len(children) - 1, 1}}
		if reach == 1 {
			ends = append(own, ends...) // a chain
		} else {
			ends = append(ends, own...)
		}
	}
	for leaf, e := range ends {
		children[e.node][e.side] = ^int32(leaf)
	}
	return children
}

// leaf walks the tree; bit i%64 of rights[i/64] sends right at node i.
func leaf(children [][2]int32, rights []uint64) int {
	at := int32(0)
	for at >= 0 {
		at = children[at][rights[at/64]>>(at%64)&1]
	}
	return int(^at)
}

// number carries the plan out for one row.
func number(p *numbering.Plan, rights []uint64) int {
	made := make([]bool, 0, len(p.Steps))
	value := func(w numbering.Word) bool {
		switch {
		case w >= 0:
			return rights[w/64]>>(w%64)&1 == 1
		case w == numbering.False, w == numbering.True:
			return w == numbering.True
		default:
			return made[numbering.Steps-w]
		}
	}
	for _, s := range p.Steps {
		from := s.Left
		if value(s.Split) {
			from = s.Right
		}
		made = append(made, value(from))
	}
	at := 1
	for range p.Bits {
		at *= 2
		if value(p.Separators[at/2]) {
			at++
		}
	}
	return at - 1<<p.Bits
}

// check compares the plan with walks, for rows random rows.
func check(t *testing.T, r *rand.Rand, children [][2]int32, rows int) *numbering.Plan {
	t.Helper()
	p := numbering.New(children)
	if p.Bits != bits.Len(uint(len(children))) {
		t.Fatalf("%d bits for %d leaves", p.Bits, len(children)+1)
	}
	taken := map[uint16]bool{}
	for _, n := range p.Numbers {
		if taken[n] || int(n) >= 1<<p.Bits {
			t.Fatalf("number %d is given twice or too large", n)
		}
		taken[n] = true
	}
	rights := make([]uint64, len(children)/64+1)
	for range rows {
		for i := range rights {
			rights[i] = r.Uint64()
		}
		at := leaf(children, rights)
		if got := number(p, rights); got != int(p.Numbers[at]) {
			t.Fatalf("a row of leaf %d, number %d, got number %d", at, p.Numbers[at], got)
		}
	}
	return p
}

func TestRowsGetTheNumbersOfTheirLeaves(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 100, 128, 129, 255, 256} {
		for _, reach := range []int{1, 2, 3, 8, 1000} {
			for range 4 {
				check(t, r, grow(r, n, reach), 300)
			}
		}
	}
}

func TestCompleteTreeNeedsNoSteps(t *testing.T) {
	children := make([][2]int32, 63)
	for i := range children {
		for side := range 2 {
			if c := 2*i + 1 + side; c < 63 {
				children[i][side] = int32(c)
			} else {
				children[i][side] = ^int32(c - 63)
			}
		}
	}
	p := check(t, rand.New(rand.NewPCG(1, 2)), children, 300)
	if len(p.Steps) != 0 {
		t.Errorf("%d steps", len(p.Steps))
	}
	if got := p.PostOrder(nil, 2, 2); len(got) != 3 || got[0] != p.Separators[4] || got[1] != p.Separators[5] || got[2] != p.Separators[2] {
		t.Errorf("left subtree's upper levels in post-order: %v of %v", got, p.Separators)
	}
}

// A chain's number is the first split that sends left: halves are prefixes.
func TestChainTakesOneStepASplit(t *testing.T) {
	children := make([][2]int32, 31)
	for i := range children {
		children[i] = [2]int32{^int32(i), int32(i + 1)}
	}
	children[30][1] = ^int32(31)
	p := check(t, rand.New(rand.NewPCG(1, 2)), children, 3000)
	if len(p.Steps) > 49 {
		t.Errorf("%d steps", len(p.Steps))
	}
}

func TestGrownTreesTakeFewSteps(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	steps := 0
	for range 100 {
		steps += len(numbering.New(grow(r, 31, 8)).Steps)
	}
	if steps > 1500 {
		t.Errorf("%d steps for 100 trees of 30 splits", steps)
	}
}

func FuzzNew(f *testing.F) {
	f.Add(uint64(1), uint16(31), uint8(3))
	f.Add(uint64(2), uint16(256), uint8(1))
	f.Fuzz(func(t *testing.T, seed uint64, leaves uint16, reach uint8) {
		r := rand.New(rand.NewPCG(seed, 1))
		check(t, r, grow(r, 2+int(leaves)%600, 1+int(reach)), 50)
	})
}

func BenchmarkNew(b *testing.B) {
	for _, n := range []int{31, 64, 255} {
		r := rand.New(rand.NewPCG(1, 2))
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			children := grow(r, n, 8)
			var builder numbering.Builder
			for b.Loop() {
				builder.New(children)
			}
		})
	}
}
