package file

import (
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/flight"
	"github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/compress"
	"github.com/apache/arrow/go/v17/parquet/metadata"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"
	"github.com/apache/arrow/go/v17/parquet/schema"
	"github.com/klauspost/compress/zstd"
)

// groupRows is the number of rows of a row group: groups are decoded in parallel, so they should not be too large.
const groupRows = 128 << 10

// parquetEncoder writes row groups of flat columns. pqarrow translates the schema and the footer; the pages are made here,
// because a constant column of a batch is one entry and one run a group, which pqarrow expands to a value a row:
// 2 M rows of an id, a score and seven constants take 50 ms instead of 980 ms (BenchmarkWrite).
//
// Texts and dictionary columns are dictionary-encoded, numbers are not: of most columns nearly all differ. A column whose
// first page zstd does not shrink by a tenth, such as one of probabilities, is stored as it is; integers are stored as
// differences where that shrinks them.
type parquetEncoder struct {
	w       io.Writer
	o       WriteOptions
	arrow   *arrow.Schema
	schema  *schema.Schema
	columns []*columnEncoder
	zstd    *zstd.Encoder
	at      int64 // bytes written
	rows    int   // of the current row group
	groups  []writtenGroup
}

// writtenGroup is what the footer says of a row group.
type writtenGroup struct {
	rows   int64
	chunks []writtenChunk
}

func newParquetEncoder(w io.Writer, s *arrow.Schema, o WriteOptions) (*parquetEncoder, error) {
	ps, err := pqarrow.ToParquet(s, writerProperties(nil), pqarrow.NewArrowWriterProperties(pqarrow.WithAllocator(o.Alloc)))
	if err != nil {
		return nil, fmt.Errorf("parquet: %w", err)
	}
	// One goroutine writes: the encoder needs no others, and little memory.
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, fmt.Errorf("zstd encoder: %w", err)
	}
	e := &parquetEncoder{w: w, o: o, arrow: s, schema: ps, zstd: z}
	for i, f := range s.Fields() {
		c, err := newColumnEncoder(f, ps.Column(i), z)
		if err != nil {
			return nil, err
		}
		e.columns = append(e.columns, c)
	}
	return e, e.emit([]byte(parquetMagic))
}

// writerProperties describe the file to pqarrow. The codecs are known once the columns are written.
func writerProperties(columns []*columnEncoder) *parquet.WriterProperties {
	props := []parquet.WriterProperty{
		parquet.WithCompression(compress.Codecs.Zstd), parquet.WithDictionaryDefault(false), parquet.WithCreatedBy("treeline"),
		parquet.WithVersion(parquet.V2_LATEST),
	}
	for _, c := range columns {
		if c.codec == codecNone {
			props = append(props, parquet.WithCompressionFor(c.name, compress.Codecs.Uncompressed))
		}
		if c.delta > 0 {
			props = append(props, parquet.WithEncodingFor(c.name, parquet.Encodings.DeltaBinaryPacked))
		}
	}
	return parquet.NewWriterProperties(props...)
}

func (e *parquetEncoder) emit(b []byte) error {
	n, err := e.w.Write(b)
	e.at += int64(n)
	return err
}

// write splits rec where row groups end.
func (e *parquetEncoder) write(rec arrow.Record) error {
	for at := int64(0); at < rec.NumRows(); {
		n := min(int64(groupRows-e.rows), rec.NumRows()-at)
		for i, c := range e.columns {
			if err := c.append(rec.Column(i), int(at), int(n)); err != nil {
				return fmt.Errorf("column %q: %w", c.name, err)
			}
		}
		at += n
		if e.rows += int(n); e.rows == groupRows {
			if err := e.endGroup(); err != nil {
				return err
			}
		}
	}
	return nil
}

// endGroup writes the chunks of the columns one after the other.
func (e *parquetEncoder) endGroup() error {
	g := writtenGroup{rows: int64(e.rows)}
	for _, c := range e.columns {
		chunk, dict, pages := c.finish()
		chunk.dictAt, chunk.dataAt = e.at, e.at+int64(len(dict))
		if err := e.emit(dict); err != nil {
			return err
		}
		if err := e.emit(pages); err != nil {
			return err
		}
		c.reset()
		g.chunks = append(g.chunks, chunk)
	}
	e.groups, e.rows = append(e.groups, g), 0
	return nil
}

func (e *parquetEncoder) close() error {
	if e.rows > 0 {
		if err := e.endGroup(); err != nil {
			return err
		}
	}
	meta, err := e.footer()
	if err != nil {
		return fmt.Errorf("parquet: %w", err)
	}
	start := e.at
	out := writerFunc(func(p []byte) (int, error) { return len(p), e.emit(p) })
	if _, err := meta.WriteTo(out, nil); err != nil {
		return fmt.Errorf("parquet: %w", err)
	}
	return e.emit(append(le.AppendUint32(nil, uint32(e.at-start)), parquetMagic...))
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// footer lists the chunks, the writer's metadata and the Arrow schema, from which readers take what Parquet cannot say.
func (e *parquetEncoder) footer() (*metadata.FileMetaData, error) {
	props, kv := writerProperties(e.columns), metadata.KeyValueMetadata{}
	for _, k := range slices.Sorted(maps.Keys(e.o.Metadata)) {
		if err := kv.Append(k, e.o.Metadata[k]); err != nil {
			return nil, err
		}
	}
	if err := kv.Append(arrowSchemaKey, base64.StdEncoding.EncodeToString(flight.SerializeSchema(e.arrow, e.o.Alloc))); err != nil {
		return nil, err
	}
	b := metadata.NewFileMetadataBuilder(e.schema, props, kv)
	for i, g := range e.groups {
		rg := b.AppendRowGroup()
		rg.SetNumRows(int(g.rows))
		total := int64(0)
		for _, c := range g.chunks {
			total += c.expanded
			if err := c.describe(rg.NextColumnChunk()); err != nil {
				return nil, err
			}
		}
		if err := rg.Finish(total, int16(min(i, 1<<15-1))); err != nil {
			return nil, err
		}
	}
	return b.Finish()
}

// abort frees nothing: all memory is Go's.
func (e *parquetEncoder) abort() {}
