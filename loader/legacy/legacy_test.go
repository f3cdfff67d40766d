package legacy_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/dmitryikh/leaves"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/engine/enginetest"
	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/internal/testmodels"
	"github.com/treeline-ml/treeline/loader"
	"github.com/treeline-ml/treeline/loader/legacy"
)

// The places in a binary file that tests change, with the magic in front.
const (
	atBase    = 4
	atVersion = 4 + 5*4
	atName    = 4 + 136
)

func readCase(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "internal", "testmodels", "corpus", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func decode(t *testing.T, b []byte) *forest.Model {
	t.Helper()
	m, err := legacy.Decode(bytes.NewReader(b), loader.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// modelParam returns where GBTreeModelParam begins: after the two names.
func modelParam(b []byte) int {
	at := atName
	for range 2 {
		at += 8 + int(binary.LittleEndian.Uint64(b[at:]))
	}
	return at
}

// forLeaves rewrites a file of XGBoost 1.7 so that leaves reads it: no magic, which it takes for the base score; the
// base score as the margin, which it adds as it stands; and the number of outputs and of roots, which 1.7 no longer
// writes where leaves looks.
func forLeaves(b []byte, m *forest.Model) []byte {
	out := bytes.Clone(b)
	binary.LittleEndian.PutUint32(out[atBase:], math.Float32bits(float32(m.Base[0])))
	at := modelParam(out)
	binary.LittleEndian.PutUint32(out[at+4:], 1)
	binary.LittleEndian.PutUint32(out[at+6*4:], uint32(m.Outputs))
	return out[4:]
}

// TestLeaves compares with an independent reader of the same bytes. leaves compares in float64, takes equality to the
// left and sums in float64, so rows with a value at a threshold are left out and margins may differ by rounding.
func TestLeaves(t *testing.T) {
	cases, err := testmodels.Cases()
	if err != nil {
		t.Fatal(err)
	}
	compared, refused := 0, map[string]string{}
	for _, c := range cases {
		file := filepath.Join(c.Dir, "model.bin")
		b, err := os.ReadFile(file)
		if err != nil || c.Refused != "" {
			continue
		}
		m := decode(t, b)
		other, err := leaves.XGEnsembleFromReader(bufio.NewReader(bytes.NewReader(forLeaves(b, m))), false)
		if err != nil {
			refused[strings.TrimPrefix(c.Name, "xgboost-1.7.6/")] = err.Error()
			continue
		}
		rows, err := c.Rows()
		if err != nil {
			t.Fatal(err)
		}
		compared += compareLeaves(t, c.Name, m, other, rows)
	}
	if compared < 3000 {
		t.Errorf("only %d margins were compared", compared)
	}
	// What leaves cannot read at all.
	for name, reason := range map[string]string{"forest-softprob": "TreeInfo expected"} {
		if !strings.Contains(refused[name], reason) {
			t.Errorf("leaves on %s: %q, docs/design/0003-legacy-xgboost-binary.md says %q", name, refused[name], reason)
		}
	}
	t.Logf("%d margins compared; leaves refused %v", compared, refused)
}

// compareLeaves returns the number of margins compared.
func compareLeaves(t *testing.T, name string, m *forest.Model, other *leaves.Ensemble, rows *testmodels.Rows) int {
	t.Helper()
	compared := 0
	single := make([]float64, len(m.Features))
	got := make([]float64, m.Outputs)
	for r := range rows.Len {
		row := make([]enginetest.Value, len(m.Features))
		for i := range row {
			single[i] = float64(float32(rows.Features[i].Numbers[r]))
			row[i] = enginetest.Value{Kind: enginetest.Float, F: single[i]}
		}
		if onThreshold(m, single) {
			continue
		}
		if err := other.Predict(single, 0, got); err != nil {
			t.Fatal(err)
		}
		for k, want := range enginetest.Margins(m, engine.Options{}, row, nil) {
			compared++
			if math.Abs(got[k]-want) > 1e-5*(1+math.Abs(want)) {
				t.Fatalf("%s: row %d: leaves gives %v for output %d, we %v", name, r, got[k], k, want)
			}
		}
	}
	return compared
}

func onThreshold(m *forest.Model, row []float64) bool {
	for i := range m.Trees {
		for _, n := range m.Trees[i].Nodes {
			if row[n.Feature] == n.Threshold {
				return true
			}
		}
	}
	return false
}

// TestLeavesAtEquality holds the reason why leaves does not score here: the library sends a value that equals the
// threshold to the right, leaves to the left.
func TestLeavesAtEquality(t *testing.T) {
	b := readCase(t, "xgboost-1.7.6/squarederror/model.bin")
	m := decode(t, b)
	other, err := leaves.XGEnsembleFromReader(bufio.NewReader(bytes.NewReader(forLeaves(b, m))), false)
	if err != nil {
		t.Fatal(err)
	}
	root := m.Trees[0].Nodes[0]
	row := make([]float64, len(m.Features))
	row[root.Feature] = root.Threshold
	cells := make([]enginetest.Value, len(row))
	for i := range cells {
		cells[i] = enginetest.Value{Kind: enginetest.Float, F: row[i]}
	}
	got := make([]float64, 1)
	if err := other.Predict(row, 1, got); err != nil {
		t.Fatal(err)
	}
	want := enginetest.Margins(m, engine.Options{Iterations: 1}, cells, nil)
	if math.Abs(got[0]-want[0]) < 1e-5 {
		t.Errorf("leaves agrees at equality (%v): docs/design/0003-legacy-xgboost-binary.md no longer holds", got[0])
	}
}

// TestWithoutMagic: files of before 1.2 have no "binf".
func TestWithoutMagic(t *testing.T) {
	b := readCase(t, "xgboost-1.7.6/logistic/model.bin")
	want := decode(t, b)
	if !legacy.Sniff(b) || !legacy.Sniff(b[4:]) {
		t.Error("the format is not recognised")
	}
	if got := decode(t, b[4:]); len(got.Trees) != len(want.Trees) || got.Base[0] != want.Base[0] {
		t.Errorf("%d trees from %v, want %d from %v", len(got.Trees), got.Base, len(want.Trees), want.Base)
	}
	for _, text := range []string{"tree\nversion=v4\n" + strings.Repeat(" ", 200), strings.Repeat("\x00", 200), `{"learner":`} {
		if legacy.Sniff([]byte(text)) {
			t.Errorf("%.20q is taken for the binary format", text)
		}
	}
}

// TestBeforeVersion1: version 0 files hold the base score as a margin, which later libraries turn into a prediction and
// back, so it is the margin of that prediction, in float32.
func TestBeforeVersion1(t *testing.T) {
	for _, c := range []struct {
		name         string
		margin, base float32
	}{
		{"logistic", 0, 0},
		{"squarederror", 0.25, 0.25},
		{"softprob", 0.5, 0.5},
		{"poisson", 0, 0},
	} {
		b := readCase(t, "xgboost-1.7.6/"+c.name+"/model.bin")
		binary.LittleEndian.PutUint32(b[atBase:], math.Float32bits(c.margin))
		binary.LittleEndian.PutUint64(b[atVersion:], 0)
		m := decode(t, b[4:])
		if got := float32(m.Base[0]); got != c.base || m.Provenance.Version != "before 1.0" {
			t.Errorf("%s: base %v of %s, want %v", c.name, got, m.Provenance.Version, c.base)
		}
	}
}

// TestFacts: what the file states beside the trees.
func TestFacts(t *testing.T) {
	m := decode(t, readCase(t, "xgboost-1.7.6/forest/model.bin"))
	want := forest.Provenance{
		Format: "xgboost-binary", Library: "xgboost", Version: "1.7", Objective: "binary:logistic",
	}
	if !reflect.DeepEqual(m.Provenance, want) {
		t.Errorf("provenance %+v, want %+v", m.Provenance, want)
	}
	if m.Iterations != 1 || len(m.Trees) != 8 {
		t.Errorf("%d iterations with %d trees, want 1 with 8", m.Iterations, len(m.Trees))
	}
	for i, f := range m.Features {
		if f.Name != "f"+string(rune('0'+i)) || !f.RejectInfinite || f.Kind != forest.Numeric {
			t.Errorf("feature %d is %+v", i, f)
		}
	}
	root := &m.Trees[0]
	if root.NodeCover == nil || root.LeafCover == nil || root.Gain == nil || !(root.NodeCover[0] > root.LeafCover[0]) {
		t.Error("the statistics are missing")
	}
}
