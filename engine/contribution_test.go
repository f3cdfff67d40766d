package engine_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/engine/enginetest"
	"github.com/treeline-ml/treeline/forest"
)

// explained is a model with a table and a block of it.
type explained struct {
	m     *forest.Model
	o     engine.Options
	table *enginetest.Table
	base  []float64
}

func newExplained(rng *rand.Rand, s enginetest.Shape, rows int) explained {
	e := explained{m: enginetest.Model(rng, s), o: engine.Options{Contributions: true, Leaves: true}}
	enginetest.Cover(rng, e.m)
	if rng.IntN(3) == 0 {
		e.o.Iterations = 1 + rng.IntN(e.m.Iterations)
	}
	e.table = enginetest.NewTable(rng, e.m, rows)
	if rng.IntN(3) == 0 {
		for range rows * e.m.Outputs {
			e.base = append(e.base, rng.NormFloat64())
		}
	}
	return e
}

// of returns the contributions of n rows, and the block.
func (e *explained) of(t *testing.T, p *engine.Program, from, n, threads int) ([]float64, *engine.Block) {
	t.Helper()
	b := enginetest.Bind(t, p, e.table, from, n)
	if k := e.m.Outputs; e.base != nil {
		if err := b.SetBaseMargin(e.base[from*k : (from+n)*k]); err != nil {
			t.Fatal(err)
		}
	}
	got := make([]float64, n*e.m.Outputs*(len(e.m.Features)+1))
	for i := range got {
		got[i] = math.Inf(1)
	}
	if err := p.ContributionsParallel(got, b, threads); err != nil {
		t.Fatal(err)
	}
	return got, b
}

// Contributions are the Shapley values of the definition, on every tier.
func TestContributionsAreShapleyValues(t *testing.T) {
	shapes := []enginetest.Shape{
		{Trees: 6, Leaves: 8, Features: 4, Outputs: 3},
		{Trees: 3, Leaves: 40, Features: 9, Outputs: 2},
		{Trees: 2, Leaves: 60, Features: 3, Outputs: 1, Chains: true},
		{Trees: 20, Leaves: 2, Features: 30, Outputs: 2},
	}
	for s, shape := range shapes {
		for seed := range uint64(25) {
			rng := rand.New(rand.NewPCG(seed, uint64(s)))
			e := newExplained(rng, shape, 11)
			for _, tier := range engine.Tiers() {
				e.o.Tier = tier
				got, _ := e.of(t, mustCompile(t, e.m, e.o), 0, e.table.Rows, 1)
				for r := range e.table.Rows {
					var base []float64
					if e.base != nil {
						base = e.base[r*e.m.Outputs : (r+1)*e.m.Outputs]
					}
					want := enginetest.Contributions(e.m, e.o, e.table.Row(r), base)
					compareContributions(t, fmt.Sprintf("shape %d, seed %d, tier %s, row %d", s, seed, tier, r),
						got[r*len(want):(r+1)*len(want)], want, 1e-12)
				}
				if t.Failed() {
					t.FailNow()
				}
			}
		}
	}
}

// compareContributions compares to the given part of the largest value, which is what sums are good to.
func compareContributions(t *testing.T, where string, got, want []float64, tolerance float64) {
	t.Helper()
	largest := 0.0
	for _, w := range want {
		largest = max(largest, math.Abs(w))
	}
	for i, w := range want {
		if !(math.Abs(got[i]-w) <= tolerance*largest) {
			t.Errorf("%s: value %d is %v, want %v", where, i, got[i], w)
			return
		}
	}
}

// checkSums compares the rows' sums with margins; float32 margins are as good as their sums.
func checkSums(t *testing.T, p *engine.Program, b *engine.Block, got []float64, tolerance float64) {
	t.Helper()
	margins := make([]float64, b.Rows()*p.Outputs())
	if err := p.Score(margins, b); err != nil {
		t.Fatal(err)
	}
	width := p.Features() + 1
	for i, m := range margins {
		sum, largest := 0.0, math.Abs(m)
		for _, v := range got[i*width : (i+1)*width] {
			sum += v
			largest = max(largest, math.Abs(v))
		}
		if !(math.Abs(sum-m) <= tolerance*largest) {
			t.Fatalf("margin %d is %v, the contributions' sum %v", i, m, sum)
		}
	}
}

// Any cut of the rows and any tier and number of threads gives the same bits, and sums are margins.
func TestContributionsOfRowsDoNotDependOnOthers(t *testing.T) {
	for seed := range uint64(12) {
		rng := rand.New(rand.NewPCG(seed, 77))
		e := newExplained(rng, enginetest.Shape{Trees: 8, Leaves: 90, Features: 14, Outputs: 3, Chains: seed%3 == 0}, 150)
		e.m.Arithmetic.Sum = forest.Float64
		e.m.NonFiniteLeaves = false
		var want []float64
		for _, tier := range engine.Tiers() {
			e.o.Tier = tier
			p := mustCompile(t, e.m, e.o)
			all, b := e.of(t, p, 0, 150, 1)
			checkSums(t, p, b, all, 1e-12)
			if want == nil {
				want = all
			}
			sameBits(t, tier, all, want)
			all, _ = e.of(t, p, 0, 150, 3)
			sameBits(t, tier+", three threads", all, want)
			width := len(want) / 150
			for from := 0; from < 150; {
				n := min(1+rng.IntN(70), 150-from)
				got, _ := e.of(t, p, from, n, 1)
				sameBits(t, fmt.Sprintf("%s, rows %d+%d", tier, from, n), got, want[from*width:(from+n)*width])
				from += n
			}
		}
	}
}

func sameBits(t *testing.T, where string, got, want []float64) {
	t.Helper()
	for i := range want {
		if math.Float64bits(got[i]) != math.Float64bits(want[i]) {
			t.Fatalf("%s: value %d is %v, want %v", where, i, got[i], want[i])
		}
	}
}

func TestContributionsRefuse(t *testing.T) {
	m := stump()
	m.Trees[0].NodeCover, m.Trees[0].LeafCover = []float64{8}, []float64{2, 6}
	plain := mustCompile(t, m, engine.Options{})
	dst, leaves := make([]float64, 9), make([]int32, 9)
	if err := plain.Contributions(dst, plain.NewBlock()); !errors.Is(err, engine.ErrNotCompiled) {
		t.Errorf("without the option: %v", err)
	}
	if err := plain.Leaves(leaves, plain.NewBlock()); !errors.Is(err, engine.ErrNotCompiled) {
		t.Errorf("leaves without the option: %v", err)
	}
	if err := plain.TreeMargins(dst, plain.NewBlock()); !errors.Is(err, engine.ErrNotCompiled) {
		t.Errorf("tree margins without the option: %v", err)
	}
	p := mustCompile(t, m, engine.Options{Contributions: true, Leaves: true})
	b := p.NewBlock()
	b.Reset(3)
	all := func(b *engine.Block, n int) []error {
		return []error{p.Contributions(dst[:n], b), p.Leaves(leaves[:min(n, 5)], b), p.TreeMargins(dst[:min(n, 5)], b)}
	}
	for _, err := range append(all(b, 9), all(plain.NewBlock(), 9)...) {
		if !errors.Is(err, engine.ErrShape) {
			t.Errorf("no column or another program's block: %v", err)
		}
	}
	if err := b.Set(0, engine.Float64s([]float64{0, 1, math.NaN()})); err != nil {
		t.Fatal(err)
	}
	for _, err := range all(b, 8) {
		if !errors.Is(err, engine.ErrShape) {
			t.Errorf("short dst: %v", err)
		}
	}
	if err := p.Contributions(dst, b); err != nil {
		t.Fatal(err)
	}
	sameBits(t, "stump", dst, []float64{-0.75, 0, 11.75, 0.25, 0, 11.75, 0.25, 0, 11.75})

	for name, spoil := range map[string]func(*forest.Tree){
		"no weights":       func(t *forest.Tree) { t.NodeCover, t.LeafCover = nil, nil },
		"no leaf weights":  func(t *forest.Tree) { t.LeafCover = nil },
		"a negative one":   func(t *forest.Tree) { t.LeafCover = []float64{9, -1} },
		"a NaN":            func(t *forest.Tree) { t.LeafCover = []float64{math.NaN(), 1} },
		"an infinite one":  func(t *forest.Tree) { t.LeafCover = []float64{1, math.Inf(1)} },
		"no node weights ": func(t *forest.Tree) { t.NodeCover = nil },
	} {
		m := stump()
		m.Trees[0].NodeCover, m.Trees[0].LeafCover = []float64{8}, []float64{2, 6}
		spoil(&m.Trees[0])
		if p, err := engine.Compile(m, engine.Options{Contributions: true}); !errors.Is(err, engine.ErrNoCover) || p != nil {
			t.Errorf("%s: program %v, error %v", name, p, err)
		}
	}
	huge := stump()
	huge.Trees[0].NodeCover, huge.Trees[0].LeafCover = []float64{math.MaxFloat64}, []float64{math.MaxFloat64, math.MaxFloat64}
	p = mustCompile(t, huge, engine.Options{Contributions: true})
	b = p.NewBlock()
	b.Reset(1)
	if err := errors.Join(b.Set(0, engine.Float64s([]float64{0})), p.Contributions(dst, b)); err != nil {
		t.Fatal(err)
	}
	sameBits(t, "huge weights", dst[:3], []float64{-0.5, 0, 11.5})
}

// Empty blocks, models without trees, features or splits, and trees of single leaves.
func TestContributionsOfNothing(t *testing.T) {
	for name, m := range map[string]*forest.Model{
		"no trees":    {Outputs: 2, Base: []float64{1, 2}, Scale: 2, Link: forest.Link{Slope: 1, Divisor: 1}},
		"single leaf": {Outputs: 2, Base: []float64{1, 1}, Scale: 2, Link: forest.Link{Slope: 1, Divisor: 1}, Trees: []forest.Tree{{Output: 1, Leaves: []float64{1}}}},
	} {
		p := mustCompile(t, m, engine.Options{Contributions: true, Leaves: true})
		b := p.NewBlock()
		if err := errors.Join(p.Contributions(nil, b), p.Leaves(nil, b), p.TreeMargins(nil, b)); err != nil {
			t.Errorf("%s, no rows: %v", name, err)
		}
		b.Reset(2)
		got := make([]float64, 4)
		if err := p.Contributions(got, b); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		sameBits(t, name, got, []float64{2, 4, 2, 4})
	}
}

// deepChain splits n times on features that repeat, each time sending the next leaf away.
func deepChain(n, features int) *forest.Model {
	m := stump()
	m.Features, m.Iterations = nil, 1
	for f := range features {
		m.Features = append(m.Features, forest.Feature{Name: fmt.Sprint(f)})
	}
	var tree forest.Tree
	for i := range n {
		node := forest.Node{Feature: int32(i % features), Threshold: 3 - 6*float64(i)/float64(n), Left: int32(i + 1), Right: ^int32(i)}
		if i%3 == 0 {
			node.Left, node.Right, node.Threshold = node.Right, node.Left, -node.Threshold
		}
		tree.Nodes = append(tree.Nodes, node)
		tree.Leaves = append(tree.Leaves, math.Sin(float64(i)))
		tree.LeafCover = append(tree.LeafCover, float64(1+i%5))
	}
	last := &tree.Nodes[n-1]
	if last.Left >= 0 {
		last.Left = ^int32(n)
	} else {
		last.Right = ^int32(n)
	}
	tree.Leaves, tree.LeafCover = append(tree.Leaves, 1), append(tree.LeafCover, 1)
	tree.NodeCover = make([]float64, n)
	below := 1.0
	for i := n - 1; i >= 0; i-- {
		below += tree.LeafCover[i]
		tree.NodeCover[i] = below
	}
	m.Trees = []forest.Tree{tree}
	return m
}

// Deep trees keep their accuracy: of few features against the definition, of many by their sums.
func TestContributionsOfDeepTrees(t *testing.T) {
	for _, c := range []struct {
		nodes, features int
		tolerance       float64
	}{{3000, 1, 1e-12}, {3000, 2, 1e-12}, {3000, 7, 1e-12}, {400, 100, 1e-12}, {3000, 3000, 1e-12}, {60_000, 3, 1e-12}} {
		m := deepChain(c.nodes, c.features)
		rng := rand.New(rand.NewPCG(1, uint64(c.nodes)))
		e := explained{m: m, o: engine.Options{Contributions: true}}
		rows := make([]float64, 9*c.features)
		for i := range rows {
			rows[i] = 4 * rng.NormFloat64()
		}
		p := mustCompile(t, m, e.o)
		b := p.NewBlock()
		b.Reset(9)
		for f := range c.features {
			if err := b.Set(f, engine.Float64s(rows[f*9:][:9])); err != nil {
				t.Fatal(err)
			}
		}
		got := make([]float64, 9*(c.features+1))
		if err := p.Contributions(got, b); err != nil {
			t.Fatal(err)
		}
		checkSums(t, p, b, got, c.tolerance)
		for r := 0; r < 9 && c.features <= 7 && c.nodes <= 3000; r++ {
			var row []enginetest.Value
			for f := range c.features {
				row = append(row, enginetest.Value{Kind: enginetest.Float, F: rows[f*9+r]})
			}
			want := enginetest.Contributions(m, e.o, row, nil)
			compareContributions(t, fmt.Sprintf("%d nodes, %d features, row %d", c.nodes, c.features, r),
				got[r*len(want):(r+1)*len(want)], want, c.tolerance)
		}
	}
}

// Models with very many features or outputs are explained fewer rows at a time.
func TestContributionsOfWideModels(t *testing.T) {
	for _, c := range []struct{ features, outputs int }{{20_000, 1}, {2_000, 40}} {
		m := stump()
		m.Features, m.Trees, m.Outputs, m.Base, m.Iterations = nil, nil, c.outputs, make([]float64, c.outputs), 1
		x := make([]float64, c.features*70)
		for f := range c.features {
			m.Features = append(m.Features, forest.Feature{Name: fmt.Sprint(f)})
			m.Trees = append(m.Trees, forest.Tree{
				Output: f % c.outputs, Nodes: []forest.Node{{Feature: int32(f), Threshold: 0.5, Left: ^0, Right: ^1}},
				Leaves: []float64{float64(f), -float64(f)}, NodeCover: []float64{4}, LeafCover: []float64{3, 1},
			})
			for r := range 70 {
				x[f*70+r] = float64((f + r) % 2)
			}
		}
		p := mustCompile(t, m, engine.Options{Contributions: true})
		b := p.NewBlock()
		b.Reset(70)
		for f := range c.features {
			if err := b.Set(f, engine.Float64s(x[f*70:][:70])); err != nil {
				t.Fatal(err)
			}
		}
		got := make([]float64, 70*c.outputs*(c.features+1))
		if err := p.ContributionsParallel(got, b, 2); err != nil {
			t.Fatal(err)
		}
		for i, v := range got {
			f, k, r := i%(c.features+1), i/(c.features+1)%c.outputs, i/(c.features+1)/c.outputs
			want := 0.5 * float64(f)
			if (f+r)%2 == 1 {
				want = -1.5 * float64(f)
			}
			if f%c.outputs != k {
				want = 0
			}
			if f < c.features && v != want {
				t.Fatalf("%d features: row %d, output %d, feature %d: %v, want %v", c.features, r, k, f, v, want)
			}
		}
	}
}

// FuzzContributions explains random models: sums are margins, and tiers agree.
func FuzzContributions(f *testing.F) {
	f.Add(uint64(1), uint64(2), uint8(3))
	f.Add(uint64(7), uint64(0), uint8(64))
	f.Fuzz(func(t *testing.T, a, b uint64, rows uint8) {
		rng := rand.New(rand.NewPCG(a, b))
		e := newExplained(rng, enginetest.Shape{Trees: 5, Leaves: 50, Features: 10, Outputs: 3, Chains: a%2 == 0}, 1+int(rows))
		e.m.Arithmetic.Sum = forest.Float64
		var want []float64
		for _, tier := range engine.Tiers() {
			e.o.Tier = tier
			p := mustCompile(t, e.m, e.o)
			got, block := e.of(t, p, 0, e.table.Rows, 1+int(rows)%3)
			checkSums(t, p, block, got, 1e-12)
			if want == nil {
				want = got
			}
			sameBits(t, tier, got, want)
		}
	})
}

// Contributions and Leaves do not allocate once they have run, and serve many goroutines.
func TestContributionsAllocateNothing(t *testing.T) {
	e := newExplained(rand.New(rand.NewPCG(3, 3)), enginetest.Shape{Trees: 9, Leaves: 40, Features: 8, Outputs: 2}, 100)
	p := mustCompile(t, e.m, e.o)
	dst, b := e.of(t, p, 0, 100, 1)
	leaves := make([]int32, 100*p.Trees())
	if n := testing.AllocsPerRun(20, func() {
		if err := errors.Join(p.Contributions(dst, b), p.Leaves(leaves, b)); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a call", n)
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			mine := make([]float64, len(dst))
			for range 5 {
				if err := p.Contributions(mine, b); err != nil {
					t.Error(err)
				}
			}
			for i := range mine {
				if mine[i] != dst[i] {
					t.Errorf("value %d is %v, want %v", i, mine[i], dst[i])
					return
				}
			}
		})
	}
	group.Wait()
}

// Leaves and tree margins are those of the oracle.
func TestLeaves(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 5))
		e := newExplained(rng, enginetest.Shape{Trees: 9, Leaves: 300, Features: 8, Outputs: 3, Chains: seed%4 == 0}, 130)
		for i := range e.m.Trees {
			if t := &e.m.Trees[i]; rng.IntN(2) == 0 {
				for range t.NumLeaves() {
					t.LeafNames = append(t.LeafNames, rng.Int32())
				}
			}
		}
		p := mustCompile(t, e.m, e.o)
		b := enginetest.Bind(t, p, e.table, 0, 130)
		leaves := make([]int32, 130*p.Trees())
		width := p.TreeMarginWidth()
		margins := make([]float64, len(leaves)*width)
		if err := errors.Join(p.LeavesParallel(leaves, b, 1+int(seed%3)), p.TreeMargins(margins, b)); err != nil {
			t.Fatal(err)
		}
		for r := range 130 {
			indices, names := enginetest.Leaves(e.m, e.o, e.table.Row(r))
			if len(names) != p.Trees() {
				t.Fatalf("%d trees, want %d", p.Trees(), len(names))
			}
			for i, leaf := range indices {
				at := r*len(names) + i
				if leaves[at] != names[i] {
					t.Fatalf("seed %d, row %d, tree %d: leaf %d, want %d", seed, r, i, leaves[at], names[i])
				}
				tree, want := &e.m.Trees[i], make([]float64, width)
				switch {
				case tree.Vector:
					copy(want, tree.Leaves[int(leaf)*width:])
				case width > 1:
					want[tree.Output] = tree.Leaves[leaf]
				default:
					want[0] = tree.Leaves[leaf]
				}
				sameBits(t, "tree margins", margins[at*width:(at+1)*width], want)
			}
		}
	}
}
