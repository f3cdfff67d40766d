package duckdb

import (
	"context"
	"fmt"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/treeline-ml/treeline/warehouse"
	"github.com/treeline-ml/treeline/warehouse/file"
)

// dayStream passes on the rows of a period. It works on Arrow rather than in SQL, so that .arrow files, which DuckDB
// cannot read, and CSV types, which it would guess differently, select the same rows as Parquet.
type dayStream struct {
	in     warehouse.RecordStream
	column int // of the date in the records of in
	days   period
	schema *arrow.Schema // without the date when it was not asked for
	mem    memory.Allocator
}

func openDay(ctx context.Context, path string, o file.Options, column string, days period) (*dayStream, error) {
	wanted := len(o.Columns)
	if !slices.Contains(o.Columns, column) {
		o.Columns = append(slices.Clone(o.Columns), column)
		if o.Hint != nil && !o.Hint.HasField(column) {
			o.Hint = arrow.NewSchema(append(slices.Clone(o.Hint.Fields()), arrow.Field{Name: column, Type: arrow.BinaryTypes.String, Nullable: true}), nil)
		}
	}
	if o.Alloc == nil {
		o.Alloc = memory.DefaultAllocator
	}
	in, err := file.Open(ctx, path, o)
	if err != nil {
		return nil, err
	}
	fields := in.Schema().Fields()
	return &dayStream{
		in: in, days: days, mem: o.Alloc, column: slices.Index(o.Columns, column),
		schema: arrow.NewSchema(fields[:min(wanted, len(fields))], nil),
	}, nil
}

func (d *dayStream) Schema() *arrow.Schema { return d.schema }
func (d *dayStream) Close() error          { return d.in.Close() }

func (d *dayStream) Next(ctx context.Context) (arrow.Record, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		rec, err := d.in.Next(ctx)
		if err != nil {
			return nil, err
		}
		out, err := d.filter(rec)
		rec.Release()
		if out != nil || err != nil {
			return out, err
		}
	}
}

// filter returns nil when no row is of the period.
func (d *dayStream) filter(rec arrow.Record) (arrow.Record, error) {
	match, err := d.days.matcher(rec.Column(d.column))
	if err != nil {
		return nil, err
	}
	asked := array.NewRecord(d.schema, rec.Columns()[:d.schema.NumFields()], rec.NumRows())
	defer asked.Release()
	var runs []arrow.Record
	defer func() {
		for _, r := range runs {
			r.Release()
		}
	}()
	n := int(rec.NumRows())
	for from := 0; from < n; {
		if !match(from) {
			from++
			continue
		}
		to := from + 1
		for to < n && match(to) {
			to++
		}
		runs = append(runs, asked.NewSlice(int64(from), int64(to)))
		from = to
	}
	if len(runs) == 0 {
		return nil, nil
	}
	return concatenate(d.mem, runs)
}

func concatenate(mem memory.Allocator, runs []arrow.Record) (arrow.Record, error) {
	if len(runs) == 1 {
		runs[0].Retain()
		return runs[0], nil
	}
	cols := make([]arrow.Array, runs[0].NumCols())
	defer func() {
		for _, c := range cols {
			if c != nil {
				c.Release()
			}
		}
	}()
	var rows int64
	for _, r := range runs {
		rows += r.NumRows()
	}
	parts := make([]arrow.Array, len(runs))
	for i := range cols {
		for j, r := range runs {
			parts[j] = r.Column(i)
		}
		var err error
		if cols[i], err = array.Concatenate(parts, mem); err != nil {
			return nil, fmt.Errorf("duckdb: joining the selected rows of column %q: %w", runs[0].ColumnName(i), err)
		}
	}
	return array.NewRecord(runs[0].Schema(), cols, rows), nil
}

func isDay(dt arrow.DataType) bool {
	switch dt.ID() {
	case arrow.DATE32, arrow.DATE64, arrow.TIMESTAMP, arrow.STRING, arrow.LARGE_STRING:
		return true
	}
	return false
}
