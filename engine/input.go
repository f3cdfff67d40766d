package engine

import (
	"math"
	"math/bits"
)

// word is the number of rows that one machine word of row bits stands for.
const word = 64

// reading says how stored values become values of the model's input type.
type reading struct {
	single     bool    // inputs are rounded to float32
	hasMissing bool    // missing is set
	missing    float64 // a value of the input type that is read as NaN
}

// values returns rows from..from+n of c as input-type values, NaN for missing ones: a view of the caller's memory
// where nothing has to change, else buf.
func (c *Column) values(buf []float64, from, n int, rd *reading) []float64 {
	if c.kind == kindFloat64 && !c.lookup && c.valid == nil && !rd.single && !rd.hasMissing {
		return elements[float64](c)[from : from+n]
	}
	buf = buf[:n]
	c.convert(buf, from, rd.single)
	if c.valid != nil {
		c.blank(buf, from)
	}
	if rd.hasMissing {
		for i, x := range buf {
			if x == rd.missing {
				buf[i] = math.NaN()
			}
		}
	}
	return buf
}

// convert fills dst with rows from.. of c, nulls included.
func (c *Column) convert(dst []float64, from int, single bool) {
	switch c.kind {
	case kindFloat64:
		src := elements[float64](c)[from : from+len(dst)]
		if !single {
			copy(dst, src)
			return
		}
		for i, x := range src {
			dst[i] = float64(float32(x))
		}
	case kindFloat32:
		for i, x := range elements[float32](c)[from : from+len(dst)] {
			dst[i] = float64(x)
		}
	case kindInt64:
		convertInts[int64](c, dst, from, single)
	case kindInt32:
		convertInts[int32](c, dst, from, single)
	case kindInt16:
		convertInts[int16](c, dst, from, single)
	case kindInt8:
		convertInts[int8](c, dst, from, single)
	case kindUint64:
		convertInts[uint64](c, dst, from, single)
	case kindUint32:
		convertInts[uint32](c, dst, from, single)
	case kindUint16:
		convertInts[uint16](c, dst, from, single)
	case kindUint8:
		convertInts[uint8](c, dst, from, single)
	case kindBits:
		bitmap := elements[uint8](&Column{data: c.data, n: (c.offset + c.n + 7) / 8})
		for i := range dst {
			at := c.offset + from + i
			dst[i] = float64(bitmap[at>>3] >> (at & 7) & 1)
		}
	default:
		for i := range dst {
			dst[i] = math.NaN()
		}
	}
}

// convertInts converts integers (to the input type in one rounding, as the libraries do) and dictionary positions.
func convertInts[I Index](c *Column, dst []float64, from int, single bool) {
	src := elements[I](c)[from : from+len(dst)]
	switch {
	case c.lookup:
		for i, v := range src {
			x := math.NaN() // under a null the position may be anything
			if uint64(v) < uint64(len(c.table)) {
				x = c.table[v]
			}
			if single {
				x = float64(float32(x))
			}
			dst[i] = x
		}
	case single:
		for i, v := range src {
			dst[i] = float64(float32(v))
		}
	default:
		for i, v := range src {
			dst[i] = float64(v)
		}
	}
}

// blank sets null rows to NaN.
func (c *Column) blank(dst []float64, from int) {
	for base := 0; base < len(dst); base += word {
		n := min(word, len(dst)-base)
		nulls := ^bitsAt(c.valid, c.voff+from+base, n)
		if n < word {
			nulls &= 1<<n - 1
		}
		for ; nulls != 0; nulls &= nulls - 1 {
			dst[base+bits.TrailingZeros64(nulls)] = math.NaN()
		}
	}
}

// bitsAt returns n <= 64 bits of an LSB-first bitmap, from bit at on; higher bits of the result are arbitrary.
func bitsAt(bitmap []byte, at, n int) uint64 {
	first, shift := at>>3, at&7
	last := (at + n + 7) >> 3
	var w uint64
	for i := min(last-first, 8) - 1; i >= 0; i-- {
		w = w<<8 | uint64(bitmap[first+i])
	}
	w >>= shift
	if last-first > 8 {
		w |= uint64(bitmap[last-1]) << (64 - shift)
	}
	return w
}
