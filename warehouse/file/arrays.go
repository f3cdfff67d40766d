package file

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
)

var errUTF8 = errors.New("text that is not valid UTF-8")

// array decodes n rows as an array of the given type.
func (c *columnReader) array(mem memory.Allocator, typ arrow.DataType, n int) (arrow.Array, error) {
	if typ.ID() == arrow.NULL {
		return c.nulls(mem, n)
	}
	b := c.newBlock(mem, n)
	defer b.release()
	bufs, err := c.buffers(mem, typ, b)
	defer func() {
		for _, buf := range bufs {
			if buf != nil {
				buf.Release()
			}
		}
	}()
	if err != nil {
		return nil, err
	}
	valid := b.finish()
	if valid != nil {
		defer valid.Release()
	}
	all := append([]*memory.Buffer{valid}, bufs...)
	if _, ok := typ.(*arrow.DictionaryType); ok {
		dict := c.texted.array(mem, typ)
		defer dict.Release()
		d := array.NewDataWithDictionary(typ, n, all, b.nulls, 0, dict.Data().(*array.Data))
		defer d.Release()
		return array.MakeFromData(d), nil
	}
	d := array.NewData(typ, n, all, nil, b.nulls, 0)
	defer d.Release()
	return array.MakeFromData(d), nil
}

// nulls reads a column whose writer knew no type for it, as pyarrow stores one of None alone. Its physical type means
// nothing; a value in it would be lost, so there must be none.
func (c *columnReader) nulls(mem memory.Allocator, n int) (arrow.Array, error) {
	b := c.newBlock(mem, n)
	defer b.release()
	err := c.pieces(b, func(s stretch) error {
		if s.present > 0 {
			return fmt.Errorf("%d values in a column of type null: %w", s.present, ErrInvalid)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return array.NewNull(n), nil
}

// buffers decodes the buffers that follow the validity bitmap.
func (c *columnReader) buffers(mem memory.Allocator, typ arrow.DataType, b *block) ([]*memory.Buffer, error) {
	switch t := typ.(type) {
	case *arrow.BooleanType:
		if c.leaf.physical != physBool {
			break
		}
		return one(c.bools(mem, b))
	case *arrow.StringType, *arrow.BinaryType, *arrow.LargeStringType, *arrow.LargeBinaryType:
		if c.leaf.physical != physBytes {
			break
		}
		return c.textBuffers(mem, typ, b)
	case *arrow.DictionaryType:
		if c.leaf.physical != physBytes {
			break
		}
		return one(c.dictionaryIndices(mem, t, b))
	case *arrow.Decimal128Type, *arrow.Decimal256Type:
		return one(c.decimals(mem, typ.(arrow.FixedWidthDataType).BitWidth()/8, b))
	case arrow.FixedWidthDataType:
		if c.leaf.bytes() == 0 {
			break
		}
		raw, err := c.fixed(mem, b)
		if err != nil {
			return nil, err
		}
		return one(c.convert(mem, t, raw, b.n))
	}
	return nil, fmt.Errorf("physical type %d cannot be read as %s: %w", c.leaf.physical, typ, ErrInvalid)
}

func one(b *memory.Buffer, err error) ([]*memory.Buffer, error) {
	if err != nil {
		return nil, err
	}
	return []*memory.Buffer{b}, nil
}

// convert turns fixed-width values into the type's own width. It takes over raw.
func (c *columnReader) convert(mem memory.Allocator, typ arrow.FixedWidthDataType, raw *memory.Buffer, n int) (*memory.Buffer, error) {
	want, have := typ.BitWidth()/8, c.leaf.bytes()
	if c.leaf.physical == physInt96 {
		defer raw.Release()
		if typ.ID() != arrow.TIMESTAMP {
			return nil, fmt.Errorf("96-bit time cannot be read as %s: %w", typ, ErrInvalid)
		}
		return fromInt96(mem, raw.Bytes(), n), nil
	}
	if want == have {
		return raw, nil
	}
	defer raw.Release()
	if c.leaf.physical != physInt32 {
		return nil, fmt.Errorf("values of %d bytes cannot be read as %s: %w", have, typ, ErrInvalid)
	}
	out := memory.NewResizableBuffer(mem)
	out.Resize(n * want)
	src := arrow.Int32Traits.CastFromBytes(raw.Bytes())
	var bad bool
	switch typ.ID() {
	case arrow.INT8:
		bad = narrow(arrow.Int8Traits.CastFromBytes(out.Bytes()), src)
	case arrow.UINT8:
		bad = narrow(arrow.Uint8Traits.CastFromBytes(out.Bytes()), src)
	case arrow.INT16:
		bad = narrow(arrow.Int16Traits.CastFromBytes(out.Bytes()), src)
	case arrow.UINT16:
		bad = narrow(arrow.Uint16Traits.CastFromBytes(out.Bytes()), src)
	default:
		out.Release()
		return nil, fmt.Errorf("32-bit integers cannot be read as %s: %w", typ, ErrInvalid)
	}
	if bad {
		out.Release()
		return nil, fmt.Errorf("a value does not fit %s: %w", typ, ErrInvalid)
	}
	return out, nil
}

func narrow[T int8 | int16 | uint8 | uint16](dst []T, src []int32) (bad bool) {
	for i, v := range src {
		dst[i] = T(v)
		bad = bad || int32(dst[i]) != v
	}
	return bad
}

// fromInt96 converts nanoseconds of the day and Julian day numbers to nanoseconds since 1970.
func fromInt96(mem memory.Allocator, raw []byte, n int) *memory.Buffer {
	const unixEpoch = 2440588
	out := memory.NewResizableBuffer(mem)
	out.Resize(n * 8)
	dst := arrow.Int64Traits.CastFromBytes(out.Bytes())
	for i := range dst {
		v := raw[12*i:]
		if day := int64(le.Uint32(v[8:])); day != 0 {
			dst[i] = (day-unixEpoch)*86400e9 + int64(le.Uint64(v))
		} else {
			dst[i] = 0
		}
	}
	return out
}

// decimals reads two's complement integers: little-endian ones of 4 or 8 bytes, or big-endian byte arrays.
func (c *columnReader) decimals(mem memory.Allocator, width int, b *block) (*memory.Buffer, error) {
	out := memory.NewResizableBuffer(mem)
	out.Resize(b.n * width)
	dst := out.Bytes()
	clear(dst)
	err := c.decimalValues(mem, dst, width, b)
	if err != nil {
		out.Release()
		return nil, err
	}
	return out, nil
}

func (c *columnReader) decimalValues(mem memory.Allocator, dst []byte, width int, b *block) error {
	if c.leaf.physical == physBytes {
		return c.texts(b, func(v []byte) error {
			defer func() { dst = dst[width:] }()
			return bigEndian(dst[:width], v)
		}, func() { dst = dst[width:] })
	}
	w := c.leaf.bytes()
	if c.leaf.physical != physInt32 && c.leaf.physical != physInt64 && c.leaf.physical != physFixed {
		return fmt.Errorf("physical type %d cannot be read as a decimal: %w", c.leaf.physical, ErrInvalid)
	}
	raw, err := c.fixed(mem, b)
	if err != nil {
		return err
	}
	defer raw.Release()
	var flipped [8]byte
	for i := range b.n {
		v := raw.Bytes()[i*w : (i+1)*w]
		switch c.leaf.physical {
		case physInt32:
			binary.BigEndian.PutUint32(flipped[:], le.Uint32(v))
			v = flipped[:4]
		case physInt64:
			binary.BigEndian.PutUint64(flipped[:], le.Uint64(v))
			v = flipped[:8]
		}
		if err := bigEndian(dst[i*width:(i+1)*width], v); err != nil {
			return err
		}
	}
	return nil
}

// bigEndian writes a big-endian two's complement integer as a little-endian one of the size of dst.
func bigEndian(dst, v []byte) error {
	sign := byte(0)
	if len(v) > 0 && v[0] >= 0x80 {
		sign = 0xff
	}
	for len(v) > len(dst) {
		if v[0] != sign {
			return fmt.Errorf("decimal of %d bytes does not fit %d: %w", len(v), len(dst), ErrInvalid)
		}
		v = v[1:]
	}
	for i := range dst {
		if i < len(v) {
			dst[i] = v[len(v)-1-i]
		} else {
			dst[i] = sign
		}
	}
	return nil
}

// textBuffers reads offsets and bytes.
func (c *columnReader) textBuffers(mem memory.Allocator, typ arrow.DataType, b *block) (bufs []*memory.Buffer, err error) {
	wide := typ.ID() == arrow.LARGE_STRING || typ.ID() == arrow.LARGE_BINARY
	check := typ.ID() == arrow.LARGE_STRING || typ.ID() == arrow.STRING
	offsets, data := memory.NewResizableBuffer(mem), memory.NewResizableBuffer(mem)
	defer func() {
		if err != nil {
			offsets.Release()
			data.Release()
		}
	}()
	width := 4
	if wide {
		width = 8
	}
	offsets.Resize((b.n + 1) * width)
	row, size := 0, 0
	end := func() {
		row++
		if wide {
			le.PutUint64(offsets.Bytes()[8*row:], uint64(size))
		} else {
			le.PutUint32(offsets.Bytes()[4*row:], uint32(size))
		}
	}
	clear(offsets.Bytes()[:width])
	err = c.texts(b, func(v []byte) error {
		if size+len(v) > maxTexts {
			return fmt.Errorf("texts of one record exceed %d bytes: read fewer rows a record: %w", maxTexts, ErrInvalid)
		}
		if check && !utf8.Valid(v) {
			return fmt.Errorf("row %d of the record: %w: %w", row, errUTF8, ErrInvalid)
		}
		if size+len(v) > data.Len() {
			data.Resize(max(size+len(v), 2*data.Len(), 64))
		}
		size += copy(data.Bytes()[size:], v)
		end()
		return nil
	}, end)
	if err != nil {
		return nil, err
	}
	data.Resize(size)
	return []*memory.Buffer{offsets, data}, nil
}

// textDictionary is the dictionary of a column that is delivered as one. It starts with the chunk's dictionary page and
// grows by the texts of pages that the writer did not encode.
type textDictionary struct {
	entries [][]byte
	index   map[string]int32 // built when the first such page comes
	bytes   int
}

func (d *textDictionary) add(v []byte) (int32, error) {
	if i, ok := d.index[string(v)]; ok {
		return i, nil
	}
	if d.bytes += len(v); d.bytes > maxTexts {
		return 0, fmt.Errorf("dictionary of more than %d bytes: %w", maxTexts, ErrInvalid)
	}
	i := int32(len(d.entries))
	s := string(v)
	d.entries = append(d.entries, []byte(s))
	d.index[s] = i
	return i, nil
}

// array copies the entries: their number is that of a dictionary page.
func (d *textDictionary) array(mem memory.Allocator, typ arrow.DataType) arrow.Array {
	b := array.NewBinaryBuilder(mem, typ.(*arrow.DictionaryType).ValueType.(arrow.BinaryDataType))
	defer b.Release()
	b.Reserve(len(d.entries))
	b.ReserveData(d.bytes)
	for _, v := range d.entries {
		b.Append(v)
	}
	a := b.NewArray()
	if a.DataType().ID() == arrow.STRING {
		defer a.Release()
		return array.MakeFromData(a.Data())
	}
	return a
}

// dictionaryIndices reads 32-bit indices into c.texted.
func (c *columnReader) dictionaryIndices(mem memory.Allocator, t *arrow.DictionaryType, b *block) (*memory.Buffer, error) {
	check := t.ValueType.ID() == arrow.STRING
	out := memory.NewResizableBuffer(mem)
	out.Resize(b.n * 4)
	dst := arrow.Int32Traits.CastFromBytes(out.Bytes())
	err := c.pieces(b, func(s stretch) error {
		if c.texted.entries == nil && c.hasDict {
			for i := range c.entries {
				v := c.dict[c.offsets[i]+4 : c.offsets[i+1]]
				if check && !utf8.Valid(v) {
					return fmt.Errorf("dictionary entry %d: %w: %w", i, errUTF8, ErrInvalid)
				}
				c.texted.entries = append(c.texted.entries, v)
				c.texted.bytes += len(v)
			}
		}
		var idx []uint32
		if c.indexed {
			var err error
			if idx, err = c.indices(s.present); err != nil {
				return err
			}
		}
		for i := range s.n {
			if !s.has(i) {
				dst[s.at+i] = 0
				continue
			}
			if c.indexed {
				dst[s.at+i] = int32(idx[0])
				idx = idx[1:]
				continue
			}
			k, err := c.addText(check)
			if err != nil {
				return err
			}
			dst[s.at+i] = k
		}
		return nil
	})
	if err != nil {
		out.Release()
		return nil, err
	}
	return out, nil
}

// addText takes a text off the current page and returns its index.
func (c *columnReader) addText(check bool) (int32, error) {
	if c.texted.index == nil {
		c.texted.index = make(map[string]int32, len(c.texted.entries))
		for i, v := range c.texted.entries {
			c.texted.index[string(v)] = int32(i)
		}
	}
	v, rest, err := text(c.plain)
	if err != nil {
		return 0, err
	}
	c.plain = rest
	if check && !utf8.Valid(v) {
		return 0, fmt.Errorf("%w: %w", errUTF8, ErrInvalid)
	}
	return c.texted.add(v)
}
