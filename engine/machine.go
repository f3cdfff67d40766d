package engine

import (
	"sync/atomic"

	"github.com/treeline-ml/treeline/forest"
)

// machine is the compiled form of a model with accumulators of type F.
//
// It scores chunks of rows, in blocks of k.Rows(). In a chunk the accumulator of row r of a block and output o is
// sums[o*k.Rows() + r&^63 + k.order[r&63]], block after block: a word of rows lies together for each output.
type machine[F float] struct {
	arithmetic arithmetic
	k          *kernels[F]
	outputs    int
	base       []F
	counts     []F // trees per output, to divide by; nil for sums
	scale      F
	bias       []F // nil for none
	groups     []group[F]
	every      *walkGroup[F] // all trees, for blocks of few rows; nil if there are no masks
	few        int           // rows up to which every is used
	chunk      int           // rows per pass
	words      int           // of the arena that the groups need
	keys       int           // keys that the groups need
	free       chan *scratch[F]
}

// group is a run of consecutive trees with its kernel: exactly one is not nil.
type group[F float] struct {
	bits  *bitGroup[F]
	walk  *walkGroup[F]
	trees int
	why   string
}

// idleScratch is the number of scratches that an idle program keeps.
const idleScratch = 64

func (m *machine[F]) take() *scratch[F] {
	select {
	case s := <-m.free:
		return s
	default:
		return newScratch(m)
	}
}

func (m *machine[F]) give(s *scratch[F]) {
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

func (m *machine[F]) scoreWith(dst []float64, b *Block, s *scratch[F], from, to int) {
	for from < to {
		n := min(m.chunk, to-from)
		if rest := n % m.k.Rows(); n > rest && rest <= m.few {
			n -= rest // a few rows left over are walked
		}
		m.scoreChunk(dst, b, s, from, n)
		from += n
	}
}

// scoreChunk scores rows from..from+n, n <= chunk.
func (m *machine[F]) scoreChunk(dst []float64, b *Block, s *scratch[F], from, n int) {
	if n <= m.few {
		m.start(s.plain, b, from, n, word, &inOrder)
		m.every.fill(s, b, from, n, &m.arithmetic)
		m.every.add(s, n, s.plain, m.outputs)
		m.finish(dst, s.plain, from, n, word, &inOrder)
		return
	}
	rows := m.k.Rows()
	m.start(s.sums, b, from, n, rows, m.k.order)
	for i := range m.groups {
		if g := m.groups[i].walk; g != nil {
			m.exchange(s, n, true)
			g.fill(s, b, from, n, &m.arithmetic)
			g.add(s, n, s.plain, m.outputs)
			m.exchange(s, n, false)
			continue
		}
		for r := 0; r < n; r += rows {
			m.groups[i].bits.add(m.k, s, b, from+r, min(rows, n-r), s.sums[r*m.outputs:(r+rows)*m.outputs], m.outputs)
		}
	}
	m.finish(dst, s.sums, from, n, rows, m.k.order)
}

// inOrder is the order of rows that need no rearranging.
var inOrder = func() (o [word]uint8) {
	for i := range o {
		o[i] = uint8(i)
	}
	return o
}()

// exchange copies the accumulators of n rows from s.sums to s.plain, or back.
func (m *machine[F]) exchange(s *scratch[F], n int, toPlain bool) {
	rows := m.k.Rows()
	for r := range n {
		for o := range m.outputs {
			at := r/rows*rows*m.outputs + o*rows + r%rows&^(word-1) + int(m.k.order[r%word])
			plain := r/word*word*m.outputs + o*word + r%word
			if toPlain {
				s.plain[plain] = s.sums[at]
			} else {
				s.sums[at] = s.plain[plain]
			}
		}
	}
}

// start sets the accumulators of n rows, in blocks of size rows, to the base margins.
func (m *machine[F]) start(sums []F, b *Block, from, n, rows int, order *[word]uint8) {
	for first := 0; first < n; first += rows {
		for o := range m.outputs {
			acc := sums[first*m.outputs+o*rows:][:rows]
			if b.margin == nil {
				for r := range acc {
					acc[r] = m.base[o]
				}
				continue
			}
			for r := range min(rows, n-first) {
				acc[r&^(word-1)+int(order[r%word])] = F(b.margin[(from+first+r)*m.outputs+o])
			}
		}
	}
}

// finish turns the sums into margins.
func (m *machine[F]) finish(dst []float64, sums []F, from, n, rows int, order *[word]uint8) {
	for first := 0; first < n; first += rows {
		for o := range m.outputs {
			acc := sums[first*m.outputs+o*rows:][:rows]
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
			for r := range min(rows, n-first) {
				out[r*m.outputs] = float64(acc[r&^(word-1)+int(order[r%word])])
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

// rows is the number of rows that are worth a goroutine's turn.
func (m *machine[F]) rows() int { return max(m.chunk, 2*m.k.Rows()) }
