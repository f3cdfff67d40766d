package file

import (
	"encoding/binary"
	"fmt"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/schema"
)

// valueEncoder appends values of one type as PLAIN bytes.
type valueEncoder struct {
	one func(dst []byte, arr arrow.Array, i int) []byte     // value i, which is not null
	all func(dst []byte, arr arrow.Array, at, n int) []byte // n values, none of them null
}

// newValueEncoder goes by the Arrow type and the physical type that pqarrow chose for it.
func newValueEncoder(t arrow.DataType, c *schema.Column) (valueEncoder, error) {
	ok := func(want parquet.Type, v valueEncoder) (valueEncoder, error) {
		if c.PhysicalType() != want {
			return v, fmt.Errorf("%s as physical type %s: %w", t, c.PhysicalType(), ErrInvalid)
		}
		return v, nil
	}
	switch t := t.(type) {
	case *arrow.NullType:
		return valueEncoder{}, nil // there are none
	case *arrow.BooleanType:
		return valueEncoder{}, nil // packed by the column
	case *arrow.Int8Type:
		return ok(parquet.Types.Int32, widened(func(a arrow.Array, i int) int32 { return int32(a.(*array.Int8).Value(i)) }))
	case *arrow.Int16Type:
		return ok(parquet.Types.Int32, widened(func(a arrow.Array, i int) int32 { return int32(a.(*array.Int16).Value(i)) }))
	case *arrow.Uint8Type:
		return ok(parquet.Types.Int32, widened(func(a arrow.Array, i int) int32 { return int32(a.(*array.Uint8).Value(i)) }))
	case *arrow.Uint16Type:
		return ok(parquet.Types.Int32, widened(func(a arrow.Array, i int) int32 { return int32(a.(*array.Uint16).Value(i)) }))
	case *arrow.Int32Type, *arrow.Uint32Type, *arrow.Date32Type:
		return ok(parquet.Types.Int32, fixedBytes(4))
	case *arrow.Float32Type:
		return ok(parquet.Types.Float, fixedBytes(4))
	case *arrow.Int64Type, *arrow.Uint64Type, *arrow.Time64Type, *arrow.DurationType:
		return ok(parquet.Types.Int64, fixedBytes(8))
	case *arrow.Float64Type:
		return ok(parquet.Types.Double, fixedBytes(8))
	case *arrow.TimestampType:
		if t.Unit == arrow.Second {
			return ok(parquet.Types.Int64, each(func(dst []byte, a arrow.Array, i int) []byte {
				return le.AppendUint64(dst, uint64(a.(*array.Timestamp).Value(i))*1000)
			}))
		}
		return ok(parquet.Types.Int64, fixedBytes(8))
	case *arrow.Time32Type:
		if t.Unit == arrow.Second {
			return ok(parquet.Types.Int32, widened(func(a arrow.Array, i int) int32 { return int32(a.(*array.Time32).Value(i)) * 1000 }))
		}
		return ok(parquet.Types.Int32, fixedBytes(4))
	case *arrow.Date64Type:
		return ok(parquet.Types.Int32, widened(func(a arrow.Array, i int) int32 { return int32(a.(*array.Date64).Value(i).ToTime().Unix() / 86400) }))
	case *arrow.Float16Type, *arrow.FixedSizeBinaryType:
		return ok(parquet.Types.FixedLenByteArray, fixedBytes(t.(arrow.FixedWidthDataType).BitWidth()/8))
	case *arrow.Decimal128Type, *arrow.Decimal256Type:
		return ok(parquet.Types.FixedLenByteArray, decimalBytes(t.(arrow.FixedWidthDataType).BitWidth()/8, c.TypeLength()))
	case *arrow.StringType, *arrow.LargeStringType:
		return ok(parquet.Types.ByteArray, each(func(dst []byte, a arrow.Array, i int) []byte {
			v := a.(interface{ Value(i int) string }).Value(i)
			return append(le.AppendUint32(dst, uint32(len(v))), v...)
		}))
	case *arrow.BinaryType, *arrow.LargeBinaryType:
		return ok(parquet.Types.ByteArray, each(func(dst []byte, a arrow.Array, i int) []byte {
			v := a.(interface{ Value(i int) []byte }).Value(i)
			return append(le.AppendUint32(dst, uint32(len(v))), v...)
		}))
	}
	return valueEncoder{}, fmt.Errorf("type %s cannot be written: %w", t, ErrInvalid)
}

// each calls one for all values.
func each(one func(dst []byte, arr arrow.Array, i int) []byte) valueEncoder {
	return valueEncoder{one: one, all: func(dst []byte, arr arrow.Array, at, n int) []byte {
		for i := at; i < at+n; i++ {
			dst = one(dst, arr, i)
		}
		return dst
	}}
}

func widened(value func(arr arrow.Array, i int) int32) valueEncoder {
	return each(func(dst []byte, arr arrow.Array, i int) []byte { return le.AppendUint32(dst, uint32(value(arr, i))) })
}

// fixedBytes copies values whose Arrow bytes are those of Parquet.
func fixedBytes(w int) valueEncoder {
	all := func(dst []byte, arr arrow.Array, at, n int) []byte {
		d := arr.Data()
		from := (d.Offset() + at) * w
		return append(dst, d.Buffers()[1].Bytes()[from:from+n*w]...)
	}
	return valueEncoder{all: all, one: func(dst []byte, arr arrow.Array, i int) []byte { return all(dst, arr, i, 1) }}
}

// decimalBytes writes little-endian two's complement integers of from bytes as big-endian ones of size bytes, which the
// precision says are enough.
func decimalBytes(from, size int) valueEncoder {
	return each(func(dst []byte, arr arrow.Array, i int) []byte {
		d := arr.Data()
		at := (d.Offset() + i) * from
		v := d.Buffers()[1].Bytes()[at : at+from]
		for k := size - 1; k >= 0; k-- {
			dst = append(dst, v[k])
		}
		return dst
	})
}

// headerWriter writes the fields of one thrift structure in the compact protocol, in ascending order and with ids below 16.
type headerWriter struct {
	b    []byte
	last byte
}

func (c *headerWriter) field(id, typ byte) {
	c.b = append(c.b, (id-c.last)<<4|typ)
	c.last = id
}

func (c *headerWriter) int32(id byte, v int64) {
	c.field(id, thriftI32)
	c.b = binary.AppendVarint(c.b, v)
}

// pageHeaderBytes is PageHeader: type, sizes, and the header of its kind by inner.
func pageHeaderBytes(dst []byte, kind int64, expanded, compressed int, inner func([]byte) []byte) []byte {
	c := headerWriter{b: dst}
	c.int32(1, kind)
	c.int32(2, int64(expanded))
	c.int32(3, int64(compressed))
	if kind == pageDictionary {
		c.field(7, thriftStruct)
	} else {
		c.field(5, thriftStruct)
	}
	return append(inner(c.b), 0)
}

func dataPageHeader(dst []byte, rows int, encoding int32) []byte {
	c := headerWriter{b: dst}
	c.int32(1, int64(rows))
	c.int32(2, int64(encoding))
	c.int32(3, encRLE)
	c.int32(4, encRLE)
	return append(c.b, 0)
}

func dictionaryPageHeader(dst []byte, entries int) []byte {
	c := headerWriter{b: dst}
	c.int32(1, int64(entries))
	c.int32(2, encPlain)
	return append(c.b, 0)
}
