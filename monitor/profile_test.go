package monitor

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// numbers makes a record of one column x; NaN is null where i%2 is 0.
func numbers(values []float64) arrow.Record {
	b := array.NewFloat64Builder(memory.NewGoAllocator())
	for i, v := range values {
		if math.IsNaN(v) && i%2 == 0 {
			b.AppendNull()
		} else {
			b.Append(v)
		}
	}
	return array.NewRecord(arrow.NewSchema([]arrow.Field{{Name: "x", Type: arrow.PrimitiveTypes.Float64, Nullable: true}}, nil),
		[]arrow.Array{b.NewArray()}, int64(len(values)))
}

func texts(values []string) arrow.Record {
	b := array.NewStringBuilder(memory.NewGoAllocator())
	b.AppendValues(values, nil)
	return array.NewRecord(arrow.NewSchema([]arrow.Field{{Name: "c", Type: arrow.BinaryTypes.String}}, nil),
		[]arrow.Array{b.NewArray()}, int64(len(values)))
}

func profileOf(t *testing.T, bins *Bins, recs ...arrow.Record) Profile {
	t.Helper()
	var columns []string
	for _, f := range recs[0].Schema().Fields() {
		columns = append(columns, f.Name)
	}
	p, err := NewProfiler(FieldsOf(recs[0].Schema(), columns, nil), bins)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range recs {
		if err := p.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	return p.Profile()
}

func encoded(t *testing.T, p Profile) []byte {
	t.Helper()
	b, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestProfileByHand(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	p := profileOf(t, nil, numbers([]float64{1, 2, 3, 4, nan, nan, inf, -inf, -inf, math.Copysign(0, -1)}))
	f := p.Features[0]
	if p.Rows != 10 || p.Seen != 10 || p.Binned != 10 || f.Count != 10 || f.Nulls != 2 || f.Mean != 2 || f.Min != 0 || f.Max != 4 ||
		math.Abs(f.SD-math.Sqrt(2.5)) > 1e-15 || f.NullBin != 2 || f.PosInf != 1 || f.NegInf != 2 {
		t.Errorf("%+v", f)
	}
	// The reference has nothing below its minimum and above its maximum.
	if f.Bins[0] != 0 || f.Bins[len(f.Bins)-1] != 0 || len(f.Bins) != len(f.Edges)+1 {
		t.Errorf("edges %v, bins %v", f.Edges, f.Bins)
	}
	other := profileOf(t, p.FrozenBins(), numbers([]float64{-5, 0, 4, 4.0001, 1e300}))
	if g := other.Features[0]; g.Bins[0] != 1 || g.Bins[len(g.Bins)-1] != 2 || !slices.Equal(g.Edges, f.Edges) {
		t.Errorf("below and above: %v", g.Bins)
	}
	c := profileOf(t, nil, texts([]string{"b", "a", "a", "c"})).Features[0]
	if fmt.Sprint(c.Categories) != "[{a 2} {b 1} {c 1}]" || c.Single != 2 || !c.Categorical || c.Bins != nil {
		t.Errorf("%+v", c)
	}
	empty := profileOf(t, nil, numbers([]float64{nan, nan}))
	if g := empty.Features[0]; g.Mean != 0 || g.Min != 0 || g.NullBin != 2 {
		t.Errorf("%+v", g)
	}
	if _, err := DecodeProfile(encoded(t, empty)); err != nil {
		t.Error(err)
	}
}

// M1: order, cuts and merging change nothing, not even a byte of the JSON.
func TestProfileIsOrderFree(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	names := []string{"normal", "nulls", "nan", "infinite", "integer", "boolean", "text", "dictionary", "single", "decimal"}
	const rows = 3000
	rec := frame(rng, names, rows, nil)
	other := frame(rng, names, 500, []bool{true, true, false, true, true, true, true, true, false, true})
	bins := (&Bins{})
	for _, frozen := range []bool{false, true} {
		use := bins
		if !frozen {
			use = nil
		}
		want := encoded(t, profileOf(t, use, rec))
		if !frozen {
			p := profileOf(t, nil, rec)
			bins = p.FrozenBins()
		}
		// Rows the other way round, in pieces.
		var pieces []arrow.Record
		for at := int64(rows); at > 0; {
			from := max(0, at-int64(1+rng.IntN(400)))
			pieces = append(pieces, rec.NewSlice(from, at))
			at = from
		}
		if got := encoded(t, profileOf(t, use, pieces...)); !bytes.Equal(got, want) {
			t.Errorf("frozen %v: pieces in another order give\n%s\nwant\n%s", frozen, got, want)
		}
		a, err := NewProfiler(FieldsOf(rec.Schema(), names, nil), use)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := NewProfiler(FieldsOf(rec.Schema(), names, nil), use)
		for i, p := range pieces {
			if err := []*Profiler{a, b}[i%2].Add(p); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Merge(a); err != nil {
			t.Fatal(err)
		}
		if got := encoded(t, b.Profile()); !bytes.Equal(got, want) {
			t.Errorf("frozen %v: merged profilers give\n%s\nwant\n%s", frozen, got, want)
		}
	}
	p := profileOf(t, bins, other)
	back, err := DecodeProfile(encoded(t, p))
	if err != nil || !bytes.Equal(encoded(t, back), encoded(t, p)) {
		t.Errorf("the JSON does not come back: %v", err)
	}
}

// The sample of a large set is of its content, so that M3 holds.
func TestSampleIsOrderFree(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	const rows = 3*SampleRows + 17
	values := make([]float64, rows)
	for i := range values {
		values[i] = math.Round(rng.NormFloat64()*1e5) / 1e5
	}
	rec := numbers(values)
	p := profileOf(t, nil, rec)
	slices.Sort(values)
	want := encoded(t, p)
	sorted := numbers(values)
	if got := encoded(t, profileOf(t, nil, sorted.NewSlice(0, 100_000), sorted.NewSlice(100_000, rows))); !bytes.Equal(got, want) {
		t.Error("sorted rows have another profile")
	}
	f := p.Features[0]
	if p.Binned != SampleRows || p.Rows != rows || f.Count != rows {
		t.Errorf("%d of %d rows in bins", p.Binned, p.Rows)
	}
	// Ten bins of a tenth each, within four standard errors.
	for i, n := range f.Bins[1 : len(f.Bins)-1] {
		if share := float64(n) / SampleRows; math.Abs(share-0.1) > 4*math.Sqrt(0.09/SampleRows)+2e-4 {
			t.Errorf("bin %d has %.4f of the rows", i, share)
		}
	}
}

// Moments survive a mean that is far from zero, and agree with sums of big numbers.
func TestMoments(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for _, offset := range []float64{0, 1e9, 1.7e12} {
		m := newMoments()
		var centred []float64
		for range 10_000 {
			d := float64(rng.IntN(1000))
			centred = append(centred, d)
			m.add(offset + d)
		}
		mean, ss := 0.0, 0.0
		for _, d := range centred {
			mean += d / float64(len(centred))
		}
		for _, d := range centred {
			ss += (d - mean) * (d - mean)
		}
		sd := math.Sqrt(ss / float64(len(centred)-1))
		if math.Abs(m.mean()-(offset+mean)) > 1e-15*offset+1e-9 || math.Abs(m.deviation()/sd-1) > 1e-8 {
			t.Errorf("offset %g: mean %v, deviation %v, want %v and %v", offset, m.mean()-offset, m.deviation(), mean, sd)
		}
	}
}

func TestProfilerRefusals(t *testing.T) {
	x := numbers([]float64{1, 2})
	for name, c := range map[string]struct {
		fields []Field
		bins   *Bins
		rec    arrow.Record
		text   string
	}{
		"twice":       {[]Field{{Name: "x"}, {Name: "x", Categorical: true}}, nil, x, "named twice"},
		"no bins":     {[]Field{{Name: "x"}}, &Bins{}, x, "no feature \"x\""},
		"absent":      {[]Field{{Name: "y"}}, nil, x, "0 columns are named \"y\""},
		"wrong kind":  {[]Field{{Name: "c"}}, nil, texts([]string{"a"}), "want numbers"},
		"cannot read": {[]Field{{Name: "date"}}, nil, frame(rand.New(rand.NewPCG(1, 1)), []string{"date"}, 3, nil), "date32"},
	} {
		p, err := NewProfiler(c.fields, c.bins)
		if err == nil {
			err = p.Add(c.rec)
		}
		if !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
	a, _ := NewProfiler([]Field{{Name: "x"}}, nil)
	b, _ := NewProfiler([]Field{{Name: "y"}}, nil)
	if err := a.Merge(b); !errors.Is(err, ErrInput) {
		t.Error(err)
	}
}

// Categories beyond those with a bin are known up to a bound.
func TestManyCategories(t *testing.T) {
	var values []string
	for i := range 5000 {
		for range 1 + max(0, 60-i) {
			values = append(values, fmt.Sprintf("k%04d", i))
		}
	}
	p := profileOf(t, nil, texts(values))
	f := p.Features[0]
	if len(f.Categories) != MaxCategories || len(f.Known) != MaxKnown || !f.Open || f.Categories[0].Value != "k0000" || f.Unseen == 0 {
		t.Errorf("%d categories, %d known, open %v, unseen %d", len(f.Categories), len(f.Known), f.Open, f.Unseen)
	}
	long := profileOf(t, nil, texts([]string{strings.Repeat("ä", 500)}))
	if v := long.Features[0].Categories[0].Value; len(v) > maxText || !strings.HasSuffix(v, "...") {
		t.Errorf("a long category is kept as %d bytes", len(v))
	}
	if got := profileOf(t, long.FrozenBins(), texts([]string{strings.Repeat("ä", 500)})).Features[0]; got.Unseen != 0 {
		t.Errorf("a long category is not found again: %+v", got)
	}
}

// A batch's profile depends neither on records nor on goroutines, and looks at about BatchRows rows.
func TestBatchRecorder(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	const rows = 2*BatchRows + 12_345
	values := make([]float64, rows)
	for i := range values {
		values[i] = rng.NormFloat64()
	}
	rec := numbers(values)
	reference := profileOf(t, nil, rec.NewSlice(0, 50_000))
	bins := reference.FrozenBins()
	record := func(cut int64, workers int) Profile {
		b, err := NewBatchRecorder([]Field{{Name: "x"}}, bins, rows)
		if err != nil {
			t.Fatal(err)
		}
		work := make(chan int64)
		var all sync.WaitGroup
		for range workers {
			all.Go(func() {
				for at := range work {
					part := rec.NewSlice(at, min(at+cut, rows))
					b.Add(at, part)
					part.Release()
				}
			})
		}
		for at := int64(0); at < rows; at += cut {
			work <- at
		}
		close(work)
		all.Wait()
		p, err := b.Profile()
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	want := record(rows, 1)
	if want.Rows != rows || want.Seen < BatchRows*9/10 || want.Seen > BatchRows*11/10 || want.Binned != want.Seen {
		t.Errorf("%d of %d rows seen, %d in bins", want.Seen, want.Rows, want.Binned)
	}
	for _, c := range []struct {
		cut     int64
		workers int
	}{{16_384, 1}, {1000, 3}, {77, 2}} {
		if got := record(c.cut, c.workers); !bytes.Equal(encoded(t, got), encoded(t, want)) {
			t.Errorf("records of %d rows on %d goroutines have another profile", c.cut, c.workers)
		}
	}
	b, err := NewBatchRecorder([]Field{{Name: "y"}}, nil, 2)
	if err != nil {
		t.Fatal(err)
	}
	b.Add(0, numbers([]float64{1, 2}))
	if _, err := b.Profile(); !errors.Is(err, ErrInput) {
		t.Error(err)
	}
}

func FuzzDecodeProfile(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 2))
	p, err := NewProfiler([]Field{{Name: "normal"}, {Name: "text", Categorical: true}}, nil)
	if err != nil {
		f.Fatal(err)
	}
	if err := p.Add(frame(rng, []string{"normal", "text"}, 60, nil)); err != nil {
		f.Fatal(err)
	}
	out := p.Profile()
	seed, err := out.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := DecodeProfile(b)
		if err != nil {
			if !errors.Is(err, ErrInput) {
				t.Error(err)
			}
			return
		}
		// What decodes can be compared, and counted in.
		if _, err := Detect(p, p, Options{}, nil); err != nil {
			t.Error(err)
		}
		bins := p.FrozenBins()
		var fields []Field
		for _, b := range bins.Features {
			fields = append(fields, b.Field)
		}
		_, _ = NewProfiler(fields, bins)
	})
}

// No record, slice or column outlives the calls.
func TestNothingIsRetained(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	fb, sb := array.NewFloat64Builder(mem), array.NewStringBuilder(mem)
	const rows = 3000
	for i := range rows {
		fb.Append(float64(i))
		sb.Append(fmt.Sprint("c", i%5))
	}
	columns := []arrow.Array{fb.NewArray(), sb.NewArray()}
	rec := array.NewRecord(arrow.NewSchema([]arrow.Field{
		{Name: "x", Type: arrow.PrimitiveTypes.Float64}, {Name: "c", Type: arrow.BinaryTypes.String},
	}, nil), columns, rows)
	for _, c := range columns {
		c.Release()
	}
	fb.Release()
	sb.Release()
	b, err := NewBatchRecorder(FieldsOf(rec.Schema(), []string{"x", "c"}, nil), nil, 40*BatchRows)
	if err != nil {
		t.Fatal(err)
	}
	for i := range int64(50) {
		b.Add(i*rows, rec)
	}
	if _, err := (DriftDetector{}).Detect([]arrow.Record{rec}, []arrow.Record{rec}); err != nil {
		t.Error(err)
	}
	rec.Release()
	mem.AssertSize(t, 0) // before the profile is taken: its texts are its own
	p, err := b.Profile()
	if err != nil || p.Rows != 50*rows || p.Seen == 0 || p.Seen == p.Rows || p.Features[1].Categories[0].Value[:1] != "c" {
		t.Errorf("%+v, %v", p, err)
	}
}
