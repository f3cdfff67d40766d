package scoring

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/bits"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/treeline-ml/treeline/internal/rowhash"
	"github.com/treeline-ml/treeline/warehouse"
)

// digest is the sum modulo 2^128 of a hash of each row: it does not depend on the order of rows, and the digests of two
// halves of a batch add up to that of the whole. docs/format/output-digest.md defines every byte.
type digest struct{ hi, lo uint64 }

func (d *digest) merge(o digest) {
	var carry uint64
	d.lo, carry = bits.Add64(d.lo, o.lo, 0)
	d.hi, _ = bits.Add64(d.hi, o.hi, carry)
}

// String is 32 hex digits, the most significant first.
func (d digest) String() string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], d.hi)
	binary.BigEndian.PutUint64(b[8:], d.lo)
	return hex.EncodeToString(b[:])
}

// The tags of docs/format/output-digest.md.
const (
	tagNull      = 0x00
	tagInteger   = 0x01
	tagUnsigned  = 0x02
	tagText      = 0x03
	tagBytes     = 0x04
	tagFloat     = 0x05
	tagBool      = 0x06
	tagDate      = 0x07
	tagTimestamp = 0x08
	tagDecimal   = 0x09
	tagScore     = 0x10
)

// rowHasher hashes rows of one piece after the other, with buffers of its own.
type rowHasher struct {
	keys  []func(dst []byte, row int) []byte
	buf   []byte
	lanes rowhash.Batch
	long  bool // rows have more than a lane has room for
}

// bind takes the key columns of the next piece.
func (h *rowHasher) bind(keys []arrow.Array) error {
	h.keys = h.keys[:0]
	for i, k := range keys {
		enc, err := keyEncoder(k)
		if err != nil {
			return fmt.Errorf("key column %d: %w", i+1, err)
		}
		h.keys = append(h.keys, enc)
	}
	return nil
}

// rows adds the hashes of all rows. The scores are row-major; those of null rows are nulls.
func (h *rowHasher) rows(scores []float64, width int, null []bool) digest {
	var sum digest
	rows := len(scores) / width
	values := func(row int) []float64 {
		if len(null) > 0 && null[row] {
			return nil
		}
		return scores[row*width : (row+1)*width]
	}
	for at := 0; at < rows; {
		n := 0
		for ; n < rowhash.Lanes && at+n < rows && !h.long; n++ {
			h.long = !h.lanes.Set(n, h.message(h.lanes.Message(n), at+n, values(at+n), width))
		}
		if h.long { // also the rows before the one that is too long: how long they are is much the same
			for ; at < rows; at++ {
				sum.merge(h.row(at, values(at), width))
			}
			return sum
		}
		h.lanes.Sum()
		for lane := range n {
			low, high := h.lanes.First(lane)
			sum.merge(digest{hi: high, lo: low})
		}
		at += n
	}
	return sum
}

// row hashes a row's key and scores; nil scores are nulls.
func (h *rowHasher) row(row int, scores []float64, width int) digest {
	h.buf = h.message(h.buf[:0], row, scores, width)
	sum := sha256.Sum256(h.buf)
	return digest{lo: binary.LittleEndian.Uint64(sum[:8]), hi: binary.LittleEndian.Uint64(sum[8:16])}
}

// message appends what is hashed of a row.
func (h *rowHasher) message(b []byte, row int, scores []float64, width int) []byte {
	for _, enc := range h.keys {
		b = enc(b, row)
	}
	for i := range width {
		if scores == nil {
			b = append(b, tagNull)
			continue
		}
		b = binary.LittleEndian.AppendUint64(append(b, tagScore), scoreBits(scores[i]))
	}
	return b
}

// scoreBits is IEEE 754, with one bit pattern for all NaNs because which one a calculation gives depends on the processor.
func scoreBits(v float64) uint64 {
	if math.IsNaN(v) {
		return 0x7ff8000000000000
	}
	return math.Float64bits(v)
}

// keyEncoder appends the value of one row, by kind and not by width: an int32 key and the BIGINT that a table made of it
// have the same bytes.
func keyEncoder(col arrow.Array) (func([]byte, int) []byte, error) {
	var enc func([]byte, int) []byte
	switch a := col.(type) {
	case *array.Int8:
		enc = signed(a.Int8Values())
	case *array.Int16:
		enc = signed(a.Int16Values())
	case *array.Int32:
		enc = signed(a.Int32Values())
	case *array.Int64:
		enc = signed(a.Int64Values())
	case *array.Uint8:
		enc = unsigned(a.Uint8Values())
	case *array.Uint16:
		enc = unsigned(a.Uint16Values())
	case *array.Uint32:
		enc = unsigned(a.Uint32Values())
	case *array.Uint64:
		enc = unsigned(a.Uint64Values())
	case *array.Float32:
		enc = floats(a.Float32Values())
	case *array.Float64:
		enc = floats(a.Float64Values())
	case *array.String:
		enc = func(b []byte, i int) []byte { return text(b, tagText, a.Value(i)) }
	case *array.LargeString:
		enc = func(b []byte, i int) []byte { return text(b, tagText, a.Value(i)) }
	case *array.StringView:
		enc = func(b []byte, i int) []byte { return text(b, tagText, a.Value(i)) }
	case *array.Binary:
		enc = func(b []byte, i int) []byte { return text(b, tagBytes, a.Value(i)) }
	case *array.LargeBinary:
		enc = func(b []byte, i int) []byte { return text(b, tagBytes, a.Value(i)) }
	case *array.FixedSizeBinary:
		enc = func(b []byte, i int) []byte { return text(b, tagBytes, a.Value(i)) }
	case *array.Boolean:
		enc = func(b []byte, i int) []byte {
			if a.Value(i) {
				return append(b, tagBool, 1)
			}
			return append(b, tagBool, 0)
		}
	case *array.Date32:
		enc = func(b []byte, i int) []byte { return day(b, a.Value(i).ToTime()) }
	case *array.Date64:
		enc = func(b []byte, i int) []byte { return day(b, a.Value(i).ToTime()) }
	case *array.Timestamp:
		unit := a.DataType().(*arrow.TimestampType).Unit
		enc = func(b []byte, i int) []byte { return instant(b, int64(a.Value(i)), unit) }
	case *array.Decimal128:
		scale := a.DataType().(*arrow.Decimal128Type).Scale
		enc = func(b []byte, i int) []byte {
			v := a.Value(i)
			b = binary.LittleEndian.AppendUint32(append(b, tagDecimal), uint32(scale))
			b = binary.LittleEndian.AppendUint64(b, v.LowBits())
			return binary.LittleEndian.AppendUint64(b, uint64(v.HighBits()))
		}
	case *array.Dictionary:
		values, err := keyEncoder(a.Dictionary())
		if err != nil {
			return nil, err
		}
		enc = func(b []byte, i int) []byte { return values(b, a.GetValueIndex(i)) }
	default:
		return nil, fmt.Errorf("type %s cannot be a key: %w", col.DataType(), warehouse.ErrColumn)
	}
	return func(b []byte, i int) []byte {
		if col.IsNull(i) {
			return append(b, tagNull)
		}
		return enc(b, i)
	}, nil
}

func signed[T int8 | int16 | int32 | int64](vs []T) func([]byte, int) []byte {
	return func(b []byte, i int) []byte {
		return binary.LittleEndian.AppendUint64(append(b, tagInteger), uint64(int64(vs[i])))
	}
}

func unsigned[T uint8 | uint16 | uint32 | uint64](vs []T) func([]byte, int) []byte {
	return func(b []byte, i int) []byte {
		v, tag := uint64(vs[i]), byte(tagInteger)
		if v > math.MaxInt64 {
			tag = tagUnsigned
		}
		return binary.LittleEndian.AppendUint64(append(b, tag), v)
	}
}

func floats[T float32 | float64](vs []T) func([]byte, int) []byte {
	return func(b []byte, i int) []byte {
		return binary.LittleEndian.AppendUint64(append(b, tagFloat), scoreBits(float64(vs[i])))
	}
}

func text[T string | []byte](b []byte, tag byte, v T) []byte {
	b = binary.LittleEndian.AppendUint32(append(b, tag), uint32(len(v)))
	return append(b, v...)
}

func day(b []byte, t time.Time) []byte {
	days := t.Unix() / (24 * 60 * 60) // dates are whole days, before 1970 too
	return binary.LittleEndian.AppendUint64(append(b, tagDate), uint64(days))
}

// instant writes whole seconds, rounded down, and the nanoseconds after them: equal instants in different units are equal.
func instant(b []byte, v int64, unit arrow.TimeUnit) []byte {
	per := int64(time.Second / unit.Multiplier())
	sec, rest := v/per, v%per
	if rest < 0 {
		sec, rest = sec-1, rest+per
	}
	b = binary.LittleEndian.AppendUint64(append(b, tagTimestamp), uint64(sec))
	return binary.LittleEndian.AppendUint32(b, uint32(rest*int64(unit.Multiplier())))
}
