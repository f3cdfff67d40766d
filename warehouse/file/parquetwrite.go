package file

import (
	"fmt"
	"io"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/compress"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"
)

// groupRows is the number of rows of a row group: groups are decoded in parallel, so they should not be too large.
const groupRows = 128 << 10

// parquetEncoder writes zstd-compressed row groups. Texts and dictionary columns are dictionary-encoded; for numbers, of
// which most differ, building a dictionary does not pay.
type parquetEncoder struct {
	w    *pqarrow.FileWriter
	sink *discard
	left int64 // rows of the current row group still to come
}

func newParquetEncoder(w io.Writer, s *arrow.Schema, o WriteOptions) (*parquetEncoder, error) {
	props := []parquet.WriterProperty{
		parquet.WithCompression(compress.Codecs.Zstd), parquet.WithAllocator(o.Alloc), parquet.WithDictionaryDefault(false),
		parquet.WithMaxRowGroupLength(groupRows), parquet.WithCreatedBy("treeline"), parquet.WithVersion(parquet.V2_LATEST),
	}
	for _, f := range s.Fields() {
		switch f.Type.ID() {
		case arrow.DICTIONARY, arrow.STRING, arrow.LARGE_STRING, arrow.BINARY, arrow.LARGE_BINARY:
			props = append(props, parquet.WithDictionaryFor(f.Name, true))
		}
	}
	sink := &discard{w: w}
	pw, err := pqarrow.NewFileWriter(s, sink, parquet.NewWriterProperties(props...),
		pqarrow.NewArrowWriterProperties(pqarrow.WithAllocator(o.Alloc), pqarrow.WithStoreSchema()))
	if err != nil {
		return nil, fmt.Errorf("parquet: %w", err)
	}
	return &parquetEncoder{w: pw, sink: sink}, nil
}

// write splits rec where row groups end. WriteBuffered keeps a group open over several records.
func (e *parquetEncoder) write(rec arrow.Record) error {
	for at := int64(0); at < rec.NumRows(); {
		if e.left == 0 {
			e.w.NewBufferedRowGroup()
			e.left = groupRows
		}
		n := min(e.left, rec.NumRows()-at)
		if err := e.piece(rec, at, at+n); err != nil {
			return err
		}
		e.left -= n
		at += n
	}
	return nil
}

func (e *parquetEncoder) piece(rec arrow.Record, from, to int64) error {
	part := rec.NewSlice(from, to)
	defer part.Release()
	return e.w.WriteBuffered(part)
}

func (e *parquetEncoder) close() error { return e.w.Close() }

func (e *parquetEncoder) abort() {
	e.sink.off = true
	_ = e.w.Close() // it only frees memory; the file is given up
}
