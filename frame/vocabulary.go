package frame

import (
	"fmt"
	"math"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/forest"
)

// vocabulary maps categories to codes. Unknown ones have code NaN.
type vocabulary struct {
	text    map[string]float64
	number  map[float64]float64
	boolean bool
	bools   [2]float64 // codes of false and true
	size    int
	refuse  bool // unknown categories refuse their row
}

func newVocabulary(f *forest.Feature) *vocabulary {
	v := &vocabulary{
		bools: [2]float64{math.NaN(), math.NaN()}, size: len(f.Vocabulary), refuse: f.Unknown == forest.UnknownError,
	}
	for code, c := range f.Vocabulary {
		switch c.Kind {
		case forest.CategoryText:
			if v.text == nil {
				v.text = make(map[string]float64, len(f.Vocabulary))
			}
			if _, dup := v.text[c.Text]; !dup {
				v.text[c.Text] = float64(code)
			}
		case forest.CategoryNumber:
			if v.number == nil {
				v.number = make(map[float64]float64, len(f.Vocabulary))
			}
			if _, dup := v.number[c.Number]; !dup {
				v.number[c.Number] = float64(code)
			}
		case forest.CategoryBool:
			v.boolean = true
			if i := int(c.Number) & 1; math.IsNaN(v.bools[i]) {
				v.bools[i] = float64(code)
			}
		}
	}
	return v
}

func (v *vocabulary) ofText(s string) float64 {
	if c, ok := v.text[s]; ok {
		return c
	}
	return math.NaN()
}

func (v *vocabulary) ofNumber(x float64) float64 {
	if c, ok := v.number[x]; ok {
		return c
	}
	return math.NaN()
}

func (v *vocabulary) ofBool(b bool) float64 {
	if b {
		return v.bools[1]
	}
	return v.bools[0]
}

// codes looks every row of arr up; null rows and unknown categories get NaN.
func (v *vocabulary) codes(dst []float64, arr arrow.Array) error {
	switch a := arr.(type) {
	case *array.String:
		for i := range dst {
			dst[i] = v.ofText(a.Value(i))
		}
	case *array.LargeString:
		for i := range dst {
			dst[i] = v.ofText(a.Value(i))
		}
	case *array.Boolean:
		for i := range dst {
			dst[i] = v.ofBool(a.Value(i))
		}
	case *array.Int64:
		lookUp(v, dst, a.Int64Values())
	case *array.Int32:
		lookUp(v, dst, a.Int32Values())
	case *array.Int16:
		lookUp(v, dst, a.Int16Values())
	case *array.Int8:
		lookUp(v, dst, a.Int8Values())
	case *array.Uint64:
		lookUp(v, dst, a.Uint64Values())
	case *array.Uint32:
		lookUp(v, dst, a.Uint32Values())
	case *array.Uint16:
		lookUp(v, dst, a.Uint16Values())
	case *array.Uint8:
		lookUp(v, dst, a.Uint8Values())
	case *array.Float64:
		lookUp(v, dst, a.Float64Values())
	case *array.Float32:
		lookUp(v, dst, a.Float32Values())
	case *array.Decimal128, *array.Decimal256:
		var r reader
		r.buf = dst
		if err := r.values(arr); err != nil {
			return err
		}
		lookUp(v, dst, dst)
	case *array.Null:
		for i := range dst {
			dst[i] = math.NaN()
		}
	default:
		return fmt.Errorf("type %s cannot be read as categories: %w", arr.DataType(), engine.ErrShape)
	}
	missing(dst, arr)
	return nil
}

// lookUp compares numbers as float64; an integer that has no exact float64 is no category.
func lookUp[T number](v *vocabulary, dst []float64, src []T) {
	for i, x := range src {
		f := float64(x)
		if T(f) != x && f == f { // NaN stays NaN
			f = math.NaN()
		}
		dst[i] = v.ofNumber(f)
	}
}

// refuseUnknown appends the rows whose category is unknown, if the model refuses those: a code of NaN in a row that is
// neither null nor a NaN itself.
func (r *reader) refuseUnknown(codes []float64, arr arrow.Array, refused *[]Refusal) {
	if !r.vocab.refuse {
		return
	}
	for i, c := range codes {
		if c != c && arr.IsValid(i) && !isNaN(arr, i) {
			*refused = append(*refused, r.unknown(i))
		}
	}
}

func (r *reader) unknown(row int) Refusal {
	return Refusal{Row: row, Column: r.name, Reason: fmt.Sprintf("the category is none of the %d that the model was trained with", r.vocab.size)}
}

func isNaN(arr arrow.Array, i int) bool {
	switch a := arr.(type) {
	case *array.Float64:
		return math.IsNaN(a.Value(i))
	case *array.Float32:
		return math.IsNaN(float64(a.Value(i)))
	}
	return false
}

// dictionary reads a dictionary column. Where the dictionary is larger than the record, only the entries in use are
// looked up.
func (r *reader) dictionary(a *array.Dictionary, refused *[]Refusal) (engine.Column, error) {
	dict := a.Dictionary()
	if a.NullN() == a.Len() {
		return engine.MissingColumn(a.Len()), nil
	}
	if r.vocab != nil && dict.Len() > a.Len() && r.inUse(a, dict, refused) {
		return engine.Float64s(r.buf), nil
	}
	r.table = sized(r.table, dict.Len())
	if err := r.entries(r.table, dict); err != nil {
		return engine.Column{}, err
	}
	if r.vocab != nil && r.vocab.refuse {
		for i := range a.Len() {
			if !a.IsValid(i) {
				continue
			}
			if k := a.GetValueIndex(i); math.IsNaN(r.table[k]) && dict.IsValid(k) && !isNaN(dict, k) {
				*refused = append(*refused, r.unknown(i))
			}
		}
	}
	c, err := lookup(a.Indices(), r.table)
	if err != nil {
		return engine.Column{}, err
	}
	return valid(c, a), nil
}

// inUse looks up the texts that the rows use, into r.buf. It reports false for dictionaries of other types.
func (r *reader) inUse(a *array.Dictionary, dict arrow.Array, refused *[]Refusal) bool {
	texts, ok := dict.(interface{ Value(int) string })
	if !ok {
		return false
	}
	r.buf = sized(r.buf, a.Len())
	for i := range r.buf {
		r.buf[i] = math.NaN()
		if !a.IsValid(i) {
			continue
		}
		k := a.GetValueIndex(i)
		if !dict.IsValid(k) {
			continue
		}
		if r.buf[i] = r.vocab.ofText(texts.Value(k)); r.vocab.refuse && math.IsNaN(r.buf[i]) {
			*refused = append(*refused, r.unknown(i))
		}
	}
	return true
}

// entries converts the dictionary's values: to codes with a vocabulary, otherwise to numbers.
func (r *reader) entries(dst []float64, dict arrow.Array) error {
	if r.vocab != nil {
		return r.vocab.codes(dst, dict)
	}
	var conv reader
	conv.buf = dst
	return conv.values(dict)
}

func lookup(index arrow.Array, table []float64) (engine.Column, error) {
	switch a := index.(type) {
	case *array.Int8:
		return engine.Lookup(a.Int8Values(), table), nil
	case *array.Int16:
		return engine.Lookup(a.Int16Values(), table), nil
	case *array.Int32:
		return engine.Lookup(a.Int32Values(), table), nil
	case *array.Int64:
		return engine.Lookup(a.Int64Values(), table), nil
	case *array.Uint8:
		return engine.Lookup(a.Uint8Values(), table), nil
	case *array.Uint16:
		return engine.Lookup(a.Uint16Values(), table), nil
	case *array.Uint32:
		return engine.Lookup(a.Uint32Values(), table), nil
	case *array.Uint64:
		return engine.Lookup(a.Uint64Values(), table), nil
	}
	return engine.Column{}, fmt.Errorf("dictionary index type %s: %w", index.DataType(), engine.ErrShape)
}
