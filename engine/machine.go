package engine

// machine is the compiled form of a model with accumulators of type F.
//
// It scores chunks of rows. The accumulator of a chunk's row r and output k is sums[r/64*64*outputs + k*64 + r%64]: a
// word of rows lies together for each output.
type machine[F float] struct {
	arithmetic arithmetic
	outputs    int
	base       []F
	counts     []F // trees per output, to divide by; nil for sums
	scale      F
	bias       []F // nil for none
	groups     []group[F]
	every      *walkGroup[F] // all trees, for blocks of few rows; nil if there are no masks
	few        int           // rows up to which every is used
	chunk      int           // rows per pass
	masks      int           // words of masks that the groups need
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
	}
	s := &scratch[F]{}
	s.ranking.masks = make([]uint64, m.masks)
	s.keys = make([]int64, m.keys)
	s.sums = make([]F, (m.chunk+word-1)/word*word*m.outputs)
	return s
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
	for from < to {
		n := min(m.chunk, to-from)
		if rest := n % word; n > word && rest <= m.few {
			n -= rest // a few rows left over are walked
		}
		m.scoreChunk(dst, b, s, from, n)
		from += n
	}
	m.give(s)
}

// scoreChunk scores rows from..from+n, n <= chunk.
func (m *machine[F]) scoreChunk(dst []float64, b *Block, s *scratch[F], from, n int) {
	m.start(s.sums, b, from, n)
	if n <= m.few {
		m.every.fill(s, b, from, n, &m.arithmetic)
		m.every.add(s, n, s.sums, m.outputs)
		m.finish(dst, s.sums, from, n)
		return
	}
	for i := range m.groups {
		if g := m.groups[i].walk; g != nil {
			g.fill(s, b, from, n, &m.arithmetic)
			g.add(s, n, s.sums, m.outputs)
			continue
		}
		g := m.groups[i].bits
		for w := 0; w < n; w += word {
			g.plan.run(&s.ranking, b, from+w, min(word, n-w), &m.arithmetic)
			g.add(s, s.sums[w*m.outputs:(w+word)*m.outputs], m.outputs)
		}
	}
	m.finish(dst, s.sums, from, n)
}

// start sets the accumulators to the base margins.
func (m *machine[F]) start(sums []F, b *Block, from, n int) {
	for w := 0; w < n; w += word {
		for k := range m.outputs {
			acc := sums[w*m.outputs+k*word:][:min(word, n-w)]
			if b.margin == nil {
				for r := range acc {
					acc[r] = m.base[k]
				}
				continue
			}
			for r := range acc {
				acc[r] = F(b.margin[(from+w+r)*m.outputs+k])
			}
		}
	}
}

// finish turns the sums into margins.
func (m *machine[F]) finish(dst []float64, sums []F, from, n int) {
	for w := 0; w < n; w += word {
		for k := range m.outputs {
			acc := sums[w*m.outputs+k*word:][:min(word, n-w)]
			if m.counts != nil && m.counts[k] > 0 {
				for r := range acc {
					acc[r] /= m.counts[k]
				}
			}
			if m.scale != 1 {
				for r := range acc {
					acc[r] *= m.scale // stored, so never fused with the bias
				}
			}
			if m.bias != nil {
				for r := range acc {
					acc[r] += m.bias[k]
				}
			}
			out := dst[(from+w)*m.outputs+k:]
			for r, v := range acc {
				out[r*m.outputs] = float64(v)
			}
		}
	}
}
