package engine

import "math/bits"

// fill computes the keys of rows from..from+n, row-major.
func (g *walkGroup[F]) fill(s *scratch[F], b *Block, from, n int, a *arithmetic) {
	last := int32(-1)
	for base := 0; base < n; base += word {
		rows := min(word, n-base)
		keys := s.keys[base*g.stride:]
		var v []float64
		for i := range g.columns {
			c := &g.columns[i]
			if v == nil || c.feature != last {
				v = b.cols[c.feature].values(s.values[:], from+base, rows, &a.reading)
				last = c.feature
			}
			c.fill(keys[i:], g.stride, v, a)
		}
	}
}

// add walks all trees for the n rows whose keys are in s and adds their leaves to acc: of row r and output k to
// acc[r/64*64*outputs + k*64 + r%64].
func (g *walkGroup[F]) add(s *scratch[F], n int, acc []F, outputs int) {
	if n < fewRows {
		for r := range n {
			g.addRow(s.keys[r*g.stride:(r+1)*g.stride], acc[r/word*word*outputs+r%word:], outputs)
		}
		return
	}
	for i := range g.trees {
		t := &g.trees[i]
		for base := 0; base < n; base += word {
			rows := min(word, n-base)
			g.walk(t, s.keys[base*g.stride:], rows, &s.found)
			g.sum(t, s.found[:rows], acc[base*outputs:], outputs)
		}
	}
}

// fewRows is the number of rows from which it pays to walk one tree for several rows at a time.
const fewRows = 4

// sum adds the leaves that were found for up to 64 rows.
func (g *walkGroup[F]) sum(t *walkTree, found []uint32, acc []F, outputs int) {
	if !t.vector {
		acc = acc[t.output*word:][:len(found)]
		for r, at := range found {
			acc[r] += g.leaves[t.leaves+int(g.entries[at].in)]
		}
		return
	}
	for r, at := range found {
		g.sumVector(t, at, acc[r:], outputs)
	}
}

func (g *walkGroup[F]) sumVector(t *walkTree, at uint32, acc []F, outputs int) {
	leaf := g.leaves[t.leaves+int(g.entries[at].in)*outputs:][:outputs]
	for k, v := range leaf {
		acc[k*word] += v
	}
}

// walk finds the leaf entries of up to 64 rows whose keys lie stride apart. All rows take a step before any takes the
// next, so that their steps overlap; rows at a leaf stay there until the last one has come to its own.
func (g *walkGroup[F]) walk(t *walkTree, keys []int64, rows int, found *[word]uint32) {
	at := found[:rows]
	for r := range at {
		at[r] = t.root
	}
	if g.mixed {
		g.walkMixed(t, keys, at)
		return
	}
	entries, stride := g.entries, g.stride
	mask := stride - 1
	for range t.depth {
		moved := uint32(0)
		row := 0
		for r, i := range at {
			e := &entries[i]
			next := e.next + uint32(one(keys[row+int(e.in)&mask] > e.key))
			moved |= next ^ i
			at[r] = next
			row += stride
		}
		if moved == 0 {
			return
		}
	}
}

// walkMixed is walk with any kind of entry.
func (g *walkGroup[F]) walkMixed(t *walkTree, keys []int64, at []uint32) {
	for range t.depth {
		moved := uint32(0)
		for r, i := range at {
			next := g.step(&g.entries[i], keys[r*g.stride:][:g.stride])
			moved |= next ^ i
			at[r] = next
		}
		if moved == 0 {
			return
		}
	}
}

// step is one step of one walk, with any kind of entry.
func (g *walkGroup[F]) step(e *entry, keys []int64) uint32 {
	k := keys[e.in&uint32(g.stride-1)]
	if e.in&setEntry == 0 {
		return e.next + uint32(one(k > e.key))
	}
	w := g.sets[e.key]
	at := w.first + min(int(k), w.n-1)
	return e.next + uint32(g.members[at>>6]>>(at&63)&1)
}

// addRow walks all trees for one row, eight trees at a time.
func (g *walkGroup[F]) addRow(keys []int64, acc []F, outputs int) {
	entries := g.entries
	mask := uint32(g.stride - 1)
	for first := 0; first < len(g.trees); first += 8 {
		trees := g.trees[first:min(first+8, len(g.trees))]
		var at [8]uint32
		depth := 0
		for i := range trees {
			at[i] = trees[i].root
			depth = max(depth, trees[i].depth)
		}
		for i := len(trees); i < 8; i++ {
			at[i] = trees[0].root
		}
		if g.mixed {
			for i := range trees {
				at[i] = g.descend(at[i], keys)
			}
		} else {
			i0, i1, i2, i3, i4, i5, i6, i7 := at[0], at[1], at[2], at[3], at[4], at[5], at[6], at[7]
			for d := 0; d < depth; d++ {
				e0, e1, e2, e3 := &entries[i0], &entries[i1], &entries[i2], &entries[i3]
				j0 := e0.next + uint32(one(keys[e0.in&mask] > e0.key))
				j1 := e1.next + uint32(one(keys[e1.in&mask] > e1.key))
				j2 := e2.next + uint32(one(keys[e2.in&mask] > e2.key))
				j3 := e3.next + uint32(one(keys[e3.in&mask] > e3.key))
				moved := (i0 ^ j0) | (i1 ^ j1) | (i2 ^ j2) | (i3 ^ j3)
				i0, i1, i2, i3 = j0, j1, j2, j3
				e0, e1, e2, e3 = &entries[i4], &entries[i5], &entries[i6], &entries[i7]
				j0 = e0.next + uint32(one(keys[e0.in&mask] > e0.key))
				j1 = e1.next + uint32(one(keys[e1.in&mask] > e1.key))
				j2 = e2.next + uint32(one(keys[e2.in&mask] > e2.key))
				j3 = e3.next + uint32(one(keys[e3.in&mask] > e3.key))
				moved |= (i4 ^ j0) | (i5 ^ j1) | (i6 ^ j2) | (i7 ^ j3)
				i4, i5, i6, i7 = j0, j1, j2, j3
				if moved == 0 {
					break
				}
			}
			at = [8]uint32{i0, i1, i2, i3, i4, i5, i6, i7}
		}
		for i := range trees {
			t := &trees[i]
			if t.vector {
				g.sumVector(t, at[i], acc, outputs)
			} else {
				acc[t.output*word] += g.leaves[t.leaves+int(entries[at[i]].in)]
			}
		}
	}
}

// descend walks one tree for one row.
func (g *walkGroup[F]) descend(at uint32, keys []int64) uint32 {
	for {
		e := &g.entries[at]
		if e.key == highestKey && e.next == at {
			return at
		}
		at = g.step(e, keys)
	}
}

// chunk is the number of rows whose keys fit the scratch memory: a multiple of 64 unless there is room for fewer.
func (g *walkGroup[F]) chunk() int {
	rows := walkKeys / g.stride
	if rows >= word {
		return min(rows&^(word-1), maxChunk)
	}
	return 1 << (bits.Len(uint(max(rows, 1))) - 1)
}

const (
	walkKeys = 1 << 15 // keys in scratch memory, if a row has no more than that
	maxChunk = 512     // rows
)
