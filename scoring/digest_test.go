package scoring

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/decimal128"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/treeline-ml/treeline/warehouse"
)

func vectors(t testing.TB, name string) map[string]string {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]string
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// column builds an array of any type from its JSON.
func column(t testing.TB, mem memory.Allocator, dt arrow.DataType, values string) arrow.Array {
	t.Helper()
	a, _, err := array.FromJSON(mem, dt, strings.NewReader(values))
	if err != nil {
		t.Fatalf("%s %s: %v", dt, values, err)
	}
	return a
}

// The digests come from scoring/testdata/output_digest.py, which shares no code with this package.
func TestDigestVectors(t *testing.T) {
	want := vectors(t, "output_digest.json")
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	col := func(dt arrow.DataType, values string) arrow.Array { return column(t, mem, dt, values) }
	ms := arrow.FixedWidthTypes.Timestamp_us
	dec := &arrow.Decimal128Type{Precision: 38, Scale: 2}
	decimals := array.NewDecimal128Builder(mem, dec)
	for _, s := range []string{"-12.34", "99999999999999999999999999999999.99"} {
		n, err := decimal128.FromString(s, 38, 2)
		if err != nil {
			t.Fatal(err)
		}
		decimals.Append(n)
	}
	decimalArray := decimals.NewArray()
	decimals.Release()

	unsigneds := array.NewUint64Builder(mem) // beyond what JSON numbers hold
	unsigneds.AppendValues([]uint64{1<<63 - 1, 1 << 63, 1<<64 - 1}, nil)
	big := unsigneds.NewArray()
	unsigneds.Release()

	for name, tc := range map[string]struct {
		keys   []arrow.Array
		scores []float64
		width  int
		null   []bool
	}{
		"int":      {keys: []arrow.Array{col(arrow.PrimitiveTypes.Int32, `[7]`)}, scores: []float64{.25}},
		"unsigned": {keys: []arrow.Array{big}, scores: []float64{.5, .5, .5}},
		"text":     {keys: []arrow.Array{col(arrow.BinaryTypes.String, `["","a","Ünïcode 🌳",null]`)}, scores: []float64{.1, .2, .3, .4}},
		"binary":   {keys: []arrow.Array{col(arrow.BinaryTypes.Binary, `["AP8="]`)}, scores: []float64{.1}},
		"bool":     {keys: []arrow.Array{col(arrow.FixedWidthTypes.Boolean, `[true,false,null]`)}, scores: []float64{.1, .2, .3}},
		"date":     {keys: []arrow.Array{col(arrow.FixedWidthTypes.Date32, `["1969-12-31","2026-11-02"]`)}, scores: []float64{.1, .2}},
		"timestamp": {
			keys:   []arrow.Array{col(ms, `["1969-12-31 23:59:59.999999","2026-11-02 03:04:05.600007"]`)},
			scores: []float64{.1, .2},
		},
		"decimal": {keys: []arrow.Array{decimalArray}, scores: []float64{.1, .2}},
		"two_keys": {
			keys: []arrow.Array{
				col(arrow.PrimitiveTypes.Int8, `[0,0,0,1,1,1,2,2,2]`),
				col(&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}, `["k0","k1","k2","k0","k1","k2","k0","k1","k2"]`),
			},
			scores: []float64{1, 1.0 / 2, 1.0 / 3, 1.0 / 4, 1.0 / 5, 1.0 / 6, 1.0 / 7, 1.0 / 8, 1.0 / 9},
		},
		"special_scores": {
			keys:   []arrow.Array{col(arrow.PrimitiveTypes.Uint16, `[1,2,3,4]`)},
			scores: []float64{math.NaN(), math.Inf(1), math.Copysign(0, -1), 5e-324},
		},
		"null_scores": {
			keys: []arrow.Array{col(arrow.PrimitiveTypes.Int64, `[1,2]`)}, width: 2,
			scores: []float64{.5, .5, 7, 7}, null: []bool{false, true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var h rowHasher
			if err := h.bind(tc.keys); err != nil {
				t.Fatal(err)
			}
			p := newPart(false)
			p.fill(tc.scores, max(1, tc.width), tc.null, 0.5, &h)
			if got := p.digest.String(); got != want[name] {
				t.Errorf("digest %s, want %s", got, want[name])
			}
		})
		for _, k := range tc.keys {
			k.Release()
		}
	}
}

// Other widths and units of the same values give the same digest.
func TestDigestIgnoresWidths(t *testing.T) {
	want := vectors(t, "output_digest.json")["date"]
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	k := column(t, mem, arrow.FixedWidthTypes.Date64, `["1969-12-31","2026-11-02"]`)
	defer k.Release()
	if got := digestOf(t, []arrow.Array{k}, []float64{.1, .2}); got != want {
		t.Errorf("date64: %s, want %s", got, want)
	}
	ns := column(t, mem, arrow.FixedWidthTypes.Timestamp_ns, `["1969-12-31 23:59:59.999999","2026-11-02 03:04:05.600007"]`)
	defer ns.Release()
	if got := digestOf(t, []arrow.Array{ns}, []float64{.1, .2}); got != vectors(t, "output_digest.json")["timestamp"] {
		t.Errorf("nanoseconds: %s", got)
	}
}

func digestOf(t *testing.T, keys []arrow.Array, scores []float64) string {
	t.Helper()
	var h rowHasher
	if err := h.bind(keys); err != nil {
		t.Fatal(err)
	}
	p := newPart(false)
	p.fill(scores, 1, nil, 0, &h)
	return p.digest.String()
}

func TestDigestIsOrderFreeAndSensitive(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	rng := rand.New(rand.NewPCG(1, 2))
	order := rng.Perm(1000)
	ids, shuffled := make([]int64, 1000), make([]int64, 1000)
	scores, moved := make([]float64, 1000), make([]float64, 1000)
	for i := range ids {
		ids[i], scores[i] = int64(i), rng.Float64()
	}
	for to, from := range order {
		shuffled[to], moved[to] = ids[from], scores[from]
	}
	build := func(v []int64) arrow.Array {
		b := array.NewInt64Builder(mem)
		defer b.Release()
		b.AppendValues(v, nil)
		return b.NewArray()
	}
	a, b := build(ids), build(shuffled)
	defer a.Release()
	defer b.Release()
	base := digestOf(t, []arrow.Array{a}, scores)
	if got := digestOf(t, []arrow.Array{b}, moved); got != base {
		t.Errorf("other order: %s, want %s", got, base)
	}
	if got := digestOf(t, []arrow.Array{b}, scores); got == base {
		t.Error("scores given to other keys have the same digest")
	}
	scores[500] = math.Nextafter(scores[500], 2)
	if got := digestOf(t, []arrow.Array{a}, scores); got == base {
		t.Error("one ulp in one score does not change the digest")
	}
}

// Rows that are hashed sixteen at a time and rows that are too long for that have one definition.
func TestDigestOfShortAndLongRows(t *testing.T) {
	for name, long := range map[string]func(row int) bool{
		"short": func(int) bool { return false }, "long": func(int) bool { return true }, "the last": func(row int) bool { return row == 36 },
		"in the middle": func(row int) bool { return row == 20 }, "at the limit": func(row int) bool { return row%16 == 15 },
	} {
		b := array.NewStringBuilder(memory.DefaultAllocator)
		scores, null := make([]float64, 37), make([]bool, 37)
		for r := range scores {
			scores[r], null[r] = float64(r)/7, r%9 == 4
			n := r
			if long(r) {
				n = 41 + r // 41 is what a message of one block has room for
			}
			b.Append(strings.Repeat("k", n))
		}
		keys := []arrow.Array{b.NewArray()}
		var h, each rowHasher
		if err := errors.Join(h.bind(keys), each.bind(keys)); err != nil {
			t.Fatal(err)
		}
		var want digest
		for r := range scores {
			values := scores[r : r+1]
			if null[r] {
				values = nil
			}
			want.merge(each.row(r, values, 1))
		}
		for range 2 { // the second piece of a worker that knows how long its rows are
			if got := h.rows(scores, 1, null); got != want {
				t.Errorf("%s: %s, want %s", name, got, want)
			}
		}
	}
}

func TestDigestRefusesNestedKeys(t *testing.T) {
	k := column(t, memory.DefaultAllocator, arrow.ListOf(arrow.PrimitiveTypes.Int8), `[[1]]`)
	defer k.Release()
	var h rowHasher
	if err := h.bind([]arrow.Array{k}); err == nil {
		t.Error("a list was taken as key")
	}
}

func TestBatchIDVectors(t *testing.T) {
	want := vectors(t, "batch_id.json")
	churn := ModelConfig{Key: "churn", Keys: []string{"account_id"}, DateColumn: "compute_date", Threshold: 0.5}
	out := warehouse.Output{Table: warehouse.TableName{Catalog: "uat", Schema: "predictions", Table: "churn_scores"}}
	config := scoringDigest(churn, out, RowsFail, code{})
	model := "sha256:" + strings.Repeat("ab", 32)
	for name, got := range map[string]string{
		"config": config,
		"config_null_keys": scoringDigest(ModelConfig{Key: "churn", Keys: []string{"id", "tägliche_id"}, Threshold: 0.2},
			warehouse.Output{Table: warehouse.TableName{Catalog: "a", Schema: "b", Table: "c"}}, RowsNull, code{}),
		"config_class": scoringDigest(churn, out, RowsFail, code{"hooks.Calibrate", "sha256:" + strings.Repeat("cd", 32)}),
		"id":           string(batchID("churn", model, config, "uat.features.churn_features", "v1", "2026-11-02")),
		"id_no_date":   string(batchID("churn", model, config, "uat.features.churn_features", "v1", "")),
		"id_unicode":   string(batchID("churn", model, config, "upload:Kündigungen, 5:x.csv", "v1", "")),
	} {
		if got != want[name] {
			t.Errorf("%s: %s, want %s", name, got, want[name])
		}
	}
}
