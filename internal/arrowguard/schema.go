package arrowguard

import (
	"fmt"

	"github.com/apache/arrow/go/v17/arrow"
)

// Flatbuffer type codes of Field.type.
const (
	fbNull = iota + 1
	fbInt
	fbFloat
	fbBinary
	fbUtf8
	fbBool
	fbDecimal
	fbDate
	fbTime
	fbTimestamp
	fbInterval
	fbList
	fbStruct
	fbUnion
	fbFixedSizeBinary
	fbFixedSizeList
	fbMap
	fbDuration
	fbLargeBinary
	fbLargeUtf8
	fbLargeList
	fbRunEndEncoded
	fbBinaryView
	fbUtf8View
	fbListView
	fbLargeListView
)

func unsupportedName(code byte) string {
	switch code {
	case fbList:
		return "list"
	case fbStruct:
		return "struct"
	case fbUnion:
		return "union"
	case fbFixedSizeList:
		return "fixed_size_list"
	case fbMap:
		return "map"
	case fbLargeList:
		return "large_list"
	case fbRunEndEncoded:
		return "run_end_encoded"
	case fbBinaryView:
		return "binary_view"
	case fbUtf8View:
		return "string_view"
	case fbListView:
		return "list_view"
	case fbLargeListView:
		return "large_list_view"
	default:
		return fmt.Sprintf("type code %d", code)
	}
}

// instead is what to write for a type that is not supported.
func instead(code byte) string {
	switch code {
	case fbUtf8View:
		return "write them as string"
	case fbBinaryView:
		return "write them as binary"
	case fbRunEndEncoded:
		return "write their plain values"
	}
	return "leave them out, or flatten them"
}

// column is one field of a parsed schema.
type column struct {
	name   string
	typ    arrow.DataType // of the array; a DictionaryType for dictionary columns
	dictID int64          // valid for dictionary columns
}

// parsedSchema is a verified schema message.
type parsedSchema struct {
	schema *arrow.Schema
	cols   []column
	dicts  map[int64]arrow.DataType // value type by dictionary id
}

// schemaParser reads the Schema table. With nested it accepts every type and only verifies structure, because the
// result goes to Arrow's own decoder (Parquet); without it nested types are refused by name.
type schemaParser struct {
	lim    Limits
	fields int
	nested bool
	out    parsedSchema
}

func parseSchema(t table, l Limits, nested bool) (*parsedSchema, error) {
	p := &schemaParser{lim: l, nested: nested, out: parsedSchema{dicts: map[int64]arrow.DataType{}}}
	if e := t.int16At(0, 0); e != 0 {
		return nil, invalid("schema is big-endian (endianness %d); write it on a little-endian machine", e)
	}
	v := t.vectorAt(1, 4)
	fields := make([]arrow.Field, 0, min(v.n, l.MaxFields))
	for i := 0; i < v.n && t.f.err == nil; i++ {
		c, f, err := p.field(v.tableAt(i), 1)
		if err != nil {
			return nil, err
		}
		p.out.cols = append(p.out.cols, c)
		fields = append(fields, f)
	}
	md := metadata(t, 2)
	t.vectorAt(3, 8) // features: verified, not needed
	if t.f.err != nil {
		return nil, t.f.err
	}
	p.out.schema = arrow.NewSchema(fields, &md)
	return &p.out, nil
}

func metadata(t table, slot int) arrow.Metadata {
	v := t.vectorAt(slot, 4)
	if v.n == 0 {
		return arrow.Metadata{}
	}
	keys, vals := make([]string, v.n), make([]string, v.n)
	for i := range keys {
		kv := v.tableAt(i)
		keys[i], vals[i] = kv.text(0), kv.text(1)
		if t.f.err != nil {
			return arrow.Metadata{}
		}
	}
	return arrow.NewMetadata(keys, vals)
}

func (p *schemaParser) field(t table, depth int) (column, arrow.Field, error) {
	var c column
	var f arrow.Field
	if p.fields++; p.fields > p.lim.MaxFields {
		return c, f, overLimit("schema has more than %d fields", p.lim.MaxFields)
	}
	if depth > p.lim.MaxDepth {
		return c, f, overLimit("schema nests deeper than %d", p.lim.MaxDepth)
	}
	f.Name, f.Nullable, f.Metadata = t.text(0), t.flag(1), metadata(t, 6)
	c.name = f.Name
	code := t.byteAt(2, 0)
	typ, ok := t.child(3)
	children := t.vectorAt(5, 4)
	if t.f.err != nil {
		return c, f, t.f.err
	}
	if !ok {
		return c, f, invalid("column %q has no type", f.Name)
	}
	if code == fbUnion {
		typ.vectorAt(1, 4)
	}
	for i := range children.n {
		if !p.nested {
			break
		}
		if _, _, err := p.field(children.tableAt(i), depth+1); err != nil {
			return c, f, err
		}
	}
	dt, err := flatType(code, typ)
	if err != nil {
		return c, f, fmt.Errorf("column %q: %w", f.Name, err)
	}
	if t.f.err != nil {
		return c, f, t.f.err
	}
	if dt == nil && !p.nested {
		return c, f, &unsupported{fmt.Sprintf("column %q: not supported: %s columns; %s", f.Name, unsupportedName(code), instead(code))}
	}
	if dt != nil && children.n > 0 {
		return c, f, invalid("column %q of type %s has %d children", f.Name, dt, children.n)
	}
	enc, isDict := t.child(4)
	if t.f.err != nil {
		return c, f, t.f.err
	}
	if isDict {
		if dt, err = p.dictionary(&c, enc, dt); err != nil {
			return c, f, fmt.Errorf("column %q: %w", f.Name, err)
		}
	}
	c.typ, f.Type = dt, dt
	if dt == nil {
		f.Type = arrow.Null // nested: only the structure is of interest
	}
	return c, f, nil
}

func (p *schemaParser) dictionary(c *column, enc table, value arrow.DataType) (arrow.DataType, error) {
	c.dictID = enc.int64At(0, 0)
	index := arrow.PrimitiveTypes.Int32
	if it, ok := enc.child(1); ok {
		var err error
		if index, err = intType(it); err != nil {
			return nil, err
		}
	}
	if enc.f.err != nil {
		return nil, enc.f.err
	}
	if value == nil { // nested value, tolerated for Parquet only
		return nil, nil
	}
	if old, ok := p.out.dicts[c.dictID]; ok && !arrow.TypeEqual(old, value) {
		return nil, invalid("dictionary %d is declared with values of type %s and of type %s", c.dictID, old, value)
	}
	p.out.dicts[c.dictID] = value
	return &arrow.DictionaryType{IndexType: index, ValueType: value, Ordered: enc.flag(2)}, nil
}

func intType(t table) (arrow.DataType, error) {
	signed := t.flag(1)
	types := map[int32][2]arrow.DataType{
		8:  {arrow.PrimitiveTypes.Uint8, arrow.PrimitiveTypes.Int8},
		16: {arrow.PrimitiveTypes.Uint16, arrow.PrimitiveTypes.Int16},
		32: {arrow.PrimitiveTypes.Uint32, arrow.PrimitiveTypes.Int32},
		64: {arrow.PrimitiveTypes.Uint64, arrow.PrimitiveTypes.Int64},
	}
	bits := t.int32At(0, 0)
	pair, ok := types[bits]
	if !ok {
		return nil, invalid("integer type of %d bits", bits)
	}
	if signed {
		return pair[1], nil
	}
	return pair[0], nil
}

// flatType returns the type of a flat column, or nil for a type that has children or views. Defaults of absent fields
// are those of the Arrow format's schema.
func flatType(code byte, t table) (arrow.DataType, error) {
	switch code {
	case fbNull:
		return arrow.Null, nil
	case fbInt:
		return intType(t)
	case fbFloat:
		switch p := t.int16At(0, 0); p {
		case 0:
			return arrow.FixedWidthTypes.Float16, nil
		case 1:
			return arrow.PrimitiveTypes.Float32, nil
		case 2:
			return arrow.PrimitiveTypes.Float64, nil
		default:
			return nil, invalid("floating-point precision %d", p)
		}
	case fbBinary:
		return arrow.BinaryTypes.Binary, nil
	case fbUtf8:
		return arrow.BinaryTypes.String, nil
	case fbLargeBinary:
		return arrow.BinaryTypes.LargeBinary, nil
	case fbLargeUtf8:
		return arrow.BinaryTypes.LargeString, nil
	case fbBool:
		return arrow.FixedWidthTypes.Boolean, nil
	case fbDecimal:
		return decimalType(t)
	case fbFixedSizeBinary:
		w := t.int32At(0, 0)
		if w < 0 {
			return nil, invalid("fixed-size binary of %d bytes", w)
		}
		return &arrow.FixedSizeBinaryType{ByteWidth: int(w)}, nil
	case fbDate, fbTime, fbTimestamp, fbInterval, fbDuration:
		return temporalType(code, t)
	case fbList, fbStruct, fbUnion, fbFixedSizeList, fbMap, fbLargeList, fbRunEndEncoded, fbBinaryView, fbUtf8View,
		fbListView, fbLargeListView:
		return nil, nil
	default:
		return nil, invalid("unknown %s", unsupportedName(code))
	}
}

func decimalType(t table) (arrow.DataType, error) {
	prec, scale, bits := t.int32At(0, 0), t.int32At(1, 0), t.int32At(2, 128)
	switch {
	case bits == 128 && prec >= 1 && prec <= 38 && scale >= -38 && scale <= 38:
		return &arrow.Decimal128Type{Precision: prec, Scale: scale}, nil
	case bits == 256 && prec >= 1 && prec <= 76 && scale >= -76 && scale <= 76:
		return &arrow.Decimal256Type{Precision: prec, Scale: scale}, nil
	}
	return nil, invalid("decimal type of %d bits with precision %d and scale %d", bits, prec, scale)
}

func temporalType(code byte, t table) (arrow.DataType, error) {
	switch code {
	case fbDate:
		switch u := t.int16At(0, 1); u {
		case 0:
			return arrow.FixedWidthTypes.Date32, nil
		case 1:
			return arrow.FixedWidthTypes.Date64, nil
		default:
			return nil, invalid("date unit %d", u)
		}
	case fbTime:
		unit, bits := t.int16At(0, 1), t.int32At(1, 32)
		switch {
		case bits == 32 && (unit == 0 || unit == 1):
			return &arrow.Time32Type{Unit: arrow.TimeUnit(unit)}, nil
		case bits == 64 && (unit == 2 || unit == 3):
			return &arrow.Time64Type{Unit: arrow.TimeUnit(unit)}, nil
		}
		return nil, invalid("time type of %d bits with unit %d", bits, unit)
	case fbTimestamp:
		unit := t.int16At(0, 0)
		if unit < 0 || unit > 3 {
			return nil, invalid("timestamp unit %d", unit)
		}
		ts := &arrow.TimestampType{Unit: arrow.TimeUnit(unit), TimeZone: t.text(1)}
		if t.f.err != nil {
			return nil, t.f.err
		}
		if _, err := ts.GetZone(); err != nil { // Arrow's own formatting panics on a zone that it cannot load
			return nil, invalid("time zone %q is not known", ts.TimeZone)
		}
		return ts, nil
	case fbDuration:
		unit := t.int16At(0, 1)
		if unit < 0 || unit > 3 {
			return nil, invalid("duration unit %d", unit)
		}
		return &arrow.DurationType{Unit: arrow.TimeUnit(unit)}, nil
	}
	switch u := t.int16At(0, 0); u {
	case 0:
		return arrow.FixedWidthTypes.MonthInterval, nil
	case 1:
		return arrow.FixedWidthTypes.DayTimeInterval, nil
	case 2:
		return arrow.FixedWidthTypes.MonthDayNanoInterval, nil
	default:
		return nil, invalid("interval unit %d", u)
	}
}
