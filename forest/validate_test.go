package forest_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/treeline-ml/treeline/forest"
)

// model is a valid model that uses every kind of split.
func model() *forest.Model {
	return &forest.Model{
		Features:   []forest.Feature{{Name: "a"}, {Name: "b", Kind: forest.Categorical}},
		Outputs:    2,
		Base:       []float64{0, 0},
		Scale:      1,
		Sets:       []forest.CategorySet{{5}, {1, 2}},
		Link:       forest.Link{Slope: 1, Divisor: 1},
		Iterations: 1,
		Trees: []forest.Tree{
			{
				Output: 1,
				Nodes: []forest.Node{
					{Threshold: 1, Left: 1, Right: 2},
					{Op: forest.InSet, Feature: 1, Set: 1, Left: ^0, Right: 3},
					{Op: forest.Less, Threshold: math.Inf(1), Left: ^1, Right: ^2},
					{Op: forest.NotInSet, Feature: 1, Left: ^3, Right: ^4},
				},
				Leaves: []float64{1, 2, 3, 4, 5},
			},
			{Leaves: []float64{7}},
			{Vector: true, Nodes: []forest.Node{{Threshold: 0.5, Left: ^1, Right: ^0}}, Leaves: []float64{1, 2, 3, 4}},
		},
	}
}

func TestValidateAccepts(t *testing.T) {
	if err := model().Validate(); err != nil {
		t.Fatal(err)
	}
	if err := (&forest.Model{Outputs: 1, Base: []float64{0}, Scale: 1, Link: forest.Link{Slope: 1, Divisor: 1}}).Validate(); err != nil {
		t.Fatalf("no features and no trees: %v", err)
	}
}

func TestValidateRejects(t *testing.T) {
	for name, c := range map[string]struct {
		change     func(m *forest.Model)
		tree, node int
		problem    string
	}{
		"child out of range":   {func(m *forest.Model) { m.Trees[0].Nodes[0].Right = 4 }, 0, 0, "child 4 of 4"},
		"leaf out of range":    {func(m *forest.Model) { m.Trees[0].Nodes[3].Right = ^5 }, 0, 3, "leaf 5 of 5"},
		"most negative leaf":   {func(m *forest.Model) { m.Trees[0].Nodes[3].Right = math.MinInt32 }, 0, 3, "leaf 2147483647"},
		"cycle":                {func(m *forest.Model) { m.Trees[0].Nodes[1].Right = 1 }, 0, 1, "does not come after"},
		"back to the root":     {func(m *forest.Model) { m.Trees[0].Nodes[2].Left = 0 }, 0, 2, "does not come after"},
		"two parents":          {func(m *forest.Model) { m.Trees[0].Nodes[0].Left = 2 }, 0, 0, "child 2 has two parents"},
		"leaf twice":           {func(m *forest.Model) { m.Trees[0].Nodes[3].Left = ^4 }, 0, 3, "leaf 4 has two parents"},
		"unreachable":          {func(m *forest.Model) { m.Trees[0].Nodes[1].Right = ^3 }, 0, 3, "not reachable"},
		"NaN threshold":        {func(m *forest.Model) { m.Trees[0].Nodes[0].Threshold = math.NaN() }, 0, 0, "NaN"},
		"feature":              {func(m *forest.Model) { m.Trees[0].Nodes[2].Feature = 2 }, 0, 2, "feature 2 of 2"},
		"negative feature":     {func(m *forest.Model) { m.Trees[0].Nodes[2].Feature = -1 }, 0, 2, "feature -1"},
		"set":                  {func(m *forest.Model) { m.Trees[0].Nodes[1].Set = 2 }, 0, 1, "set 2 of 2"},
		"operator":             {func(m *forest.Model) { m.Trees[0].Nodes[1].Op = 9 }, 0, 1, "operator 9"},
		"zero rule":            {func(m *forest.Model) { m.Trees[0].Nodes[0].Zero = 9 }, 0, 0, "zero rule"},
		"output":               {func(m *forest.Model) { m.Trees[0].Output = 2 }, 0, -1, "output 2 of 2"},
		"leaf count":           {func(m *forest.Model) { m.Trees[1].Leaves = nil }, 1, -1, "0 leaf values"},
		"vector leaf count":    {func(m *forest.Model) { m.Trees[2].Leaves = make([]float64, 3) }, 2, -1, "3 leaf values"},
		"empty vector leaf":    {func(m *forest.Model) { m.Trees[2].Leaves = nil }, 2, -1, "0 leaf values"},
		"infinite leaf":        {func(m *forest.Model) { m.Trees[1].Leaves[0] = math.Inf(1) }, 1, -1, "not finite"},
		"NaN leaf":             {func(m *forest.Model) { m.Trees[1].Leaves[0] = math.NaN() }, 1, -1, "not finite"},
		"leaf names":           {func(m *forest.Model) { m.Trees[0].LeafNames = make([]int32, 1) }, 0, -1, "statistics"},
		"statistics":           {func(m *forest.Model) { m.Trees[0].Gain = make([]float64, 1) }, 0, -1, "statistics"},
		"float32 threshold":    {func(m *forest.Model) { m.Arithmetic.Input = forest.Float32; m.Trees[0].Nodes[0].Threshold = 0.1 }, 0, 0, "not a float32"},
		"outputs":              {func(m *forest.Model) { m.Outputs = 0 }, -1, -1, "0 outputs"},
		"base":                 {func(m *forest.Model) { m.Base = nil }, -1, -1, "0 base values"},
		"bias":                 {func(m *forest.Model) { m.Bias = []float64{1} }, -1, -1, "1 bias values"},
		"NaN base":             {func(m *forest.Model) { m.Base[1] = math.NaN() }, -1, -1, "not finite"},
		"scale":                {func(m *forest.Model) { m.Scale = 0 }, -1, -1, "scale"},
		"divisor":              {func(m *forest.Model) { m.Link.Divisor = 0 }, -1, -1, "divisor"},
		"slope":                {func(m *forest.Model) { m.Link.Slope = math.NaN() }, -1, -1, "slope"},
		"link":                 {func(m *forest.Model) { m.Link.Kind = 99 }, -1, -1, "unknown link"},
		"iterations":           {func(m *forest.Model) { m.Iterations = -1 }, -1, -1, "iterations"},
		"arithmetic":           {func(m *forest.Model) { m.Arithmetic.Sum = 7 }, -1, -1, "arithmetic"},
		"feature kind":         {func(m *forest.Model) { m.Features[0].Kind = 7 }, -1, -1, "feature 0"},
		"base of another size": {func(m *forest.Model) { m.Outputs = 3 }, -1, -1, "2 base values for 3"},
	} {
		t.Run(name, func(t *testing.T) {
			m := model()
			c.change(m)
			err := m.Validate()
			var e *forest.Error
			if !errors.As(err, &e) || !errors.Is(err, forest.ErrInvalid) {
				t.Fatalf("got %v, want a *forest.Error", err)
			}
			if e.Tree != c.tree || e.Node != c.node || !strings.Contains(e.Problem, c.problem) {
				t.Errorf("got %v, want tree %d, node %d, %q", err, c.tree, c.node, c.problem)
			}
		})
	}
}

func TestValidateAllowsDeclaredNonFiniteLeaves(t *testing.T) {
	m := model()
	m.NonFiniteLeaves = true
	m.Trees[1].Leaves[0] = math.Inf(1)
	if err := m.Validate(); err != nil {
		t.Fatal(err)
	}
}

// A chain is the deepest tree of its size: it must neither overflow a stack nor take quadratic time.
func TestValidateDepth(t *testing.T) {
	for _, n := range []int{forest.MaxDepth, forest.MaxDepth + 1, 1 << 20} {
		m := model()
		nodes := make([]forest.Node, n)
		for i := range nodes {
			nodes[i] = forest.Node{Left: int32(i + 1), Right: ^int32(i)}
		}
		nodes[n-1].Left = ^int32(n)
		m.Trees = []forest.Tree{{Nodes: nodes, Leaves: make([]float64, n+1)}}
		err := m.Validate()
		if n <= forest.MaxDepth && err != nil {
			t.Errorf("%d splits deep: %v", n, err)
		}
		if n > forest.MaxDepth && (err == nil || !strings.Contains(err.Error(), "deeper")) {
			t.Errorf("%d splits deep: got %v", n, err)
		}
	}
}

// TestValidateMutations changes random fields: Validate rejects the model, or every walk through it ends at a leaf that
// exists after no more steps than there are nodes, and reads only features and sets that exist.
func TestValidateMutations(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	accepted := 0
	for range 20000 {
		m := model()
		tree := &m.Trees[rng.IntN(3)]
		for range 1 + rng.IntN(3) {
			if len(tree.Nodes) == 0 {
				break
			}
			n := &tree.Nodes[rng.IntN(len(tree.Nodes))]
			v := int32(rng.IntN(14) - 7)
			switch rng.IntN(5) {
			case 0:
				n.Left = v
			case 1:
				n.Right = v
			case 2:
				n.Feature = v
			case 3:
				n.Set = v
			default:
				n.Left, n.Right = n.Right, n.Left
			}
		}
		if m.Validate() != nil {
			continue
		}
		accepted++
		for _, tree := range m.Trees {
			for range 20 {
				at, steps := int32(0), 0
				if len(tree.Nodes) == 0 {
					at = ^0
				}
				for at >= 0 {
					n := tree.Nodes[at]
					_ = m.Features[n.Feature]
					if n.Op >= forest.InSet {
						_ = m.Sets[n.Set]
					}
					if at = n.Left; rng.IntN(2) == 1 {
						at = n.Right
					}
					if steps++; steps > len(tree.Nodes) {
						t.Fatal("a walk does not end")
					}
				}
				if int(^at) >= tree.NumLeaves() {
					t.Fatalf("leaf %d of %d", ^at, tree.NumLeaves())
				}
			}
		}
	}
	if accepted < 100 {
		t.Errorf("only %d mutants were accepted: the test shows little", accepted)
	}
}

func TestStop(t *testing.T) {
	m := &forest.Model{
		Outputs: 1, Base: []float64{0}, Scale: 1, Iterations: 3, Link: forest.Link{Kind: forest.Probability, Slope: 1, Divisor: 1},
	}
	for stop, valid := range map[int]bool{0: true, 3: true, 4: false, -1: false} {
		m.Stop = stop
		if err := m.Validate(); (err == nil) != valid {
			t.Errorf("stop %d of 3: %v", stop, err)
		}
	}
}

func TestTaskOfProbabilities(t *testing.T) {
	m := &forest.Model{Outputs: 1, Link: forest.Link{Kind: forest.Probability}}
	if got := m.Task(); got != forest.Binary {
		t.Errorf("one output is task %d", got)
	}
	m.Outputs = 3
	if got := m.Task(); got != forest.Multiclass {
		t.Errorf("three outputs are task %d", got)
	}
}
