package enginetest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/forest"
)

// Compiler is what a kernel tier offers: engine.Compile or a variant that forces kernels.
type Compiler func(*forest.Model, engine.Options) (*engine.Program, error)

// Run checks that programs from compile score like the oracle, bit for bit: random models of many shapes, all column
// types, any cut of the rows into blocks, and any number of threads. With -short there are few of each.
func Run(t *testing.T, compile Compiler) {
	t.Helper()
	models := 20
	if testing.Short() {
		models = 5
	}
	shapes := map[string]Shape{
		"small":   {Trees: 8, Leaves: 8, Features: 4, Outputs: 1},
		"boosted": {Trees: 20, Leaves: 64, Features: 12, Outputs: 3},
		"large":   {Trees: 4, Leaves: 700, Features: 6, Outputs: 2},
		"mixed":   {Trees: 12, Leaves: 330, Features: 9, Outputs: 4, Chains: true},
		"stumps":  {Trees: 60, Leaves: 2, Features: 30, Outputs: 2},
	}
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(models) {
				rng := rand.New(rand.NewPCG(seed, 1))
				Check(t, compile, Model(rng, shape), rng, 1+rng.IntN(300))
				if t.Failed() {
					t.Fatalf("model %d of shape %q", seed, name)
				}
			}
		})
	}
	t.Run("blocks", func(t *testing.T) { checkBlocks(t, compile) })
}

// Check scores a random table of rows in one piece and in random pieces and compares with the oracle.
func Check(t *testing.T, compile Compiler, m *forest.Model, rng *rand.Rand, rows int) {
	t.Helper()
	var o engine.Options
	if rng.IntN(3) == 0 {
		o.Iterations = 1 + rng.IntN(m.Iterations)
	}
	if rng.IntN(3) == 0 {
		v := []float64{0, -999, 1, math.Inf(1), math.NaN(), 0.1, 3}[rng.IntN(7)]
		o.Missing = &v
	}
	p, err := compile(m, o)
	if err != nil {
		t.Fatal(err)
	}
	table := NewTable(rng, m, rows)
	var base []float64
	if rng.IntN(3) == 0 {
		base = make([]float64, rows*m.Outputs)
		for i := range base {
			base[i] = rng.NormFloat64()
		}
	}
	want := Expect(m, o, table, base)
	Compare(t, p, table, want, base, 0, rows, 1)
	Compare(t, p, table, want, base, 0, rows, 1+rng.IntN(4))
	for from := 0; from < rows; {
		n := min(1+rng.IntN(100), rows-from)
		if rng.IntN(2) == 0 {
			n = min(1+rng.IntN(8), rows-from)
		}
		Compare(t, p, table, want, base, from, n, 1)
		from += n
	}
	checkRefusals(t, p, m, o, table)
}

// Expect returns the oracle's margins for the whole table.
func Expect(m *forest.Model, o engine.Options, table *Table, base []float64) []float64 {
	want := make([]float64, 0, table.Rows*m.Outputs)
	for r := range table.Rows {
		var own []float64
		if base != nil {
			own = base[r*m.Outputs : (r+1)*m.Outputs]
		}
		want = append(want, Margins(m, o, table.Row(r), own)...)
	}
	return want
}

// Bind puts rows from..from+n of the table into a new block; features that p does not use are left out.
func Bind(t *testing.T, p *engine.Program, table *Table, from, n int) *engine.Block {
	t.Helper()
	b := p.NewBlock()
	b.Reset(n)
	for f := range table.Columns {
		if !p.Uses(f) {
			continue
		}
		if err := b.Set(f, table.Columns[f].Engine(from, n)); err != nil {
			t.Fatalf("column %d (%s): %v", f, table.Columns[f].Kind, err)
		}
	}
	return b
}

// Compare scores rows from..from+n of the table and compares with want, which holds the whole table's margins.
func Compare(t *testing.T, p *engine.Program, table *Table, want, base []float64, from, n, threads int) {
	t.Helper()
	b := Bind(t, p, table, from, n)
	k := p.Outputs()
	if base != nil {
		if err := b.SetBaseMargin(base[from*k : (from+n)*k]); err != nil {
			t.Fatal(err)
		}
	}
	got := make([]float64, n*k)
	var err error
	if threads == 1 {
		err = p.Score(got, b)
	} else {
		err = p.ScoreParallel(got, b, threads)
	}
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		w := want[from*k+i]
		if math.Float64bits(got[i]) == math.Float64bits(w) || got[i] != got[i] && w != w {
			continue
		}
		t.Fatalf("rows %d+%d, %d threads: row %d, output %d: got %v (%x), want %v (%x)\n%v",
			from, n, threads, from+i/k, i%k, got[i], got[i], w, w, p.Explain())
	}
}

func checkRefusals(t *testing.T, p *engine.Program, m *forest.Model, o engine.Options, table *Table) {
	t.Helper()
	if o.Missing == nil {
		o.Missing = m.Missing
	}
	var want []engine.Refusal
	for f := range m.Features {
		for r := range table.Rows {
			x := table.Columns[f].Value(r).Input(m.Arithmetic.Input)
			missing := math.IsNaN(x) ||
				o.Missing != nil && x == (Value{Kind: Float, F: *o.Missing}).Input(m.Arithmetic.Input)
			if missing && m.Features[f].RejectMissing || !missing && math.IsInf(x, 0) && m.Features[f].RejectInfinite {
				want = append(want, engine.Refusal{Row: r, Feature: f, Missing: missing})
			}
		}
	}
	b := p.NewBlock()
	b.Reset(table.Rows)
	for f := range table.Columns {
		if err := b.Set(f, table.Columns[f].Engine(0, table.Rows)); err != nil {
			t.Fatal(err)
		}
	}
	if got := b.Refusals(nil, 0); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("refusals: got %v, want %v", got, want)
	}
	if got := b.Refusals(nil, 2); len(want) >= 2 && fmt.Sprint(got) != fmt.Sprint(want[:2]) {
		t.Fatalf("first two refusals: got %v, want %v", got, want[:2])
	}
}

// checkBlocks scores one table in blocks of every size from 1 to 1000, with -short of every 37th.
func checkBlocks(t *testing.T, compile Compiler) {
	rng := rand.New(rand.NewPCG(5, 5))
	m := Model(rng, Shape{Trees: 10, Leaves: 40, Features: 6, Outputs: 2})
	p, err := compile(m, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	table := NewTable(rng, m, 1100)
	want := Expect(m, engine.Options{}, table, nil)
	step := 1
	if testing.Short() {
		step = 37
	}
	for n := 1; n <= 1000; n += step {
		Compare(t, p, table, want, nil, rng.IntN(100), n, 1)
	}
	for threads := 2; threads <= 5; threads++ {
		Compare(t, p, table, want, nil, 0, 1100, threads)
	}
}
