package monitor

import (
	"fmt"
	"math"
	"strconv"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
)

// class says how a column can be looked at.
type class uint8

const (
	unreadable class = iota
	numeric
	categorical
	typeless // a column of nulls
)

// classOf is the table of docs/format/drift.md.
func classOf(t arrow.DataType) class {
	switch t.ID() {
	case arrow.INT8, arrow.INT16, arrow.INT32, arrow.INT64, arrow.UINT8, arrow.UINT16, arrow.UINT32, arrow.UINT64,
		arrow.FLOAT16, arrow.FLOAT32, arrow.FLOAT64, arrow.DECIMAL128, arrow.DECIMAL256:
		return numeric
	case arrow.BOOL, arrow.STRING, arrow.LARGE_STRING:
		return categorical
	case arrow.DICTIONARY:
		if c := classOf(t.(*arrow.DictionaryType).ValueType); c == numeric || c == categorical {
			return categorical
		}
		return unreadable
	case arrow.NULL:
		return typeless
	default:
		return unreadable
	}
}

// Numbers appends the values of a column to dst as the nearest float64, NaN where they are null; false and true are 0 and
// 1. It fails with ErrInput for types that are no numbers.
func Numbers(dst []float64, arr arrow.Array) ([]float64, error) {
	start := len(dst)
	switch a := arr.(type) {
	case *array.Float64:
		dst = append(dst, a.Float64Values()...)
	case *array.Float32:
		dst = widen(dst, a.Float32Values())
	case *array.Int64:
		dst = widen(dst, a.Int64Values())
	case *array.Int32:
		dst = widen(dst, a.Int32Values())
	case *array.Int16:
		dst = widen(dst, a.Int16Values())
	case *array.Int8:
		dst = widen(dst, a.Int8Values())
	case *array.Uint64:
		dst = widen(dst, a.Uint64Values())
	case *array.Uint32:
		dst = widen(dst, a.Uint32Values())
	case *array.Uint16:
		dst = widen(dst, a.Uint16Values())
	case *array.Uint8:
		dst = widen(dst, a.Uint8Values())
	case *array.Float16:
		for i := range a.Len() {
			dst = append(dst, float64(a.Value(i).Float32()))
		}
	case *array.Boolean:
		for i := range a.Len() {
			v := 0.0
			if a.Value(i) {
				v = 1
			}
			dst = append(dst, v)
		}
	case *array.Decimal128, *array.Decimal256:
		for i := range a.Len() {
			v := math.NaN()
			if a.IsValid(i) {
				v, _ = strconv.ParseFloat(a.ValueStr(i), 64) // correctly rounded; decimals always parse
			}
			dst = append(dst, v)
		}
	case *array.Null:
		for range a.Len() {
			dst = append(dst, math.NaN())
		}
		return dst, nil
	case *array.Dictionary:
		return dictionaryNumbers(dst, a)
	default:
		return dst, fmt.Errorf("type %s holds no numbers: %w", arr.DataType(), ErrInput)
	}
	if arr.NullN() > 0 {
		for i := range arr.Len() {
			if arr.IsNull(i) {
				dst[start+i] = math.NaN()
			}
		}
	}
	return dst, nil
}

type number interface {
	~float32 | ~int8 | ~int16 | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32 | ~uint64
}

func widen[T number](dst []float64, src []T) []float64 {
	for _, v := range src {
		dst = append(dst, float64(v))
	}
	return dst
}

func dictionaryNumbers(dst []float64, a *array.Dictionary) ([]float64, error) {
	table, err := Numbers(nil, a.Dictionary())
	if err != nil {
		return dst, err
	}
	for i := range a.Len() {
		v := math.NaN()
		if a.IsValid(i) {
			v = table[a.GetValueIndex(i)]
		}
		dst = append(dst, v)
	}
	return dst, nil
}

// Texts reads a column as categories: texts as they are, false and true, numbers in decimal; ok is false where the value is
// null or NaN. The strings are valid as long as the column. It fails with ErrInput for other types.
func Texts(arr arrow.Array) (value func(i int) (text string, ok bool), err error) {
	switch a := arr.(type) {
	case *array.String:
		return func(i int) (string, bool) { return a.Value(i), a.IsValid(i) }, nil
	case *array.LargeString:
		return func(i int) (string, bool) { return a.Value(i), a.IsValid(i) }, nil
	case *array.Boolean:
		return func(i int) (string, bool) { return strconv.FormatBool(a.Value(i)), a.IsValid(i) }, nil
	case *array.Null:
		return func(int) (string, bool) { return "", false }, nil
	case *array.Dictionary:
		entries, err := Texts(a.Dictionary())
		if err != nil {
			return nil, err
		}
		if a.Dictionary().Len() > a.Len() { // few of the entries are used
			return func(i int) (string, bool) {
				if a.IsNull(i) {
					return "", false
				}
				return entries(a.GetValueIndex(i))
			}, nil
		}
		table, there := make([]string, a.Dictionary().Len()), make([]bool, a.Dictionary().Len())
		for i := range table {
			table[i], there[i] = entries(i)
		}
		return func(i int) (string, bool) {
			if a.IsNull(i) {
				return "", false
			}
			k := a.GetValueIndex(i)
			return table[k], there[k]
		}, nil
	}
	if classOf(arr.DataType()) != numeric {
		return nil, fmt.Errorf("type %s holds no categories: %w", arr.DataType(), ErrInput)
	}
	return numberTexts(arr)
}

// numberTexts writes integers and decimals exactly, and a floating-point number that is whole without a point.
func numberTexts(arr arrow.Array) (func(i int) (string, bool), error) {
	switch arr.DataType().ID() {
	case arrow.FLOAT16, arrow.FLOAT32, arrow.FLOAT64:
		values, err := Numbers(nil, arr)
		if err != nil {
			return nil, err
		}
		return func(i int) (string, bool) {
			v := values[i]
			if v == 0 {
				v = 0 // -0 is 0
			}
			return strconv.FormatFloat(v, 'f', -1, 64), !math.IsNaN(v)
		}, nil
	}
	return func(i int) (string, bool) { return arr.ValueStr(i), arr.IsValid(i) }, nil
}
