package engine

import (
	"sync/atomic"

	"github.com/treeline-ml/treeline/forest"
)

// machine is the compiled form of a model with accumulators of type F.
//
// It scores chunks of rows. The accumulators of a chunk lie in blocks (layout): bits want those of a block's rows
// together for each output, in the order of the tier's kernels; deep groups want a chunk's in order.
type machine[F float] struct {
	arithmetic arithmetic
	k          *kernels[F]
	outputs    int
	base       []F
	counts     []F // trees per output, to divide by; nil for sums
	scale      F
	bias       []F // nil for none
	groups     []group[F]
	single     *rowGroup[F]               // all trees, for blocks of few rows; nil if the groups are as fast
	few        int                        // rows up to which single is used
	chunk      int                        // rows per pass, a multiple of k.Rows()
	words      int                        // of the arena that the groups need
	blocks     layout                     // of accumulators between groups
	plain      layout                     // of accumulators of deep groups
	last       atomic.Pointer[scratch[F]] // given back last: what one goroutine uses again and again
	free       chan *scratch[F]
}

// group is a run of consecutive trees with its kernel: exactly one is not nil.
type group[F float] struct {
	bits  *bitGroup[F]
	deep  *deepGroup[F]
	trees int
	why   string
}

// layout says where accumulators lie: the one of a chunk's row r and output o is at r/rows*rows*outputs + o*rows +
// r%rows&^63 + order[r%64].
type layout struct {
	rows  int // a multiple of 64, or less than 64 and one block
	order *[word]uint8
}

// inOrder is the order of rows that need no rearranging.
var inOrder = func() (o [word]uint8) {
	for i := range o {
		o[i] = uint8(i)
	}
	return o
}()

// idleScratch is the number of scratches that an idle program keeps.
const idleScratch = 64

func (m *machine[F]) take() *scratch[F] {
	if s := m.last.Swap(nil); s != nil {
		return s
	}
	select {
	case s := <-m.free:
		return s
	default:
		return newScratch(m)
	}
}

func (m *machine[F]) give(s *scratch[F]) {
	if m.last.CompareAndSwap(nil, s) {
		return
	}
	select {
	case m.free <- s:
	default:
	}
}

// score writes the margins of rows from..to of b to dst, which starts at row 0.
func (m *machine[F]) score(dst []float64, b *Block, from, to int) {
	s := m.take()
	m.scoreWith(dst, b, s, from, to)
	m.give(s)
}

// share scores pieces of rows() rows of b, which several goroutines take from next, until none is left. Each goroutine
// keeps its scratch memory, which its processor's caches hold.
func (m *machine[F]) share(dst []float64, b *Block, next *atomic.Int64) {
	s := m.take()
	for piece := m.rows(); ; {
		from := int(next.Add(int64(piece))) - piece
		if from >= b.rows {
			break
		}
		m.scoreWith(dst, b, s, from, min(from+piece, b.rows))
	}
	m.give(s)
}

// rows is the number of rows that are worth a goroutine's turn.
func (m *machine[F]) rows() int { return max(m.chunk, 2*m.k.Rows()) }

func (m *machine[F]) scoreWith(dst []float64, b *Block, s *scratch[F], from, to int) {
	for from < to {
		n := min(m.chunk, to-from)
		if rest := n % m.k.Rows(); n > rest && rest <= m.few {
			n -= rest // a few rows left over are scored one by one
		}
		if n <= m.few {
			m.scoreFew(dst, b, s, from, n)
		} else {
			m.scoreChunk(dst, b, s, from, n)
		}
		from += n
	}
}

// scoreFew scores rows from..from+n one by one.
func (m *machine[F]) scoreFew(dst []float64, b *Block, s *scratch[F], from, n int) {
	row := layout{1, &inOrder}
	for r := from; r < from+n; r++ {
		m.start(s.sums, b, r, 1, row)
		m.single.score(&s.row, b, r, s.sums[:m.outputs])
		m.finish(dst, s.sums, r, 1, row)
	}
}

// scoreChunk scores rows from..from+n, n <= chunk.
func (m *machine[F]) scoreChunk(dst []float64, b *Block, s *scratch[F], from, n int) {
	rows := m.k.Rows()
	m.start(s.sums, b, from, n, m.blocks)
	for i := range m.groups {
		if g := m.groups[i].deep; g != nil {
			acc := s.sums
			if m.blocks != m.plain {
				acc = s.plain
				m.rearrange(acc, s.sums, n, m.plain, m.blocks)
			}
			for r := 0; r < n; r += g.rows {
				g.add(s.deep[i], b, from+r, min(g.rows, n-r), acc[r:], m.chunk)
			}
			if m.blocks != m.plain {
				m.rearrange(s.sums, acc, n, m.blocks, m.plain)
			}
			continue
		}
		for r := 0; r < n; r += rows {
			m.groups[i].bits.add(m.k, &s.bitScratch, b, from+r, min(rows, n-r), s.sums[r*m.outputs:(r+rows)*m.outputs], m.outputs)
		}
	}
	m.finish(dst, s.sums, from, n, m.blocks)
}

// place is where the accumulator of row r and output o lies.
func (l *layout) place(r, o, outputs int) int {
	return r/l.rows*l.rows*outputs + o*l.rows + r%l.rows&^(word-1) + int(l.order[r%word])
}

// rearrange copies the accumulators of n rows.
func (m *machine[F]) rearrange(to, from []F, n int, toLayout, fromLayout layout) {
	for o := range m.outputs {
		for r := range n {
			to[toLayout.place(r, o, m.outputs)] = from[fromLayout.place(r, o, m.outputs)]
		}
	}
}

// start sets the accumulators of n rows to the base margins.
func (m *machine[F]) start(sums []F, b *Block, from, n int, l layout) {
	for first := 0; first < n; first += l.rows {
		for o := range m.outputs {
			acc := sums[first*m.outputs+o*l.rows:][:l.rows]
			if b.margin == nil {
				for r := range acc {
					acc[r] = m.base[o]
				}
				continue
			}
			for r := range min(l.rows, n-first) {
				acc[r&^(word-1)+int(l.order[r%word])] = F(b.margin[(from+first+r)*m.outputs+o])
			}
		}
	}
}

// finish turns the sums into margins.
func (m *machine[F]) finish(dst []float64, sums []F, from, n int, l layout) {
	for first := 0; first < n; first += l.rows {
		for o := range m.outputs {
			acc := sums[first*m.outputs+o*l.rows:][:l.rows]
			if m.counts != nil && m.counts[o] > 0 {
				for r := range acc {
					acc[r] /= m.counts[o]
				}
			}
			if m.scale != 1 {
				for r := range acc {
					acc[r] *= m.scale // stored, so never fused with the bias
				}
			}
			if m.bias != nil {
				for r := range acc {
					acc[r] += m.bias[o]
				}
			}
			out := dst[(from+first)*m.outputs+o:]
			for r := range min(l.rows, n-first) {
				out[r*m.outputs] = float64(acc[r&^(word-1)+int(l.order[r%word])])
			}
		}
	}
}

// treeCounts returns the number of trees that add to each output.
func treeCounts[F float](trees []forest.Tree, outputs int) []F {
	counts := make([]F, outputs)
	for i := range trees {
		if !trees[i].Vector {
			counts[trees[i].Output]++
			continue
		}
		for k := range counts {
			counts[k]++
		}
	}
	return counts
}
