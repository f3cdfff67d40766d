package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// plainBlock is a block before it is packed.
type plainBlock struct {
	columns, codes []int
	shifts         []bool
	exits          []uint32
}

func randomBlock(rng *rand.Rand, levels, width int, shifted bool) plainBlock {
	n := 1 << levels
	b := plainBlock{make([]int, n), make([]int, n), make([]bool, n), make([]uint32, n)}
	for i := range n {
		b.columns[i] = rng.IntN(width)
		b.codes[i] = []int{0, 1, 6, 0xfffe, 0xffff, rng.IntN(12), rng.IntN(1 << 16)}[rng.IntN(7)]
		b.shifts[i] = shifted && rng.IntN(2) == 0
	}
	return b
}

func (b *plainBlock) pack(exits bool) []uint32 {
	words := make([]uint32, len(b.columns))
	for i, c := range b.columns {
		if b.shifts[i] {
			c |= ShiftColumn
		}
		words[i/2] |= uint32(c) << (16 * (i % 2))
		words[len(b.columns)/2+i/2] |= uint32(b.codes[i]) << (16 * (i % 2))
	}
	if exits {
		words = append(words, b.exits...)
	}
	return words
}

// exit follows the definition, node by node.
func (b *plainBlock) exit(row []uint16) int {
	lo, hi := 0, len(b.columns) // the exits below
	for i := 1; hi-lo > 1; {
		x := row[b.columns[i]]
		if b.shifts[i] {
			x++
		}
		if int(x) > b.codes[i] {
			lo, i = (lo+hi)/2, 2*i+1
		} else {
			hi, i = (lo+hi)/2, 2*i
		}
	}
	return lo
}

func randomCodes(rng *rand.Rand, n int) []uint16 {
	codes := Aligned[uint16](n)
	for i := range codes {
		codes[i] = []uint16{0, 1, 0xffff, 0xfffe, uint16(rng.IntN(12)), uint16(rng.IntN(1 << 16))}[rng.IntN(6)]
	}
	return codes
}

func eachForm(t *testing.T, f func(t *testing.T, k *Table, width int, shifted bool)) {
	for _, k := range Tables() {
		for _, width := range []int{32, 64} {
			for _, shifted := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%d/%v", k.Tier, width, shifted), func(t *testing.T) { f(t, k, width, shifted) })
			}
		}
	}
}

func TestWalkPair(t *testing.T) {
	eachForm(t, func(t *testing.T, k *Table, width int, shifted bool) {
		rng := rand.New(rand.NewPCG(1, uint64(width)))
		for _, n := range []int{0, 1, 15, 16, 17, 100, MaxItems - 1, MaxItems} {
			checkPair(t, k, rng, n, width, shifted)
		}
	})
}

func checkPair(t *testing.T, k *Table, rng *rand.Rand, n, width int, shifted bool) {
	t.Helper()
	c := Codes{Rows: randomCodes(rng, max(1, n)*width), Width: width, Shifted: shifted}
	var blocks []plainBlock
	words := Aligned[uint32]((1 + RootSlots) * RootSlots)
	for i := range 1 + RootSlots {
		blocks = append(blocks, randomBlock(rng, RootLevels, width, shifted))
		copy(words[i*RootSlots:], blocks[i].pack(false))
	}
	var w Walk
	k.WalkPair(&w, n, words, &c)
	for r := range n {
		row := c.Rows[r*width : (r+1)*width]
		p := blocks[0].exit(row)
		if want := p*RootSlots + blocks[1+p].exit(row); int(w.Numbers[r]) != want {
			t.Fatalf("%d rows: row %d: got leaf %d, want %d", n, r, w.Numbers[r], want)
		}
	}
}

func TestWalkBlocks(t *testing.T) {
	eachForm(t, func(t *testing.T, k *Table, width int, shifted bool) {
		rng := rand.New(rand.NewPCG(2, uint64(width)))
		for _, steps := range []int{0, 1, 40, 3000} {
			for _, n := range []int{0, 1, 16, 31, 333, MaxItems} {
				checkBlocks(t, k, rng, steps, n, width, shifted)
			}
		}
	})
}

func checkBlocks(t *testing.T, k *Table, rng *rand.Rand, steps, n, width int, shifted bool) {
	t.Helper()
	root := randomBlock(rng, RootLevels, width, shifted)
	blocks := make([]plainBlock, steps)
	for i := range blocks {
		blocks[i] = randomBlock(rng, StepLevels, width, shifted)
	}
	leaves := uint32(0)
	// Exits lead to later blocks, so that walks end; near ones rather, so that some are long.
	link := func(b *plainBlock, from int) {
		for i := range b.exits {
			to := from + rng.IntN(30)
			if to >= steps || rng.IntN(4) == 0 {
				b.exits[i] = leaves % MaxExit << ItemShift
				leaves += 77
				continue
			}
			b.exits[i] = ItemBlock | uint32(to)<<ItemShift
		}
	}
	link(&root, 0)
	packed := Aligned[uint32](max(1, steps) * 2 * StepSlots)
	for i := range blocks {
		link(&blocks[i], i+1)
		copy(packed[i*2*StepSlots:], blocks[i].pack(true))
	}
	first := Aligned[uint32](2 * RootSlots)
	copy(first, root.pack(true))
	c := Codes{Rows: randomCodes(rng, max(1, n)*width), Width: width, Shifted: shifted}
	var w Walk
	k.WalkBlocks(&w, n, first, packed, &c)
	got := slices.Clone(w.Items[:n])
	slices.SortFunc(got, func(a, b uint32) int { return int(a%MaxItems) - int(b%MaxItems) })
	for r := range n {
		row := c.Rows[r*width : (r+1)*width]
		at := root.exits[root.exit(row)]
		for at&ItemBlock != 0 {
			b := &blocks[at&^ItemBlock>>ItemShift]
			at = b.exits[b.exit(row)]
		}
		if got[r] != at|uint32(r) {
			t.Fatalf("%d blocks, %d rows: row %d: got item %x, want %x", steps, n, r, got[r], at|uint32(r))
		}
	}
}

// randomTree appends the nodes of a tree, in the order of a queue, and returns its depth.
func randomTree(rng *rand.Rand, nodes []Node, leaves, columns int, sets *Sets) ([]Node, int) {
	depths := []int{0}
	root, open, depth := len(nodes), 1, 0
	for i := 0; i < len(depths); i++ {
		n := Node{Code: LeafCode, Next: uint32(root + i)}
		if open < leaves && (len(depths) == i+1 || rng.IntN(4) > 0) {
			open++
			n = Node{Code: uint16(rng.IntN(LeafCode)), Column: uint16(rng.IntN(columns)), Next: uint32(root + len(depths))}
			if sets != nil && rng.IntN(2) == 0 {
				n.Code, n.Next = uint16(rng.IntN(len(sets.First))), n.Next|SetNode
			}
			depths = append(depths, depths[i]+1, depths[i]+1)
			depth = depths[i] + 1
		}
		nodes = append(nodes, n)
	}
	return nodes, depth
}

func TestWalk(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for _, k := range Tables() {
		for _, mixed := range []bool{false, true} {
			for range 60 {
				checkWalk(t, k, rng, rng.IntN(MaxItems+1), 1+rng.IntN(400), 1+rng.IntN(90), mixed)
			}
			checkWalk(t, k, rng, 100, 3000, 1, mixed)
		}
	}
}

func checkWalk(t *testing.T, k *Table, rng *rand.Rand, n, leaves, columns int, mixed bool) {
	t.Helper()
	stride := n + rng.IntN(40)
	codes := make([]uint16, columns*stride+1)
	for i := range codes {
		codes[i] = uint16(rng.IntN(1<<16 - 1))
	}
	var sets *Sets
	if mixed {
		sets = &Sets{First: []uint32{0, MemberSlack, 100}, Members: make([]uint64, 2*MemberSlack)}
		for i := range sets.Members {
			sets.Members[i] = rng.Uint64()
		}
	}
	nodes, _ := randomTree(rng, nil, 1+rng.IntN(50), columns, nil)
	root := len(nodes)
	nodes, depth := randomTree(rng, nodes, leaves, columns, sets)
	at := make([]uint32, n)
	if mixed {
		k.WalkSets(at, nodes, sets, codes, stride, root, depth)
	} else {
		k.Walk(at, nodes, codes, stride, root, depth)
	}
	for r := range n {
		want := uint32(root)
		for nodes[want].Code != LeafCode {
			n := nodes[want]
			code := codes[int(n.Column)*stride+r]
			right := code > n.Code
			if n.Next&SetNode != 0 {
				right = sets.Members[int(sets.First[n.Code])+int(code)/64]>>(code%64)&1 == 1
			}
			want = n.Next &^ SetNode
			if right {
				want++
			}
		}
		if at[r] != want {
			t.Fatalf("%s, sets %v, %d rows, %d leaves: row %d is at node %d, want %d", k.Tier, mixed, n, leaves, r, at[r], want)
		}
	}
}

// Any number of rows, blocks and leaves, in every tier.
func FuzzWalks(f *testing.F) {
	f.Add(uint64(1), uint16(17), uint16(9))
	f.Add(uint64(2), uint16(MaxItems), uint16(300))
	f.Fuzz(func(t *testing.T, seed uint64, rows, size uint16) {
		n, width, shifted := int(rows)%(MaxItems+1), 32<<(seed%2), seed%4 > 1
		for _, k := range Tables() {
			rng := rand.New(rand.NewPCG(seed, 1))
			checkPair(t, k, rng, n, width, shifted)
			checkBlocks(t, k, rng, int(size)%2000, n, width, shifted)
			checkWalk(t, k, rng, n, 1+int(size)%2000, 1+int(size)%100, seed%8 > 3)
		}
	})
}

func TestRowMajorAndRecode(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	for _, k := range Tables() {
		for range 40 {
			width := 32 << rng.IntN(2)
			columns, rows := 1+rng.IntN(width), 1+rng.IntN(300)
			stride := (rows+31)&^31 + 32*rng.IntN(3)
			codes := randomCodes(rng, stride*((columns+7)&^7))
			dst := Aligned[uint16]((rows + 31) &^ 31 * width)
			k.RowMajor(dst, codes, stride, width, columns, rows)
			for r := range rows {
				for c := range columns {
					if dst[r*width+c] != codes[c*stride+r] {
						t.Fatalf("%s: row %d, column %d: got %d, want %d", k.Tier, r, c, dst[r*width+c], codes[c*stride+r])
					}
				}
			}
			from := rng.IntN(20)
			src := codes[from : from+rng.IntN(len(codes)-from)]
			guard := uint16(0x1234)
			out := append(make([]uint16, len(src)), guard)
			k.Recode(out, src, 0xffff, 7)
			for i, x := range src {
				if x == 0xffff {
					x = 7
				}
				if out[i] != x {
					t.Fatalf("%s: code %d of %d: got %d, want %d", k.Tier, i, len(src), out[i], x)
				}
			}
			if out[len(src)] != guard {
				t.Fatalf("%s: Recode wrote beyond %d codes", k.Tier, len(src))
			}
		}
	}
}

func TestAddLeaves(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	leaves := make([]float64, 500)
	singles := make([]float32, 500)
	for i := range leaves {
		leaves[i] = math.Ldexp(rng.NormFloat64(), rng.IntN(80)-40)
		singles[i] = float32(leaves[i])
	}
	for _, k := range Tables() {
		for n := range 70 {
			start := rng.NormFloat64()
			acc, acc2 := slices.Repeat([]float64{start}, n+1), slices.Repeat([]float64{start}, n+1)
			one, one2 := slices.Repeat([]float32{float32(start)}, n+1), slices.Repeat([]float32{float32(start)}, n+1)
			numbers, items := make([]uint32, n, n+ItemSlack), make([]uint32, n)
			for r, to := range rng.Perm(n) {
				numbers[r] = uint32(rng.IntN(len(leaves)))
				items[to] = numbers[r]<<ItemShift | uint32(r)
			}
			k.AddLeaves64(acc, numbers, leaves)
			k.AddItems64(acc2, items, leaves)
			k.AddLeaves32(one, numbers, singles)
			k.AddItems32(one2, items, singles)
			for r := range n + 1 {
				want, single := start, float32(start)
				if r < n {
					want += leaves[numbers[r]]
					single += singles[numbers[r]]
				}
				if acc[r] != want || acc2[r] != want || one[r] != single || one2[r] != single {
					t.Fatalf("%s: row %d of %d: got %v, %v, %v, %v, want %v, %v", k.Tier, r, n, acc[r], acc2[r], one[r], one2[r], want, single)
				}
			}
		}
	}
}
