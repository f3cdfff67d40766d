package xgboost

import (
	"fmt"

	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/loader/internal/fault"
	"github.com/treeline-ml/treeline/loader/internal/limit"
)

// The types of numeric categories, as cats.enc names them. Floating-point categories (7, 8) the library refuses.
const (
	categoriesInt8   = 9
	categoriesUint8  = 10
	categoriesInt16  = 11
	categoriesUint16 = 12
	categoriesInt32  = 13
	categoriesUint32 = 14
	categoriesInt64  = 15
	categoriesUint64 = 16
)

// encoding is one feature's entry of cats.enc: strings with offsets, or numbers with a type.
type encoding struct {
	offsets []int32
	named   bool // offsets were there
	typ     int64
	values  []int64
}

// categories reads cats and returns the vocabulary of each feature; nil for a feature that has none.
func (d *document) categories() ([][]forest.Category, error) {
	var out [][]forest.Category
	err := d.cur.object(func(key string) error {
		if key != "enc" {
			return d.cur.skip() // feature_segments and sorted_idx follow from enc
		}
		return d.cur.array(func() error {
			vocabulary, err := d.vocabulary()
			out = append(out, vocabulary)
			if err == nil {
				err = limit.Check("Features", d.limits.Features, int64(len(out)))
			}
			return fault.At(fmt.Sprintf("enc[%d]", len(out)-1), err)
		})
	})
	return out, err
}

func (d *document) vocabulary() ([]forest.Category, error) {
	var e encoding
	err := d.cur.object(func(key string) (err error) {
		switch key {
		case "offsets":
			e.named = true
			e.offsets, err = d.cur.int32s(nil, bound{"Categories", d.limits.Categories + 1})
		case "type":
			e.typ, err = d.count(key)
		case "values":
			// The bytes of all strings, or one number a category.
			e.values, err = d.cur.int64s(nil, bound{"Categories", d.limits.StringBytes + d.limits.Categories})
		default:
			return d.cur.skip()
		}
		return fault.At(key, err)
	})
	if err != nil {
		return nil, err
	}
	if e.named {
		return e.texts()
	}
	return e.numbers()
}

// texts cuts the values, bytes as signed numbers, at the offsets.
func (e *encoding) texts() ([]forest.Category, error) {
	if len(e.offsets) == 0 {
		if len(e.values) > 0 {
			return nil, fault.Malformed("%d bytes of names without offsets", len(e.values))
		}
		return nil, nil
	}
	text := make([]byte, len(e.values))
	for i, v := range e.values {
		if v < -128 || v > 255 {
			return nil, fault.Malformed("values[%d] is %d, a byte is wanted", i, v)
		}
		text[i] = byte(v)
	}
	if e.offsets[0] != 0 || int(e.offsets[len(e.offsets)-1]) != len(text) {
		return nil, fault.Malformed("offsets do not span the %d bytes of names", len(text))
	}
	for i := 1; i < len(e.offsets); i++ {
		if e.offsets[i] < e.offsets[i-1] {
			return nil, fault.Malformed("offsets[%d] is %d after %d", i, e.offsets[i], e.offsets[i-1])
		}
	}
	out := make([]forest.Category, len(e.offsets)-1)
	all := string(text)
	for i := range out {
		out[i] = forest.Category{Kind: forest.CategoryText, Text: all[e.offsets[i]:e.offsets[i+1]]}
	}
	return out, nil
}

// maxExact is the largest magnitude up to which each integer is a float64.
const maxExact = 1 << 53

// numbers reads integers. UBJSON has no unsigned types beyond 8 bits: their bits are stored as signed ones.
func (e *encoding) numbers() ([]forest.Category, error) {
	if len(e.values) == 0 {
		return nil, nil
	}
	out := make([]forest.Category, len(e.values))
	for i, v := range e.values {
		switch e.typ {
		case categoriesUint8:
			v = int64(uint8(v))
		case categoriesUint16:
			v = int64(uint16(v))
		case categoriesUint32:
			v = int64(uint32(v))
		case categoriesInt8, categoriesInt16, categoriesInt32, categoriesInt64, categoriesUint64:
		default:
			return nil, fault.NotSupported("categories of type %d", e.typ)
		}
		if v < -maxExact || v > maxExact {
			return nil, fault.NotSupported("integer categories beyond 2^53 (%d)", v)
		}
		out[i] = forest.Category{Kind: forest.CategoryNumber, Number: float64(v)}
	}
	return out, nil
}
