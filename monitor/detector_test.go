package monitor

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/decimal128"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/apache/arrow/go/v17/arrow/memory"
)

// python is the project's Python: TREELINE_PYTHON, or .venv in the repository.
func python(t *testing.T) (command, repository string) {
	t.Helper()
	repository, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	command = os.Getenv("TREELINE_PYTHON")
	if command == "" {
		command = filepath.Join(repository, ".venv", "bin", "python")
	}
	if _, err := os.Stat(command); err != nil {
		t.Fatalf("the project's Python is needed (tools/python/env.sh makes it): %v", err)
	}
	return command, repository
}

// kinds of columns that a frame may have; each makes n values, shifted when it drifts.
var kinds = map[string]func(b *builder, n int, drifts bool){
	"normal": func(b *builder, n int, drifts bool) {
		b.floats(n, func() (float64, bool) { return b.rng.NormFloat64() + shift(drifts, 0.4), true })
	},
	"nulls": func(b *builder, n int, drifts bool) {
		b.floats(n, func() (float64, bool) { return b.rng.NormFloat64(), b.rng.Float64() > shift(drifts, 0.4) })
	},
	"nan": func(b *builder, n int, drifts bool) {
		b.floats(n, func() (float64, bool) {
			if b.rng.IntN(5) == 0 {
				return math.NaN(), true
			}
			return b.rng.Float64() + shift(drifts, 0.2), b.rng.IntN(7) > 0
		})
	},
	"infinite": func(b *builder, n int, drifts bool) {
		b.floats(n, func() (float64, bool) {
			switch b.rng.IntN(6) {
			case 0:
				return math.Inf(1), true
			case 1:
				return math.Inf(-1), true
			case 2:
				return math.Copysign(0, -1), true
			case 3:
				return 0, true
			}
			return b.rng.NormFloat64() + shift(drifts, 1), true
		})
	},
	"constant": func(b *builder, n int, drifts bool) {
		b.floats(n, func() (float64, bool) { return 7 + shift(drifts, 1), true })
	},
	"empty": func(b *builder, n int, drifts bool) {
		b.floats(n, func() (float64, bool) { return 1, drifts && b.rng.IntN(2) == 0 })
	},
	"integer": func(b *builder, n int, drifts bool) {
		i := array.NewInt32Builder(b.mem)
		for range n {
			i.Append(int32(b.rng.IntN(10) + int(shift(drifts, 2))))
		}
		b.add(i.NewArray())
	},
	"unsigned": func(b *builder, n int, _ bool) {
		i := array.NewUint64Builder(b.mem)
		for range n {
			i.Append(b.rng.Uint64())
		}
		b.add(i.NewArray())
	},
	"single": func(b *builder, n int, drifts bool) {
		i := array.NewFloat32Builder(b.mem)
		for range n {
			i.Append(float32(b.rng.NormFloat64() * (1 + shift(drifts, 1))))
		}
		b.add(i.NewArray())
	},
	"decimal": func(b *builder, n int, drifts bool) {
		i := array.NewDecimal128Builder(b.mem, &arrow.Decimal128Type{Precision: 12, Scale: 2})
		for range n {
			i.Append(decimal128.FromI64(int64(b.rng.IntN(1000)) + int64(shift(drifts, 100))))
		}
		b.add(i.NewArray())
	},
	"boolean": func(b *builder, n int, drifts bool) {
		i := array.NewBooleanBuilder(b.mem)
		for range n {
			if b.rng.IntN(20) == 0 {
				i.AppendNull()
			} else {
				i.Append(b.rng.Float64() < 0.5+shift(drifts, 0.2))
			}
		}
		b.add(i.NewArray())
	},
	"text": func(b *builder, n int, drifts bool) {
		i := array.NewStringBuilder(b.mem)
		for range n {
			v := fmt.Sprintf("c%d", b.rng.IntN(6)+int(shift(drifts, 2)))
			switch b.rng.IntN(30) {
			case 0:
				i.AppendNull()
			case 1:
				i.Append("")
			default:
				i.Append(v)
			}
		}
		b.add(i.NewArray())
	},
	"dictionary": func(b *builder, n int, drifts bool) {
		i := array.NewDictionaryBuilder(b.mem, &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int16, ValueType: arrow.BinaryTypes.String}).(*array.BinaryDictionaryBuilder)
		for range n {
			if b.rng.IntN(9) == 0 {
				i.AppendNull()
			} else if err := i.AppendString(fmt.Sprint("ä", b.rng.IntN(4)+int(shift(drifts, 3)))); err != nil {
				panic(err)
			}
		}
		b.add(i.NewArray())
	},
	"codes": func(b *builder, n int, drifts bool) {
		i := array.NewDictionaryBuilder(b.mem, &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.PrimitiveTypes.Int64}).(*array.Int64DictionaryBuilder)
		for range n {
			if err := i.Append(int64(b.rng.IntN(5)) + int64(shift(drifts, 1))); err != nil {
				panic(err)
			}
		}
		b.add(i.NewArray())
	},
	"nothing": func(b *builder, n int, _ bool) { b.add(array.NewNull(n)) },
	"nothing now": func(b *builder, n int, drifts bool) {
		if drifts {
			b.add(array.NewNull(n))
			return
		}
		b.floats(n, func() (float64, bool) { return b.rng.Float64(), true })
	},
	"other kind": func(b *builder, n int, drifts bool) {
		i := array.NewStringBuilder(b.mem)
		f := array.NewFloat64Builder(b.mem)
		for k := range n {
			i.Append("x")
			f.Append(float64(k))
		}
		if drifts {
			b.add(i.NewArray())
		} else {
			b.add(f.NewArray())
		}
	},
	"date": func(b *builder, n int, _ bool) {
		i := array.NewDate32Builder(b.mem)
		for range n {
			i.Append(1)
		}
		b.add(i.NewArray())
	},
}

func shift(drifts bool, by float64) float64 {
	if drifts {
		return by
	}
	return 0
}

type builder struct {
	rng     *rand.Rand
	mem     memory.Allocator
	columns []arrow.Array
}

func (b *builder) add(a arrow.Array) { b.columns = append(b.columns, a) }

func (b *builder) floats(n int, next func() (float64, bool)) {
	f := array.NewFloat64Builder(b.mem)
	for range n {
		if v, ok := next(); ok {
			f.Append(v)
		} else {
			f.AppendNull()
		}
	}
	b.add(f.NewArray())
}

// frame makes n rows of the named kinds; lacking drops the last column.
func frame(rng *rand.Rand, names []string, n int, drifts []bool) arrow.Record {
	b := &builder{rng: rng, mem: memory.NewGoAllocator()}
	var fields []arrow.Field
	for i, name := range names {
		kinds[name](b, n, drifts != nil && drifts[i])
		fields = append(fields, arrow.Field{Name: name, Type: b.columns[i].DataType(), Nullable: true})
	}
	return array.NewRecord(arrow.NewSchema(fields, nil), b.columns, int64(n))
}

func write(t *testing.T, path string, rec arrow.Record) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w, err := ipc.NewFileWriter(f, ipc.WithSchema(rec.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Write(rec), w.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// pair is one case of the comparison with Python.
type pair struct{ ref, cur []arrow.Record }

func randomPairs(t *testing.T) map[string]pair {
	t.Helper()
	var good []string
	for name := range kinds {
		if name != "date" && name != "other kind" {
			good = append(good, name)
		}
	}
	slices.Sort(good)
	sizes := []int{1, 2, 3, 7, 40, 139, 300, 900}
	out := map[string]pair{}
	for i := range 240 {
		rng := rand.New(rand.NewPCG(uint64(i), 77))
		names := slices.Clone(good)
		rng.Shuffle(len(names), func(a, b int) { names[a], names[b] = names[b], names[a] })
		names = names[:1+rng.IntN(6)]
		drifts := make([]bool, len(names))
		for k := range drifts {
			drifts[k] = rng.IntN(2) == 0
		}
		n, m := sizes[rng.IntN(len(sizes))], sizes[rng.IntN(len(sizes))]
		switch i % 40 {
		case 37:
			names = append(names, "other kind")
			drifts = append(drifts, true)
		case 38:
			names = append(names, "date")
			drifts = append(drifts, false)
		case 39:
			m = 0
		}
		ref, cur := frame(rng, names, n, nil), frame(rng, names, m, drifts)
		if i%40 == 36 && len(names) > 1 { // a column that is gone
			cur = array.NewRecord(arrow.NewSchema(cur.Schema().Fields()[1:], nil), cur.Columns()[1:], cur.NumRows())
		}
		out[fmt.Sprintf("%03d", i)] = pair{[]arrow.Record{ref}, []arrow.Record{cur}}
	}
	return out
}

// TestDetectorAgreesWithPython: equal verdicts, and figures as close as docs/format/drift.md says, on 240 random pairs.
func TestDetectorAgreesWithPython(t *testing.T) {
	command, repository := python(t)
	dir := t.TempDir()
	pairs := randomPairs(t)
	for name, p := range pairs {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name, "reference.arrow"), p.ref[0])
		write(t, filepath.Join(dir, name, "current.arrow"), p.cur[0])
	}
	cmd := exec.CommandContext(t.Context(), command, filepath.Join("testdata", "drift.py"), dir)
	cmd.Env = append(os.Environ(), "PYTHONPATH="+filepath.Join(repository, "python"), "PYTHONDONTWRITEBYTECODE=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b, err := os.ReadFile(filepath.Join(dir, "results.json"))
	if err != nil {
		t.Fatal(err)
	}
	var theirs map[string]struct {
		DriftResult

		Error string `json:"error"`
	}
	if err := json.Unmarshal(b, &theirs); err != nil {
		t.Fatal(err)
	}
	tested, drifted, refused := 0, 0, 0
	for name, p := range pairs {
		want, ok := theirs[name]
		if !ok {
			t.Fatalf("case %s is missing", name)
		}
		got, err := DriftDetector{}.Detect(p.ref, p.cur)
		if (err != nil) != (want.Error != "") {
			t.Errorf("case %s: error %v, Python %q", name, err, want.Error)
		}
		if err != nil {
			refused++
			if !errors.Is(err, ErrInput) {
				t.Errorf("case %s: %v", name, err)
			}
			continue
		}
		if got.OverallDrift != want.OverallDrift || !slices.Equal(got.Drifted, want.Drifted) || len(got.Features) != len(want.Features) ||
			got.ReferenceRows != want.ReferenceRows || got.CurrentRows != want.CurrentRows {
			t.Errorf("case %s: %+v, Python %+v", name, got, want)
			continue
		}
		for i, f := range got.Features {
			w := want.Features[i]
			tested++
			if f.Drift {
				drifted++
			}
			d, p := 1e-15, 1e-9
			if f.Test == TestChiSquare {
				d = 1e-12 * max(1, w.Statistic)
			}
			if f.Feature != w.Feature || f.Test != w.Test || f.Drift != w.Drift || math.Abs(f.Statistic-w.Statistic) > d ||
				math.Abs(f.PValue-w.PValue) > max(p*w.PValue, 1e-300) || math.Abs(f.ReferenceNullRate-w.ReferenceNullRate) > 1e-12 ||
				math.Abs(f.CurrentNullRate-w.CurrentNullRate) > 1e-12 || f.Reason == "" {
				t.Errorf("case %s: %+v, Python %+v", name, f, w)
			}
		}
	}
	if tested < 400 || drifted < 50 || drifted > tested-50 || refused < 15 {
		t.Errorf("%d features tested, %d drift, %d pairs refused: the cases show little", tested, drifted, refused)
	}
}

func TestDetectorRefusals(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	ok := []arrow.Record{frame(rng, []string{"normal", "text"}, 30, nil)}
	for name, c := range map[string]struct {
		d        DriftDetector
		ref, cur []arrow.Record
		columns  []string
		text     string
	}{
		"threshold":  {DriftDetector{PThreshold: 1}, ok, ok, nil, "p_threshold is 1"},
		"no rows":    {DriftDetector{}, ok, nil, nil, "0 current rows"},
		"not there":  {DriftDetector{}, ok, ok, []string{"a", "normal", "b"}, `"a", "b"`},
		"other kind": {DriftDetector{}, ok, []arrow.Record{renamed(ok[0])}, nil, `column "normal" is float64 in the reference and utf8`},
	} {
		if _, err := c.d.Detect(c.ref, c.cur, c.columns...); !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Several records of a side are its rows one after the other.
	whole, err := DriftDetector{}.Detect(ok, ok)
	if err != nil {
		t.Fatal(err)
	}
	parts := []arrow.Record{ok[0].NewSlice(0, 11), ok[0].NewSlice(11, 30)}
	if cut, err := (DriftDetector{}).Detect(ok, parts); err != nil || fmt.Sprint(cut) != fmt.Sprint(whole) {
		t.Errorf("%+v, %v", cut, err)
	}
}

// renamed swaps the names of two columns.
func renamed(rec arrow.Record) arrow.Record {
	f := rec.Schema().Fields()
	f[0].Name, f[1].Name = f[1].Name, f[0].Name
	return array.NewRecord(arrow.NewSchema(f, nil), rec.Columns(), rec.NumRows())
}
