package file

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/metadata"
	"github.com/apache/arrow/go/v17/parquet/schema"
	"github.com/klauspost/compress/zstd"
)

const (
	// pageBytes is the size from which on a page is ended, and the size of a dictionary after which values follow plain.
	pageBytes = 1 << 20
	// pieceRows are looked at together where the size of values is not known, so that pages do not grow far beyond pageBytes.
	pieceRows = 1 << 10
)

// columnEncoder makes the chunks of one column, one after the other.
type columnEncoder struct {
	name     string
	optional bool
	values   valueEncoder
	indexed  bool // texts and dictionaries: as long as the dictionary is small
	bools    bool
	zstd     *zstd.Encoder
	// What the first page decides for all of them.
	codec   int32 // codecNone or codecZstd
	delta   int   // bytes of the integers that are written as differences, 0 for none
	decided bool

	// The current page.
	rows  int
	nulls int
	valid []byte // a bit a row, once there was a null
	plain []byte // PLAIN values
	bits  int    // of plain: booleans
	codes codes

	// The current chunk.
	body    []byte // finished pages
	chunk   writtenChunk
	dict    map[string]uint32
	entries []byte // PLAIN
	full    bool   // the dictionary is: values follow plain

	remap     []int32 // codes of the entries of an Arrow dictionary, -1 when unknown yet
	remapOf   *array.Data
	scratch   []byte
	squeezed  []byte
	dictBytes []byte
}

// writtenChunk is what the footer says of a chunk.
type writtenChunk struct {
	dictAt, dataAt       int64
	compressed, expanded int64
	rows, nulls          int64
	indexed, plain       int32 // data pages by encoding
	hasDict, delta       bool
}

func newColumnEncoder(f arrow.Field, c *schema.Column, z *zstd.Encoder) (*columnEncoder, error) {
	typ := f.Type
	e := &columnEncoder{name: f.Name, optional: c.MaxDefinitionLevel() > 0, zstd: z, codec: codecZstd}
	if d, ok := typ.(*arrow.DictionaryType); ok {
		typ, e.indexed = d.ValueType, true
	}
	var err error
	if e.values, err = newValueEncoder(typ, c); err != nil {
		return nil, fmt.Errorf("column %q: %w", f.Name, err)
	}
	switch typ.ID() {
	case arrow.BOOL:
		e.bools = true
	case arrow.STRING, arrow.LARGE_STRING, arrow.BINARY, arrow.LARGE_BINARY:
		e.indexed = true
	}
	switch {
	case e.indexed:
		e.dict = map[string]uint32{}
	case c.PhysicalType() == parquet.Types.Int32:
		e.delta = 4
	case c.PhysicalType() == parquet.Types.Int64:
		e.delta = 8
	}
	return e, nil
}

// append adds n rows of a column from row at on, which end no later than the row group.
func (c *columnEncoder) append(arr arrow.Array, at, n int) error {
	step := n
	if d, ok := arr.(*array.Dictionary); c.indexed && (!ok || d.Dictionary().Len() != 1) {
		step = pieceRows
	}
	for end := at + n; at < end; at += step {
		if err := c.piece(arr, at, min(step, end-at)); err != nil {
			return err
		}
		outgrown := c.indexed && !c.full && len(c.entries) >= pageBytes
		if outgrown || len(c.plain) >= pageBytes {
			c.endPage()
		}
		c.full = c.full || outgrown
	}
	return nil
}

func (c *columnEncoder) piece(arr arrow.Array, at, n int) error {
	if !c.optional && arr.NullN() > 0 {
		for i := at; i < at+n; i++ {
			if arr.IsNull(i) {
				return fmt.Errorf("null in row %d of a column that has none: %w", i, ErrInvalid)
			}
		}
	}
	c.levels(arr, at, n)
	if arr.DataType().ID() == arrow.NULL {
		return nil
	}
	if d, ok := arr.(*array.Dictionary); ok {
		return c.dictionary(d, at, n)
	}
	switch {
	case c.bools:
		c.booleans(arr.(*array.Boolean), at, n)
	case c.indexed:
		for i := at; i < at+n; i++ {
			if arr.IsValid(i) {
				c.scratch = c.values.one(c.scratch[:0], arr, i)
				c.value(c.scratch)
			}
		}
	case arr.NullN() == 0:
		c.plain = c.values.all(c.plain, arr, at, n)
	default:
		for i := at; i < at+n; i++ {
			if arr.IsValid(i) {
				c.plain = c.values.one(c.plain, arr, i)
			}
		}
	}
	return nil
}

// levels notes which rows have a value.
func (c *columnEncoder) levels(arr arrow.Array, at, n int) {
	if arr.NullN() == 0 && c.nulls == 0 {
		c.rows += n
		return
	}
	none := arr.DataType().ID() == arrow.NULL // it has no bitmap
	if c.nulls == 0 {                         // all before had one
		c.valid = c.valid[:0]
		for range c.rows / 8 {
			c.valid = append(c.valid, 0xff)
		}
		if c.rows%8 > 0 {
			c.valid = append(c.valid, byte(1)<<(c.rows%8)-1)
		}
	}
	for i := at; i < at+n; i++ {
		if c.rows%8 == 0 {
			c.valid = append(c.valid, 0)
		}
		if !none && arr.IsValid(i) {
			c.valid[c.rows/8] |= 1 << (c.rows % 8)
		} else {
			c.nulls++
		}
		c.rows++
	}
	if c.nulls == 0 {
		c.valid = c.valid[:0]
	}
}

func (c *columnEncoder) booleans(arr *array.Boolean, at, n int) {
	for i := at; i < at+n; i++ {
		if !arr.IsValid(i) {
			continue
		}
		if c.bits%8 == 0 {
			c.plain = append(c.plain, 0)
		}
		if arr.Value(i) {
			c.plain[c.bits/8] |= 1 << (c.bits % 8)
		}
		c.bits++
	}
}

// value adds a value by its PLAIN bytes, through the dictionary as long as that is small.
func (c *columnEncoder) value(plain []byte) {
	if c.full {
		c.plain = append(c.plain, plain...)
		return
	}
	c.codes.add(c.code(plain), 1)
}

func (c *columnEncoder) code(plain []byte) uint32 {
	k, ok := c.dict[string(plain)]
	if !ok {
		k = uint32(len(c.dict))
		c.dict[string(plain)] = k
		c.entries = append(c.entries, plain...)
	}
	return k
}

// dictionary looks each entry that is used up once. A column of one entry is one run.
func (c *columnEncoder) dictionary(d *array.Dictionary, at, n int) error {
	values := d.Dictionary()
	if data := values.Data().(*array.Data); c.remapOf != data || len(c.remap) != values.Len() {
		c.remapOf, c.remap = data, c.remap[:0]
		for range values.Len() {
			c.remap = append(c.remap, -1)
		}
	}
	if values.Len() == 1 && d.NullN() == 0 && !c.full && values.IsValid(0) {
		c.codes.add(c.entry(values, 0), n)
		return nil
	}
	for i := at; i < at+n; i++ {
		if d.IsNull(i) {
			continue
		}
		k := d.GetValueIndex(i)
		if values.IsNull(k) {
			return fmt.Errorf("row %d refers to a null of its dictionary, which Parquet has no place for: %w", i, ErrInvalid)
		}
		if c.full {
			c.plain = c.values.one(c.plain, values, k)
			continue
		}
		c.codes.add(c.entry(values, k), 1)
	}
	return nil
}

func (c *columnEncoder) entry(values arrow.Array, k int) uint32 {
	if c.remap[k] < 0 {
		c.scratch = c.values.one(c.scratch[:0], values, k)
		c.remap[k] = int32(c.code(c.scratch))
	}
	return uint32(c.remap[k])
}

// endPage compresses the rows so far.
//
//	page: header | levels of an optional column (u32 size, runs) | values or: bit width, runs of indices
func (c *columnEncoder) endPage() {
	if c.rows == 0 {
		return
	}
	b := c.scratch[:0]
	if c.optional {
		start := len(b)
		b = append(b, 0, 0, 0, 0)
		if c.nulls == 0 {
			b = append(binary.AppendUvarint(b, uint64(c.rows)<<1), 1)
		} else {
			b = append(binary.AppendUvarint(b, uint64(len(c.valid))<<1|1), c.valid...)
		}
		le.PutUint32(b[start:], uint32(len(b)-start-4))
	}
	encoding := int32(encPlain)
	if c.indexed && !c.full {
		encoding = encRLEDictionary
		b = c.codes.encode(b, len(c.dict))
		c.chunk.indexed++
	} else {
		b, encoding = c.appendPlain(b)
		c.chunk.plain++
	}
	c.scratch = b
	c.body = c.page(c.body, b, func(h []byte) []byte {
		return dataPageHeader(h, c.rows, encoding)
	}, pageData)
	c.chunk.rows += int64(c.rows)
	c.chunk.nulls += int64(c.nulls)
	c.rows, c.nulls, c.bits, c.plain, c.valid = 0, 0, 0, c.plain[:0], c.valid[:0]
	c.codes.clear()
}

// appendPlain appends the values that no dictionary has, integers as differences if that makes the first page smaller.
func (c *columnEncoder) appendPlain(b []byte) ([]byte, int32) {
	if c.delta > 0 {
		start := len(b)
		b = appendDeltas(b, c.plain, c.delta)
		if c.decided || len(b)-start <= len(c.plain)-len(c.plain)/10 {
			return b, encDelta
		}
		b, c.delta = b[:start], 0
	}
	return append(b, c.plain...), encPlain
}

// page appends header and body. The first page of a column decides whether compression pays.
func (c *columnEncoder) page(dst, body []byte, inner func([]byte) []byte, kind int64) []byte {
	packed := body
	if c.codec == codecZstd {
		c.squeezed = c.zstd.EncodeAll(body, c.squeezed[:0])
		packed = c.squeezed
		if !c.decided && len(body) > 0 {
			if c.decided = true; !c.indexed && len(packed) > len(body)-len(body)/10 {
				c.codec, packed = codecNone, body
			}
		}
	}
	start := len(dst)
	dst = pageHeaderBytes(dst, kind, len(body), len(packed), inner)
	c.chunk.expanded += int64(len(dst) - start + len(body))
	c.chunk.compressed += int64(len(dst) - start + len(packed))
	return append(dst, packed...)
}

// finish ends the chunk and returns its dictionary page and its data pages, which are valid until reset.
func (c *columnEncoder) finish() (chunk writtenChunk, dict, pages []byte) {
	c.endPage()
	c.chunk.delta = c.delta > 0
	if c.chunk.indexed > 0 {
		c.chunk.hasDict = true
		c.dictBytes = c.page(c.dictBytes[:0], c.entries, func(h []byte) []byte {
			return dictionaryPageHeader(h, len(c.dict))
		}, pageDictionary)
		dict = c.dictBytes
	}
	return c.chunk, dict, c.body
}

func (c *columnEncoder) reset() {
	c.body, c.entries, c.full, c.chunk = c.body[:0], c.entries[:0], false, writtenChunk{}
	c.remapOf, c.remap = nil, c.remap[:0]
	clear(c.dict)
}

// describe fills in the chunk's part of the footer.
func (w *writtenChunk) describe(b *metadata.ColumnChunkMetaDataBuilder) error {
	info := metadata.ChunkMetaInfo{
		NumValues: w.rows, DataPageOffset: w.dataAt, CompressedSize: w.compressed, UncompressedSize: w.expanded, IndexPageOffset: -1,
	}
	stats := metadata.EncodingStats{DataEncodingStats: map[parquet.Encoding]int32{}}
	if w.hasDict {
		info.DictPageOffset = w.dictAt
		stats.DictEncodingStats = map[parquet.Encoding]int32{parquet.Encodings.Plain: 1}
		stats.DataEncodingStats[parquet.Encodings.RLEDict] = w.indexed
	}
	switch {
	case w.plain > 0 && w.delta:
		stats.DataEncodingStats[parquet.Encodings.DeltaBinaryPacked] = w.plain
	case w.plain > 0:
		stats.DataEncodingStats[parquet.Encodings.Plain] = w.plain
	}
	b.SetStats(metadata.EncodedStatistics{NullCount: w.nulls, HasNullCount: true})
	return b.Finish(info, w.hasDict, w.hasDict && w.plain > 0, stats, nil)
}

// codes are dictionary indices, no more than a number as long as all are equal.
type codes struct {
	first uint32
	n     int
	all   []uint32 // once they differ
}

func (c *codes) clear() { c.n, c.all = 0, c.all[:0] }

func (c *codes) add(code uint32, n int) {
	if c.n == 0 {
		c.first = code
	}
	if len(c.all) == 0 && code == c.first {
		c.n += n
		return
	}
	if len(c.all) == 0 {
		for range c.n {
			c.all = append(c.all, c.first)
		}
	}
	for range n {
		c.all = append(c.all, code)
	}
	c.n += n
}

// encode appends the bit width and one run, of equal or of packed indices.
func (c *codes) encode(dst []byte, entries int) []byte {
	width := max(1, bits.Len(uint(max(entries-1, 0))))
	dst = append(dst, byte(width))
	if c.n == 0 {
		return dst
	}
	if len(c.all) == 0 {
		dst = binary.AppendUvarint(dst, uint64(c.n)<<1)
		for i := range (width + 7) / 8 {
			dst = append(dst, byte(c.first>>(8*i)))
		}
		return dst
	}
	groups := (c.n + 7) / 8
	dst = binary.AppendUvarint(dst, uint64(groups)<<1|1)
	end := len(dst) + groups*width
	var word uint64
	have := 0
	for _, k := range c.all {
		word |= uint64(k) << have
		if have += width; have >= 32 {
			dst = le.AppendUint32(dst, uint32(word))
			word >>= 32
			have -= 32
		}
	}
	for len(dst) < end {
		dst = append(dst, byte(word))
		word >>= 8
	}
	return dst[:end]
}
