package file

import (
	"fmt"
	"os"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/parquet/metadata"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"

	"github.com/treeline-ml/treeline/warehouse"
)

// parquetFile is an opened Parquet file. Row groups are its tasks.
type parquetFile struct {
	f      *os.File
	footer *footer
	arrow  *arrow.Schema
	leaves []int // by field: its leaf, -1 for nested fields
	o      Options
	mem    *pageMemory
}

// pageLimit bounds the bytes that the pages of one file hold at once, next to Options.MaxBytes for records.
const pageLimit = 1 << 30

func openParquet(path string, o Options) (_ source, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	p := &parquetFile{f: f, o: o, mem: &pageMemory{limit: max(pageLimit, 4*o.MaxBytes), alloc: o.recycled}}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var meta []byte
	if p.footer, meta, err = readFooter(f, st.Size()); err != nil {
		return nil, err
	}
	return p, p.setSchema(meta)
}

// Metadata returns the texts that the writer of a Parquet file left in its footer. It fails with
// warehouse.ErrTableNotFound or ErrInvalid.
func Metadata(path string) (map[string]string, error) {
	src, err := openSource(path, Options{}.withDefaults())
	if err != nil {
		return nil, err
	}
	texts := map[string]string{}
	if p, ok := src.(*parquetFile); ok {
		texts = p.footer.texts
	}
	return texts, src.close()
}

// setSchema lets pqarrow translate the schema, twice: from the Parquet types alone, and with the Arrow schema that the
// writer may have left. The latter only refines the former.
func (p *parquetFile) setSchema(meta []byte) (err error) {
	defer recovered(&err)
	md, err := metadata.NewFileMetaData(meta, nil)
	if err != nil {
		return fmt.Errorf("footer: %w: %w", ErrInvalid, err)
	}
	base, err := pqarrow.FromParquet(md.Schema, &pqarrow.ArrowReadProperties{}, nil)
	if err != nil {
		return fmt.Errorf("schema: %w: %w", ErrInvalid, err)
	}
	origin, err := pqarrow.FromParquet(md.Schema, &pqarrow.ArrowReadProperties{}, md.KeyValueMetadata())
	if err != nil {
		return fmt.Errorf("schema: %w: %w", ErrInvalid, err)
	}
	if base.NumFields() != origin.NumFields() || base.NumFields() != p.footer.fields {
		return fmt.Errorf("schema of %d fields read as %d and %d: %w", p.footer.fields, base.NumFields(), origin.NumFields(), ErrInvalid)
	}
	p.leaves = make([]int, base.NumFields())
	for i := range p.leaves {
		p.leaves[i] = -1
	}
	for i, l := range p.footer.leaves {
		if l.flat {
			p.leaves[l.field] = i
		}
	}
	fields := make([]arrow.Field, base.NumFields())
	for i := range fields {
		fields[i] = base.Field(i)
		fields[i].Type = refine(base.Field(i).Type, origin.Field(i).Type)
		fields[i].Metadata = arrow.Metadata{}
	}
	p.arrow = arrow.NewSchema(fields, nil)
	return nil
}

// refine takes over from the writer's Arrow type what Parquet cannot say: dictionaries, time zones, 64-bit offsets and
// durations. Everything else is read as Parquet has it.
func refine(base, origin arrow.DataType) arrow.DataType {
	switch o := origin.(type) {
	case *arrow.DictionaryType:
		if v := refine(base, o.ValueType); v.ID() == arrow.STRING || v.ID() == arrow.BINARY {
			return &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: v, Ordered: o.Ordered}
		}
	case *arrow.LargeStringType:
		if base.ID() == arrow.STRING {
			return o
		}
	case *arrow.LargeBinaryType:
		if base.ID() == arrow.BINARY {
			return o
		}
	case *arrow.TimestampType:
		if b, ok := base.(*arrow.TimestampType); ok {
			return &arrow.TimestampType{Unit: b.Unit, TimeZone: o.TimeZone}
		}
	case *arrow.DurationType:
		if base.ID() == arrow.INT64 {
			return o
		}
	}
	return base
}

func (p *parquetFile) schema() *arrow.Schema { return p.arrow }
func (p *parquetFile) rows() int64           { return p.footer.rows }
func (p *parquetFile) close() error          { return p.f.Close() }

func (p *parquetFile) tasks(cols []int) []task {
	out := make([]task, 0, len(p.footer.groups))
	for i := range p.footer.groups {
		if p.footer.groups[i].rows > 0 {
			out = append(out, &groupTask{file: p, index: i, cols: cols, schema: subset(p.arrow, cols)})
		}
	}
	return out
}

// readable refuses nested columns by name. Only those that are asked for matter.
func readable(s *arrow.Schema, cols []int) error {
	for _, c := range cols {
		f := s.Field(c)
		t := f.Type
		if d, ok := t.(*arrow.DictionaryType); ok {
			t = d.ValueType
		}
		if _, nested := t.(arrow.NestedType); nested {
			return fmt.Errorf("column %q has type %s, which is not supported: leave it out, or flatten it: %w", f.Name, f.Type, warehouse.ErrColumn)
		}
	}
	return nil
}

// groupTask decodes one row group.
type groupTask struct {
	file   *parquetFile
	index  int
	cols   []int
	schema *arrow.Schema
}

// estimate goes by the width of the types; texts count as 24 bytes.
func (t *groupTask) estimate() int64 {
	rows := min(int64(t.file.o.BatchRows), t.file.footer.groups[t.index].rows)
	width := int64(0)
	for _, f := range t.schema.Fields() {
		w := int64(24)
		if fw, ok := f.Type.(arrow.FixedWidthDataType); ok {
			w = int64(fw.BitWidth()+7) / 8
		}
		width += w
	}
	return rows * width
}

func (t *groupTask) run(emit func(arrow.Record) error) (err error) {
	g := &t.file.footer.groups[t.index]
	inflater := &inflater{mem: t.file.mem}
	defer inflater.close()
	readers := make([]*columnReader, 0, len(t.cols))
	defer func() {
		for _, r := range readers {
			r.close()
		}
	}()
	for i, c := range t.cols {
		k := t.file.leaves[c]
		if k < 0 {
			return t.errorf(i, fmt.Errorf("nested: %w", warehouse.ErrColumn))
		}
		readers = append(readers, &columnReader{
			leaf: &t.file.footer.leaves[k], pages: newPages(t.file.f, &g.chunks[k], inflater, t.file.mem),
		})
	}
	for left := g.rows; left > 0; {
		n := int(min(left, int64(t.file.o.BatchRows)))
		rec, err := t.record(readers, n)
		if err != nil {
			return err
		}
		if err := emit(rec); err != nil {
			return err
		}
		left -= int64(n)
	}
	return nil
}

func (t *groupTask) record(readers []*columnReader, n int) (arrow.Record, error) {
	cols := make([]arrow.Array, 0, len(readers))
	defer func() {
		for _, c := range cols {
			c.Release()
		}
	}()
	for i, r := range readers {
		a, err := r.array(t.file.o.decoded(), t.schema.Field(i).Type, n)
		if err != nil {
			return nil, t.errorf(i, err)
		}
		cols = append(cols, a)
	}
	return array.NewRecord(t.schema, cols, int64(n)), nil
}

func (t *groupTask) errorf(col int, err error) error {
	return fmt.Errorf("%s: row group %d, column %q: %w", t.file.f.Name(), t.index, t.schema.Field(col).Name, err)
}
