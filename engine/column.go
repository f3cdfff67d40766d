package engine

import (
	"fmt"
	"math"
	"unsafe"
)

// kind is the element type of a column's memory.
type kind uint8

const (
	kindMissing kind = iota
	kindFloat64
	kindFloat32
	kindInt64
	kindInt32
	kindInt16
	kindInt8
	kindUint64
	kindUint32
	kindUint16
	kindUint8
	kindBits
)

// Column is a borrowed, typed view of one feature's values, laid out as Arrow lays them out. It is a small value: copy
// it freely. The memory that it views must not change while a Block holds it.
//
// Integers and bools become floating-point numbers the way the training library converts them; a null is a missing
// value, as NaN is.
type Column struct {
	data   unsafe.Pointer // first element; nil for kindMissing and empty columns
	table  []float64      // dictionary values; nil unless lookup
	valid  []byte         // validity bitmap, LSB first; nil when every value is there
	n      int
	offset int // first bit of the data (kindBits)
	voff   int // first bit of the validity bitmap
	kind   kind
	lookup bool
	short  bool // the caller's bitmap is shorter than the column
}

// Index is the type of a dictionary column's positions.
type Index interface {
	int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64
}

// Float64s views double values; NaN is missing.
func Float64s(v []float64) Column { return column(kindFloat64, v) }

// Float32s views single values; NaN is missing.
func Float32s(v []float32) Column { return column(kindFloat32, v) }

// Int64s views integers. Values beyond 2^53 are rounded as the training library rounds them.
func Int64s(v []int64) Column { return column(kindInt64, v) }

// Int32s views integers.
func Int32s(v []int32) Column { return column(kindInt32, v) }

// Int16s views integers.
func Int16s(v []int16) Column { return column(kindInt16, v) }

// Int8s views integers.
func Int8s(v []int8) Column { return column(kindInt8, v) }

// Uint64s views integers. Values beyond 2^53 are rounded as the training library rounds them.
func Uint64s(v []uint64) Column { return column(kindUint64, v) }

// Uint32s views integers.
func Uint32s(v []uint32) Column { return column(kindUint32, v) }

// Uint16s views integers.
func Uint16s(v []uint16) Column { return column(kindUint16, v) }

// Uint8s views integers.
func Uint8s(v []uint8) Column { return column(kindUint8, v) }

// Bits views n bools packed LSB first, the first one at bit offset; true is 1, false 0.
func Bits(bitmap []byte, offset, n int) Column {
	c := column(kindBits, bitmap)
	c.n, c.offset = n, offset
	c.short = !bitmapHolds(bitmap, offset, n)
	return c
}

// Lookup views a dictionary column: value i is table[index[i]]. A NaN in table is missing. An index outside table is
// ErrShape at Block.Set, unless the row is null.
func Lookup[I Index](index []I, table []float64) Column {
	var z I
	k := kindUint8
	switch any(z).(type) {
	case int8:
		k = kindInt8
	case int16:
		k = kindInt16
	case int32:
		k = kindInt32
	case int64:
		k = kindInt64
	case uint16:
		k = kindUint16
	case uint32:
		k = kindUint32
	case uint64:
		k = kindUint64
	}
	c := column(k, index)
	c.lookup, c.table = true, table
	return c
}

// MissingColumn is n missing values.
func MissingColumn(n int) Column { return Column{kind: kindMissing, n: n} }

// WithValidity returns the column with nulls: row i is missing where bit offset+i of bitmap (LSB first) is 0. A nil
// bitmap means that no value is null.
func (c Column) WithValidity(bitmap []byte, offset int) Column {
	c.valid, c.voff = nil, 0
	if bitmap == nil {
		return c
	}
	c.valid, c.voff = bitmap, offset
	c.short = c.short || !bitmapHolds(bitmap, offset, c.n)
	return c
}

// Len returns the number of rows.
func (c Column) Len() int { return c.n }

func column[T any](k kind, v []T) Column {
	return Column{kind: k, n: len(v), data: unsafe.Pointer(unsafe.SliceData(v))}
}

func bitmapHolds(bitmap []byte, offset, n int) bool {
	return offset >= 0 && n >= 0 && n <= math.MaxInt-offset && (offset+n+7)/8 <= len(bitmap)
}

// elements returns the column's memory as a slice; T must be the type that c.kind names.
func elements[T any](c *Column) []T {
	return unsafe.Slice((*T)(c.data), c.n)
}

// check reports what makes the column unreadable.
func (c *Column) check() error {
	if c.n < 0 || c.short {
		return fmt.Errorf("a bitmap is shorter than %d rows: %w", c.n, ErrShape)
	}
	if !c.lookup {
		return nil
	}
	switch c.kind {
	case kindInt8:
		return checkIndex[int8](c)
	case kindInt16:
		return checkIndex[int16](c)
	case kindInt32:
		return checkIndex[int32](c)
	case kindInt64:
		return checkIndex[int64](c)
	case kindUint16:
		return checkIndex[uint16](c)
	case kindUint32:
		return checkIndex[uint32](c)
	case kindUint64:
		return checkIndex[uint64](c)
	}
	return checkIndex[uint8](c)
}

func checkIndex[I Index](c *Column) error {
	n := uint64(len(c.table))
	for i, v := range elements[I](c) {
		if uint64(v) >= n && c.present(i) {
			return fmt.Errorf("row %d: index %d is outside the dictionary of %d values: %w", i, v, n, ErrShape)
		}
	}
	return nil
}

// present reports whether row i is not null.
func (c *Column) present(i int) bool {
	return c.valid == nil || c.valid[(c.voff+i)>>3]>>((c.voff+i)&7)&1 == 1
}
