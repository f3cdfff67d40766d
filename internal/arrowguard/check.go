package arrowguard

import (
	"math"
	"unicode/utf8"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/bitutil"
	"github.com/apache/arrow/go/v17/arrow/memory"
)

func length(b *memory.Buffer) int64 {
	if b == nil {
		return 0
	}
	return int64(b.Len())
}

// checkValidity returns the true null count; -1 (unknown) is accepted as the announced one.
func checkValidity(bitmap *memory.Buffer, n, nulls int64) (int64, error) {
	if bitmap == nil {
		if nulls > 0 {
			return 0, invalid("null count %d without a validity bitmap", nulls)
		}
		return 0, nil
	}
	if have, want := length(bitmap), (n+7)/8; have < want {
		return 0, invalid("validity bitmap of %d bytes for %d rows, want %d", have, n, want)
	}
	truth := n - int64(bitutil.CountSetBits(bitmap.Bytes(), 0, int(n)))
	if nulls >= 0 && nulls != truth {
		return 0, invalid("null count %d, but the validity bitmap has %d nulls", nulls, truth)
	}
	return truth, nil
}

// checkValues verifies the buffers behind the validity bitmap for n rows. For an empty column it clears them, so that
// nothing unverified is left.
func checkValues(typ arrow.DataType, bufs []*memory.Buffer, n int64) error {
	if n == 0 {
		for i := range bufs {
			if bufs[i] != nil {
				bufs[i].Release()
				bufs[i] = nil
			}
		}
		return nil
	}
	switch t := typ.(type) {
	case *arrow.StringType, *arrow.BinaryType:
		return checkOffsets(arrow.Int32Traits.CastFromBytes(whole(bufs[1], 4)), bufs, n, typ.ID() == arrow.STRING)
	case *arrow.LargeStringType, *arrow.LargeBinaryType:
		return checkOffsets(arrow.Int64Traits.CastFromBytes(whole(bufs[1], 8)), bufs, n, typ.ID() == arrow.LARGE_STRING)
	case *arrow.BooleanType:
		if have, want := length(bufs[1]), (n+7)/8; have < want {
			return invalid("values of %d bytes for %d booleans, want %d", have, n, want)
		}
		return nil
	case arrow.FixedWidthDataType: // of a DictionaryType it is the width of the index
		width := int64(t.BitWidth() / 8)
		if width > 0 && n > math.MaxInt64/width {
			return invalid("%d rows of %d bytes", n, width)
		}
		if have, want := length(bufs[1]), n*width; have < want {
			return invalid("values of %d bytes for %d rows of %d bytes, want %d", have, n, width, want)
		}
		return nil
	}
	return invalid("type %s is not supported", typ)
}

// whole returns the buffer's bytes cut to whole elements.
func whole(b *memory.Buffer, width int) []byte {
	if b == nil {
		return nil
	}
	return b.Bytes()[:b.Len()/width*width]
}

func checkOffsets[T int32 | int64](offsets []T, bufs []*memory.Buffer, n int64, text bool) error {
	if int64(len(offsets)) < n+1 {
		return invalid("%d offsets for %d rows, want %d", len(offsets), n, n+1)
	}
	offsets = offsets[:n+1]
	size := length(bufs[2])
	prev := offsets[0]
	if prev < 0 {
		return invalid("first offset is %d", prev)
	}
	for i, o := range offsets[1:] {
		if o < prev {
			return invalid("offset %d of row %d is below the one before, %d", o, i, prev)
		}
		prev = o
	}
	if int64(prev) > size {
		return invalid("last offset %d is beyond the values of %d bytes", prev, size)
	}
	if bufs[2] == nil { // all values are empty; Arrow wants a buffer to slice
		bufs[2] = memory.NewBufferBytes([]byte{})
	}
	if !text {
		return nil
	}
	return checkText(offsets, bufs[2].Bytes(), bufs[0])
}

// checkText verifies UTF-8, first in one go over all values: a whole that is valid and cut only at rune starts has valid
// parts. What lies under null rows may be anything.
func checkText[T int32 | int64](offsets []T, data []byte, bitmap *memory.Buffer) error {
	if utf8.Valid(data[offsets[0]:offsets[len(offsets)-1]]) {
		good := true
		for _, o := range offsets[1 : len(offsets)-1] {
			good = good && (int(o) == len(data) || utf8.RuneStart(data[o]))
		}
		if good {
			return nil
		}
	}
	for i := range len(offsets) - 1 {
		if bitmap != nil && !bitutil.BitIsSet(bitmap.Bytes(), i) {
			continue
		}
		if !utf8.Valid(data[offsets[i]:offsets[i+1]]) {
			return invalid("row %d is not valid UTF-8", i)
		}
	}
	return nil
}

// checkIndices verifies that every valid row's index is in the dictionary.
func checkIndices(index arrow.DataType, bufs []*memory.Buffer, n, nulls int64, dict *array.Data) error {
	if nulls == n { // a column of nulls needs no dictionary
		return nil
	}
	size := uint64(dict.Len())
	b := bufs[1].Bytes()
	var bad int
	switch index.ID() {
	case arrow.INT8:
		bad = outOfRange(arrow.Int8Traits.CastFromBytes(b), size, bufs[0], n)
	case arrow.UINT8:
		bad = outOfRange(arrow.Uint8Traits.CastFromBytes(b), size, bufs[0], n)
	case arrow.INT16:
		bad = outOfRange(arrow.Int16Traits.CastFromBytes(whole(bufs[1], 2)), size, bufs[0], n)
	case arrow.UINT16:
		bad = outOfRange(arrow.Uint16Traits.CastFromBytes(whole(bufs[1], 2)), size, bufs[0], n)
	case arrow.INT32:
		bad = outOfRange(arrow.Int32Traits.CastFromBytes(whole(bufs[1], 4)), size, bufs[0], n)
	case arrow.UINT32:
		bad = outOfRange(arrow.Uint32Traits.CastFromBytes(whole(bufs[1], 4)), size, bufs[0], n)
	case arrow.INT64:
		bad = outOfRange(arrow.Int64Traits.CastFromBytes(whole(bufs[1], 8)), size, bufs[0], n)
	case arrow.UINT64:
		bad = outOfRange(arrow.Uint64Traits.CastFromBytes(whole(bufs[1], 8)), size, bufs[0], n)
	default:
		return invalid("dictionary index type %s", index)
	}
	if bad >= 0 {
		return invalid("row %d: dictionary index outside of %d entries", bad, size)
	}
	return nil
}

// outOfRange returns the first valid row whose index is negative or too large, -1 when there is none. A negative index
// becomes a huge unsigned one.
func outOfRange[I int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64](v []I, size uint64, bitmap *memory.Buffer, n int64) int {
	for i, x := range v[:n] {
		if uint64(int64(x)) >= size && (bitmap == nil || bitutil.BitIsSet(bitmap.Bytes(), i)) {
			return i
		}
	}
	return -1
}
