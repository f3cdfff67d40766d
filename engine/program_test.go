package engine_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/engine/enginetest"
	"github.com/treeline-ml/treeline/forest"
)

// stump has one split on feature 0 of two: up to 0.5 gives 1, above 2.
func stump() *forest.Model {
	return &forest.Model{
		Features: []forest.Feature{{Name: "age", RejectInfinite: true}, {Name: "unused", RejectInfinite: true}},
		Outputs:  1, Base: []float64{0}, Scale: 1, Link: forest.Link{Slope: 1, Divisor: 1}, Iterations: 2,
		Trees: []forest.Tree{
			{Nodes: []forest.Node{{Threshold: 0.5, Left: ^0, Right: ^1}}, Leaves: []float64{1, 2}},
			{Leaves: []float64{10}},
		},
	}
}

func mustCompile(t *testing.T, m *forest.Model, o engine.Options) *engine.Program {
	t.Helper()
	p, err := engine.Compile(m, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestProgramDescribesItself(t *testing.T) {
	p := mustCompile(t, stump(), engine.Options{})
	if p.Features() != 2 || !p.Uses(0) || p.Uses(1) || p.Uses(-1) || p.Uses(2) || p.Outputs() != 1 || p.Width() != 1 || p.Float32() {
		t.Errorf("features %d, uses %v %v, outputs %d, width %d, float32 %v",
			p.Features(), p.Uses(0), p.Uses(1), p.Outputs(), p.Width(), p.Float32())
	}
	if s := p.Explain().String(); !strings.Contains(s, "2 trees by") || strings.Contains(s, "\n") {
		t.Errorf("explanation %q", s)
	}
	tier := os.Getenv("TREELINE_ENGINE_TIER")
	if tier == "" {
		tier = engine.Tiers()[len(engine.Tiers())-1]
	}
	if engine.Build() != "treeline-engine/2 "+tier {
		t.Errorf("build %q", engine.Build())
	}
}

func TestCompileRejects(t *testing.T) {
	broken := stump()
	broken.Trees[0].Nodes[0].Right = 0
	_, err := engine.Compile(broken, engine.Options{})
	var e *forest.Error
	if !errors.Is(err, engine.ErrModel) || !errors.Is(err, forest.ErrInvalid) || !errors.As(err, &e) || e.Tree != 0 || e.Node != 0 {
		t.Errorf("got %v, want ErrModel with tree 0, node 0", err)
	}
	for _, n := range []int{-1, 3} {
		if _, err := engine.Compile(stump(), engine.Options{Iterations: n}); !errors.Is(err, engine.ErrModel) {
			t.Errorf("%d iterations: got %v, want ErrModel", n, err)
		}
	}
	odd := stump()
	odd.Trees = append(odd.Trees, forest.Tree{Leaves: []float64{1}})
	if _, err := engine.Compile(odd, engine.Options{Iterations: 1}); !errors.Is(err, engine.ErrModel) {
		t.Errorf("3 trees in 2 iterations: got %v, want ErrModel", err)
	}
}

func TestSetRejects(t *testing.T) {
	p := mustCompile(t, stump(), engine.Options{})
	table := []float64{1, 2, 3}
	for name, c := range map[string]struct {
		feature int
		column  engine.Column
	}{
		"feature -1":         {-1, engine.Float64s(make([]float64, 9))},
		"feature 2":          {2, engine.Float64s(make([]float64, 9))},
		"too short":          {0, engine.Float64s(make([]float64, 8))},
		"too long":           {0, engine.MissingColumn(10)},
		"index too large":    {0, engine.Lookup([]uint8{0, 1, 2, 0, 0, 0, 0, 0, 3}, table)},
		"negative index":     {0, engine.Lookup([]int32{0, 1, 2, 0, 0, 0, 0, 0, -1}, table)},
		"huge index":         {0, engine.Lookup([]uint64{0, 1, 2, 0, 0, 0, 0, 0, math.MaxUint64}, table)},
		"empty dictionary":   {0, engine.Lookup(make([]int64, 9), nil)},
		"short validity":     {0, engine.Float64s(make([]float64, 9)).WithValidity([]byte{0xff}, 0)},
		"validity offset":    {0, engine.Float64s(make([]float64, 9)).WithValidity([]byte{0xff, 0xff}, 8)},
		"negative offset":    {0, engine.Float64s(make([]float64, 9)).WithValidity([]byte{0xff, 0xff}, -1)},
		"short bits":         {0, engine.Bits([]byte{1}, 0, 9)},
		"bits offset":        {0, engine.Bits([]byte{1, 1}, 8, 9)},
		"negative bits":      {0, engine.Bits([]byte{1, 1}, -8, 9)},
		"overflowing offset": {0, engine.Bits([]byte{1, 1}, math.MaxInt, 9)},
		"negative length":    {0, engine.MissingColumn(-9)},
	} {
		b := p.NewBlock()
		b.Reset(9)
		if err := b.Set(c.feature, c.column); !errors.Is(err, engine.ErrShape) {
			t.Errorf("%s: got %v, want ErrShape", name, err)
		}
	}
}

func TestLookupIgnoresIndexesOfNulls(t *testing.T) {
	p := mustCompile(t, stump(), engine.Options{})
	b := p.NewBlock()
	b.Reset(3)
	c := engine.Lookup([]int16{1, -7, 99}, []float64{0, 1}).WithValidity([]byte{0b001}, 0)
	if err := b.Set(0, c); err != nil {
		t.Fatal(err)
	}
	got := make([]float64, 3)
	if err := p.Score(got, b); err != nil {
		t.Fatal(err)
	}
	if got[0] != 12 || got[1] != 12 || got[2] != 12 { // a missing value goes right here
		t.Errorf("got %v", got)
	}
}

func TestScoreRejects(t *testing.T) {
	p := mustCompile(t, stump(), engine.Options{})
	b := p.NewBlock()
	b.Reset(2)
	dst := []float64{-1, -1}
	if err := p.Score(dst, b); !errors.Is(err, engine.ErrShape) || !strings.Contains(err.Error(), `"age"`) {
		t.Errorf("no column: got %v, want ErrShape that names the feature", err)
	}
	if err := b.Set(0, engine.Float64s([]float64{0, 1})); err != nil {
		t.Fatal(err)
	}
	if err := p.Score(dst[:1], b); !errors.Is(err, engine.ErrShape) {
		t.Errorf("short dst: got %v, want ErrShape", err)
	}
	if err := b.SetBaseMargin([]float64{1}); !errors.Is(err, engine.ErrShape) {
		t.Errorf("short base margin: got %v, want ErrShape", err)
	}
	other := mustCompile(t, stump(), engine.Options{})
	if err := other.ScoreParallel(dst, b, 2); !errors.Is(err, engine.ErrShape) {
		t.Errorf("another program's block: got %v, want ErrShape", err)
	}
	if dst[0] != -1 || dst[1] != -1 {
		t.Errorf("dst was written: %v", dst)
	}
	if err := p.Score(dst, b); err != nil || dst[0] != 11 || dst[1] != 12 {
		t.Errorf("got %v, %v", dst, err)
	}
	b.Reset(2)
	if err := p.Score(dst, b); !errors.Is(err, engine.ErrShape) {
		t.Errorf("after Reset: got %v, want ErrShape", err)
	}
}

// E2: the memory of a column that no split reads is not touched.
func TestUnusedColumnsAreNotRead(t *testing.T) {
	p := mustCompile(t, stump(), engine.Options{})
	b := p.NewBlock()
	b.Reset(100)
	shared := make([]float64, 100)
	if err := errors.Join(b.Set(0, engine.Float64s(make([]float64, 100))), b.Set(1, engine.Float64s(shared))); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { // the race detector would see a read
		for i := range shared {
			shared[i] = 1
		}
		close(done)
	}()
	if err := p.Score(make([]float64, 100), b); err != nil {
		t.Fatal(err)
	}
	<-done
}

func TestScoreDoesNotAllocate(t *testing.T) {
	for name, compile := range map[string]enginetest.Compiler{"bits": engine.CompileBits, "deep": engine.CompileDeep} {
		rng := rand.New(rand.NewPCG(1, 1))
		m := enginetest.Model(rng, enginetest.Shape{Trees: 20, Leaves: 100, Features: 10, Outputs: 3})
		p, err := compile(m, engine.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, rows := range []int{1, 63, 700} {
			b := enginetest.Bind(t, p, enginetest.NewTable(rng, m, rows), 0, rows)
			dst := make([]float64, rows*p.Outputs())
			if n := testing.AllocsPerRun(20, func() {
				if p.Score(dst, b) != nil || p.Predict(dst, dst) != nil {
					t.Fatal("score")
				}
			}); n != 0 {
				t.Errorf("%s, %d rows: %v allocations", name, rows, n)
			}
		}
	}
}

func TestBlockReuseDoesNotAllocate(t *testing.T) {
	p := mustCompile(t, stump(), engine.Options{})
	b := p.NewBlock()
	v, valid := make([]float64, 8), []byte{0xff}
	if n := testing.AllocsPerRun(20, func() {
		b.Reset(8)
		if b.Set(0, engine.Float64s(v).WithValidity(valid, 0)) != nil || b.Refusals(nil, 1) != nil {
			t.Fatal("set")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// One program and one block serve many goroutines at a time.
func TestConcurrentScores(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 1))
	m := enginetest.Model(rng, enginetest.Shape{Trees: 20, Leaves: 60, Features: 10, Outputs: 2})
	p := mustCompile(t, m, engine.Options{})
	const rows = 1500
	table := enginetest.NewTable(rng, m, rows)
	want := enginetest.Expect(m, engine.Options{}, table, nil)
	b := enginetest.Bind(t, p, table, 0, rows)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			got := make([]float64, rows*p.Outputs())
			if err := p.ScoreParallel(got, b, 1+i%3); err != nil {
				t.Error(err)
			}
			for j := range got {
				if math.Float64bits(got[j]) != math.Float64bits(want[j]) {
					t.Errorf("goroutine %d: value %d is %v, want %v", i, j, got[j], want[j])
					return
				}
			}
		})
	}
	group.Wait()
}

// LightGBM's average_output divides by the rounds that were used, not by those in the file.
func TestIterationsScaleTheDivisor(t *testing.T) {
	m := stump()
	m.Link.Divisor = 2
	p := mustCompile(t, m, engine.Options{Iterations: 1})
	got := make([]float64, 1)
	if err := p.Predict(got, []float64{3}); err != nil || got[0] != 3 {
		t.Errorf("got %v, %v, want 3", got, err)
	}
}

// An integer goes to float32 in one rounding: by way of float64 it would end on the other side of the threshold.
func TestIntegersAreRoundedOnce(t *testing.T) {
	const tie = 1<<60 + 1<<36 + 1
	m := stump()
	m.Arithmetic.Input = forest.Float32
	m.Trees[0].Nodes[0].Threshold = 1 << 60
	p := mustCompile(t, m, engine.Options{})
	b := p.NewBlock()
	b.Reset(1)
	if err := b.Set(0, engine.Int64s([]int64{tie})); err != nil {
		t.Fatal(err)
	}
	got := make([]float64, 1)
	if err := p.Score(got, b); err != nil || got[0] != 12 {
		t.Errorf("got %v, %v, want 12", got, err)
	}
}

// As many trees as nobody trains: one table of cuts cannot hold their splits.
func TestMillionTrees(t *testing.T) {
	trees := 1_000_000
	if testing.Short() {
		trees = 100_000
	}
	rng := rand.New(rand.NewPCG(5, 5))
	m := &forest.Model{Outputs: 1, Base: []float64{0}, Scale: 1, Link: forest.Link{Slope: 1, Divisor: 1}}
	for f := range 10 {
		m.Features = append(m.Features, forest.Feature{Name: strconv.Itoa(f)})
	}
	for range trees {
		m.Trees = append(m.Trees, forest.Tree{
			Nodes:  []forest.Node{{Feature: int32(rng.IntN(10)), Threshold: rng.NormFloat64(), Left: ^0, Right: ^1}},
			Leaves: []float64{rng.NormFloat64(), rng.NormFloat64()},
		})
	}
	m.Iterations = len(m.Trees)
	p := mustCompile(t, m, engine.Options{})
	for _, rows := range []int{1, 5} {
		table := enginetest.NewTable(rng, m, rows)
		enginetest.Compare(t, p, table, enginetest.Expect(m, engine.Options{}, table, nil), nil, 0, rows, 1)
	}
}
