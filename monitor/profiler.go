package monitor

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
)

// Profiler counts the rows of records.
type Profiler struct {
	features []counter
	rows     int64
	sample   *sample // nil when all bins are given
	buf      []float64
}

// counter is one feature.
type counter struct {
	Field

	bins    *FeatureBins // nil: taken from the sample in the end
	edges   []uint64     // their keys
	code    map[string]int32
	m       moments
	nulls   int64
	nullBin int64
	negInf  int64
	posInf  int64
	counts  []int64
	other   int64
	unseen  int64
}

// NewProfiler returns a Profiler of the fields. With bins it counts in them, and every field must have some (ErrInput);
// with nil it takes them from its own rows.
func NewProfiler(fields []Field, bins *Bins) (*Profiler, error) {
	p := &Profiler{}
	for i, f := range fields {
		if slices.ContainsFunc(fields[:i], func(o Field) bool { return o.Name == f.Name }) {
			return nil, fmt.Errorf("feature %q is named twice: %w", f.Name, ErrInput)
		}
		c := counter{Field: f, m: newMoments(), bins: bins.find(f)}
		if bins != nil && c.bins == nil {
			return nil, fmt.Errorf("the reference has no feature %q of this kind: %w", f.Name, ErrInput)
		}
		if c.bins != nil {
			c.open()
		}
		p.features = append(p.features, c)
	}
	if bins == nil {
		p.sample = newSample(fields)
	}
	return p, nil
}

func (c *counter) open() {
	if !c.Categorical {
		c.counts, c.edges = make([]int64, len(c.bins.Edges)+1), keys(c.bins.Edges)
		return
	}
	c.counts = make([]int64, len(c.bins.Categories))
	c.code = make(map[string]int32, len(c.bins.Categories)+len(c.bins.Known))
	for _, k := range c.bins.Known {
		c.code[k] = -1
	}
	for i, k := range c.bins.Categories {
		c.code[k] = int32(i)
	}
}

// FieldsOf makes fields of the named columns by their types: texts, booleans and dictionaries are categories, as are the
// columns that say so; numbers are numbers. Columns that are absent or of other types (dates, lists) are left out.
func FieldsOf(schema *arrow.Schema, columns []string, isCategorical func(column string) bool) []Field {
	var out []Field
	for _, name := range columns {
		at := schema.FieldIndices(name)
		if len(at) != 1 {
			continue
		}
		switch classOf(schema.Field(at[0]).Type) {
		case categorical:
			out = append(out, Field{Name: name, Categorical: true})
		case numeric, typeless:
			out = append(out, Field{Name: name, Categorical: isCategorical != nil && isCategorical(name)})
		case unreadable:
		}
	}
	return out
}

// Add counts the rows of a record, which it borrows until it returns. It fails with ErrInput when a column is absent or of
// a type that cannot be read; nothing is counted then.
func (p *Profiler) Add(rec arrow.Record) error {
	columns := make([]arrow.Array, len(p.features))
	for i := range p.features {
		f := &p.features[i]
		at := rec.Schema().FieldIndices(f.Name)
		if len(at) != 1 {
			return fmt.Errorf("%d columns are named %q, want 1: %w", len(at), f.Name, ErrInput)
		}
		columns[i] = rec.Column(at[0])
		switch c := classOf(columns[i].DataType()); {
		case c == unreadable:
			return fmt.Errorf("column %q is %s, want numbers or categories: %w", f.Name, columns[i].DataType(), ErrInput)
		case c == categorical && !f.Categorical:
			return fmt.Errorf("column %q is %s, want numbers: %w", f.Name, columns[i].DataType(), ErrInput)
		}
	}
	p.rows += rec.NumRows()
	if p.sample != nil {
		if err := p.sample.add(columns, int(rec.NumRows())); err != nil {
			return err
		}
	}
	for i := range p.features {
		if err := p.features[i].add(columns[i], p); err != nil {
			return err
		}
	}
	return nil
}

func (c *counter) add(arr arrow.Array, p *Profiler) error {
	if !c.Categorical {
		var err error
		if p.buf, err = Numbers(p.buf[:0], arr); err != nil {
			return fmt.Errorf("column %q: %w", c.Name, err)
		}
		c.numbers(p.buf)
		return nil
	}
	if d, ok := arr.(*array.Dictionary); ok && c.bins != nil && d.Dictionary().Len() <= d.Len() {
		return c.dictionary(d)
	}
	text, err := Texts(arr)
	if err != nil {
		return fmt.Errorf("column %q: %w", c.Name, err)
	}
	for i := range arr.Len() {
		v, ok := text(i)
		if !ok {
			c.nulls++
		}
		if c.bins != nil {
			c.category(v, ok, 1)
		}
	}
	return nil
}

// dictionary looks each entry up once.
func (c *counter) dictionary(d *array.Dictionary) error {
	entries := make([]int64, d.Dictionary().Len())
	nulls := int64(0)
	for i := range d.Len() {
		if d.IsNull(i) {
			nulls++
		} else {
			entries[d.GetValueIndex(i)]++
		}
	}
	text, err := Texts(d.Dictionary())
	if err != nil {
		return fmt.Errorf("column %q: %w", c.Name, err)
	}
	for k, n := range entries {
		v, ok := text(k)
		if !ok {
			nulls += n
		} else if n > 0 {
			c.category(v, true, n)
		}
	}
	c.nulls += nulls
	c.category("", false, nulls)
	return nil
}

// numbers counts values; those that are finite, nearly all, take the short way.
func (c *counter) numbers(values []float64) {
	m := c.m
	for _, v := range values {
		if v-v == 0 {
			m.add(v)
			if c.bins != nil {
				c.counts[bin(c.edges, key(v))]++
			}
			continue
		}
		if v != v {
			c.nulls++
		}
		if c.bins != nil {
			c.number(v)
		}
	}
	c.m = m
}

// number counts a value in its bin.
func (c *counter) number(v float64) {
	switch {
	case v != v:
		c.nullBin++
	case v > math.MaxFloat64:
		c.posInf++
	case v < -math.MaxFloat64:
		c.negInf++
	default:
		c.counts[bin(c.edges, key(v))]++
	}
}

// category counts n rows of a category in its bin.
func (c *counter) category(v string, ok bool, n int64) {
	if !ok {
		c.nullBin += n
		return
	}
	if len(v) > maxText {
		v = cut(v)
	}
	switch k, known := c.code[v]; {
	case !known:
		c.unseen += n
	case k < 0:
		c.other += n
	default:
		c.counts[k] += n
	}
}

// Merge adds the rows of another Profiler of the same fields and bins, which must not be used any more. It fails with
// ErrInput for others.
func (p *Profiler) Merge(o *Profiler) error {
	if len(p.features) != len(o.features) || (p.sample == nil) != (o.sample == nil) {
		return fmt.Errorf("profilers of %d and %d features, with other bins: %w", len(p.features), len(o.features), ErrInput)
	}
	for i := range p.features {
		a, b := &p.features[i], &o.features[i]
		if a.Field != b.Field || (a.bins == nil) != (b.bins == nil) || a.bins != nil && !a.bins.equal(b.bins) {
			return fmt.Errorf("profilers differ in feature %q: %w", a.Name, ErrInput)
		}
	}
	p.rows += o.rows
	for i := range p.features {
		p.features[i].merge(&o.features[i])
	}
	if p.sample != nil {
		p.sample.merge(o.sample)
	}
	return nil
}

func (b *FeatureBins) equal(o *FeatureBins) bool {
	return b.Field == o.Field && slices.Equal(b.Edges, o.Edges) && slices.Equal(b.Categories, o.Categories) &&
		slices.Equal(b.Known, o.Known) && b.Open == o.Open
}

func (c *counter) merge(o *counter) {
	c.m.merge(&o.m)
	c.nulls += o.nulls
	c.nullBin += o.nullBin
	c.negInf += o.negInf
	c.posInf += o.posInf
	c.other += o.other
	c.unseen += o.unseen
	for i, n := range o.counts {
		c.counts[i] += n
	}
}

// Profile returns the statistics of the rows so far.
func (p *Profiler) Profile() Profile {
	out := Profile{Format: profileFormat, Rows: p.rows, Seen: p.rows, Binned: p.rows}
	if p.sample != nil {
		p.sample.shrink()
		out.Binned = int64(len(p.sample.hash))
	}
	// The features have nothing in common, and the end of a batch waits for them.
	out.Features = make([]FeatureProfile, len(p.features))
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(p.features)) {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(p.features); i = int(next.Add(1)) - 1 {
				out.Features[i] = p.feature(i)
			}
		})
	}
	all.Wait()
	if len(out.Features) == 0 {
		out.Features = nil
	}
	return out
}

// feature is the profile of feature i.
func (p *Profiler) feature(i int) FeatureProfile {
	c := &p.features[i]
	single := int64(0)
	if p.sample != nil {
		c, single = p.sample.counted(i, c)
	}
	f := FeatureProfile{
		Field: c.Field, Count: p.rows, Nulls: c.nulls, Mean: c.m.mean(), SD: c.m.deviation(), NullBin: c.nullBin,
		NegInf: c.negInf, PosInf: c.posInf, Other: c.other, Unseen: c.unseen, Single: single,
	}
	if c.m.n > 0 {
		f.Min, f.Max = c.m.min, c.m.max
	}
	if c.Categorical {
		for k, v := range c.bins.Categories {
			f.Categories = append(f.Categories, CategoryCount{v, c.counts[k]})
		}
		f.Known, f.Open = c.bins.Known, c.bins.Open
	} else {
		f.Edges, f.Bins = c.bins.Edges, slices.Clone(c.counts)
	}
	return f
}
