package frame

import (
	"fmt"
	"math"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/decimal128"
	"github.com/apache/arrow/go/v17/arrow/decimal256"

	"github.com/treeline-ml/treeline/engine"
)

// column views or converts arr. Rows with unknown categories that the model refuses are appended to refused.
func (r *reader) column(arr arrow.Array, refused *[]Refusal) (engine.Column, error) {
	if d, ok := arr.(*array.Dictionary); ok {
		return r.dictionary(d, refused)
	}
	if arr.DataType().ID() == arrow.NULL {
		return engine.MissingColumn(arr.Len()), nil
	}
	if r.vocab != nil {
		r.buf = sized(r.buf, arr.Len())
		if err := r.vocab.codes(r.buf, arr); err != nil {
			return engine.Column{}, err
		}
		r.refuseUnknown(r.buf, arr, refused)
		return engine.Float64s(r.buf), nil
	}
	if c, ok := view(arr); ok {
		return valid(c, arr), nil
	}
	if err := r.values(arr); err != nil {
		return engine.Column{}, err
	}
	return engine.Float64s(r.buf), nil
}

// view returns a column over arr's own memory, ok false when arr has to be converted.
func view(arr arrow.Array) (c engine.Column, ok bool) {
	switch a := arr.(type) {
	case *array.Float64:
		return engine.Float64s(a.Float64Values()), true
	case *array.Float32:
		return engine.Float32s(a.Float32Values()), true
	case *array.Int64:
		return engine.Int64s(a.Int64Values()), true
	case *array.Int32:
		return engine.Int32s(a.Int32Values()), true
	case *array.Int16:
		return engine.Int16s(a.Int16Values()), true
	case *array.Int8:
		return engine.Int8s(a.Int8Values()), true
	case *array.Uint64:
		return engine.Uint64s(a.Uint64Values()), true
	case *array.Uint32:
		return engine.Uint32s(a.Uint32Values()), true
	case *array.Uint16:
		return engine.Uint16s(a.Uint16Values()), true
	case *array.Uint8:
		return engine.Uint8s(a.Uint8Values()), true
	case *array.Boolean:
		d := a.Data()
		if d.Len() == 0 { // it may have no buffer
			return engine.Bits(nil, 0, 0), true
		}
		return engine.Bits(d.Buffers()[1].Bytes(), d.Offset(), d.Len()), true
	}
	return engine.Column{}, false
}

// values converts arr to float64 in r.buf, NaN where it is null.
func (r *reader) values(arr arrow.Array) error {
	n := arr.Len()
	r.buf = sized(r.buf, n)
	switch a := arr.(type) {
	case *array.Float64:
		copy(r.buf, a.Float64Values())
	case *array.Float32:
		widen(r.buf, a.Float32Values())
	case *array.Int64:
		widen(r.buf, a.Int64Values())
	case *array.Int32:
		widen(r.buf, a.Int32Values())
	case *array.Int16:
		widen(r.buf, a.Int16Values())
	case *array.Int8:
		widen(r.buf, a.Int8Values())
	case *array.Uint64:
		widen(r.buf, a.Uint64Values())
	case *array.Uint32:
		widen(r.buf, a.Uint32Values())
	case *array.Uint16:
		widen(r.buf, a.Uint16Values())
	case *array.Uint8:
		widen(r.buf, a.Uint8Values())
	case *array.Boolean:
		for i := range n {
			r.buf[i] = 0
			if a.Value(i) {
				r.buf[i] = 1
			}
		}
	case *array.Decimal128:
		decimals128(r.buf, a.Values(), a.DataType().(*arrow.Decimal128Type).Scale)
	case *array.Decimal256:
		decimals256(r.buf, a.Values(), a.DataType().(*arrow.Decimal256Type).Scale)
	case *array.Null:
		for i := range r.buf {
			r.buf[i] = math.NaN()
		}
		return nil
	case *array.Dictionary:
		return r.expand(a)
	default:
		return fmt.Errorf("type %s cannot be read as numbers: %w", arr.DataType(), engine.ErrShape)
	}
	missing(r.buf, arr)
	return nil
}

type number interface {
	~float32 | ~float64 | ~int8 | ~int16 | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32 | ~uint64
}

func widen[T number](dst []float64, src []T) {
	for i, v := range src {
		dst[i] = float64(v)
	}
}

func decimals128(dst []float64, src []decimal128.Num, scale int32) {
	var d decimal
	for i, v := range src {
		dst[i] = d.float64([4]uint64{v.LowBits(), uint64(v.HighBits()), uint64(v.HighBits() >> 63), uint64(v.HighBits() >> 63)}, scale)
	}
}

func decimals256(dst []float64, src []decimal256.Num, scale int32) {
	var d decimal
	for i, v := range src {
		dst[i] = d.float64(v.Array(), scale)
	}
}

func missing(dst []float64, arr arrow.Array) {
	if arr.NullN() == 0 {
		return
	}
	for i := range dst {
		if arr.IsNull(i) {
			dst[i] = math.NaN()
		}
	}
}

// expand converts a dictionary of numbers row by row.
func (r *reader) expand(a *array.Dictionary) error {
	var dict reader
	if err := dict.values(a.Dictionary()); err != nil {
		return err
	}
	r.buf = sized(r.buf, a.Len())
	for i := range r.buf {
		r.buf[i] = math.NaN()
		if a.IsValid(i) {
			r.buf[i] = dict.buf[a.GetValueIndex(i)]
		}
	}
	return nil
}
