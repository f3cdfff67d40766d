package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	arrowcsv "github.com/apache/arrow/go/v17/arrow/csv"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/file"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"
	"github.com/rogpeppe/go-internal/testscript"
)

// The helpers here read and write tables with the Arrow library directly, so that what ctl does is compared with files
// that its own readers and writers had no part in.

// rewriteTable IN.parquet OUT OPERATION... writes a changed copy; OUT is .parquet, .arrow or .csv.
//
//	drop=a,b     without these columns          add=c      with one more column of zeros
//	text=a       column a as strings            nudge=raw  the last row's raw moved to the next float
//	inf=a:7      infinity in row 7 of column a  head=10    the first 10 rows
func rewriteTable(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: table in.parquet out operation...")
	}
	columns, err := readTable(ts.MkAbs(args[0]))
	ts.Check(err)
	for _, op := range args[2:] {
		name, value, _ := strings.Cut(op, "=")
		columns, err = operate(columns, name, value)
		if err != nil {
			ts.Fatalf("%s: %v", op, err)
		}
	}
	ts.Check(writeTable(ts.MkAbs(args[1]), columns))
}

type column struct {
	name string
	data arrow.Array
}

func operate(columns []column, op, value string) ([]column, error) {
	find := func(name string) (*column, error) {
		for i := range columns {
			if columns[i].name == name {
				return &columns[i], nil
			}
		}
		return nil, fmt.Errorf("no column %q", name)
	}
	switch op {
	case "drop":
		names := strings.Split(value, ",")
		return slices.DeleteFunc(columns, func(c column) bool { return slices.Contains(names, c.name) }), nil
	case "add":
		return append(columns, column{value, doubles(make([]float64, columns[0].data.Len()))}), nil
	case "text":
		c, err := find(value)
		if err == nil {
			c.data = texts(c.data)
		}
		return columns, err
	case "head":
		n, err := strconv.ParseInt(value, 10, 64)
		for i := range columns {
			columns[i].data = array.NewSlice(columns[i].data, 0, n)
		}
		return columns, err
	case "nudge":
		c, err := find(value)
		if err == nil {
			c.data = nudged(c.data)
		}
		return columns, err
	case "inf":
		name, row, _ := strings.Cut(value, ":")
		c, err := find(name)
		if err != nil {
			return nil, err
		}
		r, err := strconv.Atoi(row)
		values := slices.Clone(c.data.(*array.Float64).Float64Values())
		values[r] = math.Inf(1)
		c.data = doubles(values)
		return columns, err
	}
	return nil, fmt.Errorf("unknown operation")
}

func doubles(v []float64) arrow.Array {
	b := array.NewFloat64Builder(memory.DefaultAllocator)
	b.AppendValues(v, nil)
	return b.NewArray()
}

func texts(data arrow.Array) arrow.Array {
	b := array.NewStringBuilder(memory.DefaultAllocator)
	for i := range data.Len() {
		b.Append("x" + data.ValueStr(i))
	}
	return b.NewArray()
}

func nudged(data arrow.Array) arrow.Array {
	last := data.Len() - 1
	switch data := data.(type) {
	case *array.Float32:
		b := array.NewFloat32Builder(memory.DefaultAllocator)
		values := slices.Clone(data.Float32Values())
		values[last] = math.Nextafter32(values[last], 100)
		b.AppendValues(values, nil)
		return b.NewArray()
	default:
		values := slices.Clone(data.(*array.Float64).Float64Values())
		values[last] = math.Nextafter(values[last], 100)
		return doubles(values)
	}
}

func readTable(path string) ([]column, error) {
	var table arrow.Table
	switch filepath.Ext(path) {
	case ".parquet":
		r, err := file.OpenParquetFile(path, false)
		if err != nil {
			return nil, err
		}
		defer r.Close()
		fr, err := pqarrow.NewFileReader(r, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
		if err != nil {
			return nil, err
		}
		if table, err = fr.ReadTable(context.Background()); err != nil {
			return nil, err
		}
	case ".arrow":
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		r, err := ipc.NewFileReader(f)
		if err != nil {
			return nil, err
		}
		var records []arrow.Record
		for i := range r.NumRecords() {
			rec, err := r.RecordAt(i)
			if err != nil {
				return nil, err
			}
			records = append(records, rec)
		}
		table = array.NewTableFromRecords(r.Schema(), records)
	case ".csv":
		return readCSV(path)
	}
	var out []column
	for i, f := range table.Schema().Fields() {
		data, err := array.Concatenate(table.Column(i).Data().Chunks(), memory.DefaultAllocator)
		if err != nil {
			return nil, err
		}
		out = append(out, column{f.Name, data})
	}
	return out, nil
}

// readCSV reads a file of numbers.
func readCSV(path string) ([]column, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, err
	}
	var out []column
	for i, name := range lines[0] {
		values := make([]float64, len(lines)-1)
		for r := range values {
			if values[r], err = strconv.ParseFloat(lines[r+1][i], 64); err != nil {
				return nil, err
			}
		}
		out = append(out, column{name, doubles(values)})
	}
	return out, nil
}

func writeTable(path string, columns []column) error {
	var fields []arrow.Field
	var data []arrow.Array
	for _, c := range columns {
		fields = append(fields, arrow.Field{Name: c.name, Type: c.data.DataType(), Nullable: true})
		data = append(data, c.data)
	}
	schema := arrow.NewSchema(fields, nil)
	rec := array.NewRecord(schema, data, int64(data[0].Len()))
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	switch filepath.Ext(path) {
	case ".parquet":
		w, err := pqarrow.NewFileWriter(schema, f, parquet.NewWriterProperties(), pqarrow.DefaultWriterProps())
		if err != nil {
			return err
		}
		if err := w.Write(rec); err != nil {
			return err
		}
		return w.Close()
	case ".arrow":
		w, err := ipc.NewFileWriter(f, ipc.WithSchema(schema))
		if err != nil {
			return err
		}
		if err := w.Write(rec); err != nil {
			return err
		}
		return w.Close()
	case ".csv":
		w := arrowcsv.NewWriter(f, schema, arrowcsv.WithHeader(true), arrowcsv.WithNullWriter(""))
		if err := w.Write(rec); err != nil {
			return err
		}
		return w.Flush()
	}
	return fmt.Errorf("%s: unknown type of file", path)
}

// sameBits SCORES GOLDEN COLUMNS... compares columns bit for bit, see compareFiles.
func sameBits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: samebits scores golden columns...")
	}
	if err := compareFiles(ts.MkAbs(args[0]), ts.MkAbs(args[1]), args[2:]); err != nil {
		ts.Fatalf("%v", err)
	}
}

func compareColumns(got, want column, types bool) error {
	if types && !arrow.TypeEqual(got.data.DataType(), want.data.DataType()) {
		return fmt.Errorf("%s is %s, want %s", got.name, got.data.DataType(), want.data.DataType())
	}
	if got.data.Len() != want.data.Len() {
		return fmt.Errorf("%s has %d rows, want %d", got.name, got.data.Len(), want.data.Len())
	}
	for r := range got.data.Len() {
		g, w := bits(got.data, r), bits(want.data, r)
		if single := want.data.DataType().ID() == arrow.FLOAT32; single && !types {
			g = math.Float64bits(float64(float32(math.Float64frombits(g)))) // the shortest text of a float32 is no exact double
		}
		bothNaN := math.IsNaN(math.Float64frombits(g)) && math.IsNaN(math.Float64frombits(w))
		if g != w && !bothNaN || got.data.IsNull(r) != want.data.IsNull(r) {
			return fmt.Errorf("%s row %d: %s (0x%016x), want %s (0x%016x)", got.name, r, got.data.ValueStr(r), g, want.data.ValueStr(r), w)
		}
	}
	return nil
}

// bits are those of the value as a double: widening is exact, so they tell all values apart.
func bits(data arrow.Array, r int) uint64 {
	switch data := data.(type) {
	case *array.Float32:
		return math.Float64bits(float64(data.Value(r)))
	default:
		return math.Float64bits(data.(*array.Float64).Value(r))
	}
}
