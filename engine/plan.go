package engine

import (
	"fmt"
	"strings"
	"sync"

	"github.com/treeline-ml/treeline/engine/internal/kernel"
	"github.com/treeline-ml/treeline/forest"
)

// Explanation says which kernel evaluates which trees, and why.
type Explanation struct {
	Groups  []GroupExplanation // in tree order
	FewRows int                // blocks (and rests of blocks) of up to this many rows are scored one by one
}

// GroupExplanation is about a run of consecutive trees.
type GroupExplanation struct {
	Trees  int
	Kernel string // "bits" or "deep"
	Why    string
}

// String is one line.
func (e Explanation) String() string {
	if len(e.Groups) == 0 {
		return "no trees"
	}
	var parts []string
	for _, g := range e.Groups {
		parts = append(parts, fmt.Sprintf("%d trees by %s (%s)", g.Trees, g.Kernel, g.Why))
	}
	s := strings.Join(parts, "; ")
	if e.FewRows > 0 {
		s += fmt.Sprintf("; up to %d rows one by one", e.FewRows)
	}
	return s
}

// Explain says which kernel evaluates which trees, and why.
func (p *Program) Explain() Explanation { return p.explain }

// The cost model, in nanoseconds on the reference machine of docs/design/0008-bits.md. Only ratios matter.
const (
	costMask     = 0.8 // per mask and block
	costBitOp    = 0.8 // per operation and block
	costBitTree  = 8.0 // per tree and block of few rows
	costRank     = 60  // per feature and block of few rows
	costDeepTree = 150 // per tree and pass of few rows
	costDeepNode = 1.0 // per node and pass, where trees do not stay in the caches from one pass to the next
)

func newMachine[F float](m *forest.Model, trees []forest.Tree, a arithmetic, t *kernel.Table, c kernelChoice) (*machine[F], Explanation) {
	x := &machine[F]{
		arithmetic: a, k: newKernels[F](t), outputs: m.Outputs, scale: F(m.Scale),
		free: make(chan *scratch[F], idleScratch),
	}
	for _, v := range m.Base {
		x.base = append(x.base, F(v))
	}
	for _, v := range m.Bias {
		x.bias = append(x.bias, F(v))
	}
	if m.Arithmetic.Average {
		x.counts = treeCounts[F](trees, m.Outputs)
	}
	var single sync.WaitGroup
	if c == anyKernel {
		single.Go(func() {
			x.single = newRowGroup(m, trees, newLeafTable[F](trees, m.Outputs), &t.Row, a.reading)
		})
	}
	for from := 0; from < len(trees); {
		n, g := nextGroup(m, trees[from:], x.k, c)
		x.groups = append(x.groups, g)
		from += n
	}
	single.Wait()
	for i := range x.groups {
		if g := x.groups[i].bits; g != nil && x.single != nil {
			x.single.plan.share(g.plan)
		}
	}
	x.size(trees)
	e := Explanation{FewRows: x.few}
	for _, g := range x.groups {
		name := "deep"
		if g.bits != nil {
			name = "bits"
		}
		e.Groups = append(e.Groups, GroupExplanation{Trees: g.trees, Kernel: name, Why: g.why})
	}
	return x, e
}
