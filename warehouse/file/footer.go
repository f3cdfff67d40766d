package file

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/treeline-ml/treeline/internal/arrowguard"
)

// maxFooter bounds a Parquet footer; 10,000 columns by 1,000 row groups need about 1 GiB, a tenth of that is 100 MiB.
const maxFooter = 128 << 20

const parquetMagic = "PAR1"

// maxSchemaDepth bounds the nesting of a Parquet schema: its reader is recursive.
const maxSchemaDepth = 64

// footer is what the checks need of a Parquet footer.
type footer struct {
	leaves    []leaf
	fields    int // columns of the table, nested ones included
	rows      int64
	groups    []rowGroup
	encrypted bool
	texts     map[string]string // key-value metadata but the Arrow schema
}

// leaf is one column of values. A flat leaf is a whole column of the table.
type leaf struct {
	name     string
	field    int // the column of the table that it belongs to
	flat     bool
	physical int32
	width    int32 // of fixed-length byte arrays
	optional bool
}

type rowGroup struct {
	rows   int64
	chunks []chunk
}

// chunk places the pages of one column in one row group.
type chunk struct {
	external   bool // in another file
	meta       bool
	physical   int32
	codec      int32
	values     int64
	compressed int64
	expanded   int64
	data, dict int64 // offsets of the first data page and of the dictionary page, 0 without one
}

// start is where the pages of a chunk begin.
func (c *chunk) start() int64 {
	if c.dict > 0 && c.dict < c.data {
		return c.dict
	}
	return c.data
}

// readFooter reads and checks the footer of a file of size bytes. It returns the bytes as well, for Arrow.
//
//	file: PAR1 | pages | footer | u32 footer size | PAR1
func readFooter(r io.ReaderAt, size int64) (*footer, []byte, error) {
	var tail [8]byte
	if size < 12 {
		return nil, nil, fmt.Errorf("%d bytes are no Parquet file: %w", size, ErrInvalid)
	}
	if _, err := r.ReadAt(tail[:], size-8); err != nil {
		return nil, nil, fmt.Errorf("reading the end of the file: %w", err)
	}
	switch string(tail[4:]) {
	case parquetMagic:
	case "PARE":
		return nil, nil, fmt.Errorf("the file is encrypted, which is not supported: %w", ErrInvalid)
	default:
		return nil, nil, fmt.Errorf("the file does not end with %s: it is no Parquet file or was cut short: %w", parquetMagic, ErrInvalid)
	}
	n := int64(binary.LittleEndian.Uint32(tail[:]))
	if n > size-12 || n > maxFooter {
		return nil, nil, fmt.Errorf("footer of %d bytes in a file of %d, limit %d: %w", n, size, maxFooter, ErrInvalid)
	}
	b := make([]byte, n)
	if _, err := r.ReadAt(b, size-8-n); err != nil {
		return nil, nil, fmt.Errorf("reading the footer: %w", err)
	}
	f, err := parseFooter(b)
	if err == nil {
		err = f.check(size - 8 - n)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("footer: %w", err)
	}
	return f, b, nil
}

// parseFooter walks FileMetaData.
func parseFooter(b []byte) (*footer, error) {
	f := &footer{texts: map[string]string{}}
	t := &thrift{b: b}
	var elements []element
	t.fields(func(id int, typ byte) bool {
		switch {
		case id == 2 && typ == thriftList:
			t.list(thriftStruct, func() { elements = append(elements, readElement(t)) })
		case id == 3 && typ == thriftI64:
			f.rows = t.int()
		case id == 4 && typ == thriftList:
			t.list(thriftStruct, func() { f.groups = append(f.groups, readRowGroup(t)) })
		case id == 5 && typ == thriftList:
			t.list(thriftStruct, func() {
				if key, value := readKeyValue(t); key != "" && key != arrowSchemaKey {
					f.texts[key] = string(value)
				}
			})
		case id == 8 && typ == thriftStruct:
			f.encrypted = true
			return false
		default:
			return false
		}
		return true
	})
	if t.err != nil {
		return nil, t.err
	}
	return f, f.setLeaves(elements)
}

// element is a SchemaElement, in depth-first order.
type element struct {
	name       string
	physical   int32
	width      int32
	repetition int32
	children   int32
}

func readElement(t *thrift) element {
	e := element{physical: -1}
	t.fields(func(id int, typ byte) bool {
		switch {
		case id == 1 && typ == thriftI32:
			e.physical = t.int32()
		case id == 2 && typ == thriftI32:
			e.width = t.int32()
		case id == 3 && typ == thriftI32:
			e.repetition = t.int32()
		case id == 4 && typ == thriftBinary:
			e.name = string(t.bytes())
		case id == 5 && typ == thriftI32:
			e.children = t.int32()
		default:
			return false
		}
		return true
	})
	return e
}

// setLeaves walks the schema tree without recursion.
func (f *footer) setLeaves(elements []element) error {
	if len(elements) == 0 || elements[0].children < 0 {
		return fmt.Errorf("no schema: %w", ErrInvalid)
	}
	open := []int32{elements[0].children} // children still to come, by depth
	f.fields = int(elements[0].children)
	for _, e := range elements[1:] {
		for len(open) > 0 && open[len(open)-1] == 0 {
			open = open[:len(open)-1]
		}
		if len(open) == 0 || e.children < 0 {
			return fmt.Errorf("schema tree does not fit its elements: %w", ErrInvalid)
		}
		open[len(open)-1]--
		if e.children > 0 {
			if open = append(open, e.children); len(open) > maxSchemaDepth {
				return fmt.Errorf("schema nests deeper than %d: %w", maxSchemaDepth, ErrInvalid)
			}
			continue
		}
		if e.width < 0 || e.width > 1<<20 {
			return fmt.Errorf("column %q: values of %d bytes: %w", e.name, e.width, ErrInvalid)
		}
		f.leaves = append(f.leaves, leaf{
			name: e.name, field: f.fields - int(open[0]) - 1, physical: e.physical, width: e.width,
			flat: len(open) == 1 && e.repetition != 2, optional: e.repetition == 1,
		})
	}
	for _, n := range open {
		if n != 0 {
			return fmt.Errorf("schema tree does not fit its elements: %w", ErrInvalid)
		}
	}
	return nil
}

// arrowSchemaKey is where writers leave the Arrow schema.
const arrowSchemaKey = "ARROW:schema"

// readKeyValue verifies the Arrow schema before Arrow decodes it.
func readKeyValue(t *thrift) (key string, value []byte) {
	t.fields(func(id int, typ byte) bool {
		switch {
		case id == 1 && typ == thriftBinary:
			key = string(t.bytes())
		case id == 2 && typ == thriftBinary:
			value = t.bytes()
		default:
			return false
		}
		return true
	})
	if t.err == nil && key == arrowSchemaKey {
		if err := arrowguard.VerifyParquetSchema(value); err != nil {
			t.err = fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
	return key, value
}

func readRowGroup(t *thrift) rowGroup {
	var g rowGroup
	t.fields(func(id int, typ byte) bool {
		switch {
		case id == 1 && typ == thriftList:
			t.list(thriftStruct, func() { g.chunks = append(g.chunks, readChunk(t)) })
		case id == 3 && typ == thriftI64:
			g.rows = t.int()
		default:
			return false
		}
		return true
	})
	return g
}

func readChunk(t *thrift) chunk {
	var c chunk
	t.fields(func(id int, typ byte) bool {
		switch {
		case id == 1 && typ == thriftBinary:
			c.external = len(t.bytes()) > 0
		case id == 3 && typ == thriftStruct:
			c.meta = true
			t.fields(c.field(t))
		default:
			return false
		}
		return true
	})
	return c
}

// field reads a field of ColumnMetaData.
func (c *chunk) field(t *thrift) func(id int, typ byte) bool {
	return func(id int, typ byte) bool {
		switch {
		case id == 1 && typ == thriftI32:
			c.physical = t.int32()
		case id == 4 && typ == thriftI32:
			c.codec = t.int32()
		case id == 5 && typ == thriftI64:
			c.values = t.int()
		case id == 6 && typ == thriftI64:
			c.expanded = t.int()
		case id == 7 && typ == thriftI64:
			c.compressed = t.int()
		case id == 9 && typ == thriftI64:
			c.data = t.int()
		case id == 11 && typ == thriftI64:
			c.dict = t.int()
		default:
			return false
		}
		return true
	}
}

// check compares the parts with each other and with the end of the pages.
func (f *footer) check(end int64) error {
	if f.encrypted {
		return fmt.Errorf("the file has encrypted columns, which is not supported: %w", ErrInvalid)
	}
	var rows int64
	for i, g := range f.groups {
		if g.rows < 0 || g.rows > math.MaxInt64-rows {
			return fmt.Errorf("row group %d has %d rows: %w", i, g.rows, ErrInvalid)
		}
		rows += g.rows
		if len(g.chunks) != len(f.leaves) {
			return fmt.Errorf("row group %d has %d column chunks, the schema %d columns: %w", i, len(g.chunks), len(f.leaves), ErrInvalid)
		}
		if g.rows == 0 {
			continue // never read; pyarrow and arrow/go write such a group for a table without rows, with offsets of 0
		}
		for k := range g.chunks {
			if err := g.chunks[k].check(&f.leaves[k], g.rows, end); err != nil {
				return fmt.Errorf("row group %d, column %q: %w", i, f.leaves[k].name, err)
			}
		}
	}
	if rows != f.rows {
		return fmt.Errorf("the row groups have %d rows, the file announces %d: %w", rows, f.rows, ErrInvalid)
	}
	return nil
}

func (c *chunk) check(l *leaf, rows, end int64) error {
	start := c.start()
	if rows == 0 { // no page is read, and writers leave the offsets out
		return nil
	}
	switch {
	case c.external:
		return fmt.Errorf("its pages are in another file, which is not supported: %w", ErrInvalid)
	case !c.meta:
		return fmt.Errorf("its pages are not described: %w", ErrInvalid)
	case c.physical != l.physical:
		return fmt.Errorf("physical type %d, the schema has %d: %w", c.physical, l.physical, ErrInvalid)
	case c.values < 0 || l.flat && c.values != rows:
		return fmt.Errorf("%d values in %d rows: %w", c.values, rows, ErrInvalid)
	case c.expanded < 0 || start < 4 || c.compressed < 0 || start > end || c.compressed > end-start:
		return fmt.Errorf("its pages at bytes %d+%d are outside of the %d before the footer: %w", start, c.compressed, end, ErrInvalid)
	}
	return nil
}
