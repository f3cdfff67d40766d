package file

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func checked(t *testing.T) *memory.CheckedAllocator {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	t.Cleanup(func() { mem.AssertSize(t, 0) })
	return mem
}

// readAll drains a stream. The records are released when the test ends.
func readAll(t *testing.T, path string, o Options) ([]arrow.Record, *arrow.Schema) {
	t.Helper()
	recs, s, err := tryRead(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { releaseAll(recs) })
	return recs, s
}

func releaseAll(recs []arrow.Record) {
	for _, r := range recs {
		r.Release()
	}
}

func tryRead(path string, o Options) (recs []arrow.Record, s *arrow.Schema, err error) {
	ctx := context.Background()
	in, err := Open(ctx, path, o)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		err = errors.Join(err, in.Close())
		if err != nil {
			releaseAll(recs)
			recs = nil
		}
	}()
	for {
		rec, err := in.Next(ctx)
		if err == io.EOF { //nolint:errorlint // a wrapped one would be a fault
			return recs, in.Schema(), nil
		}
		if err != nil {
			return recs, nil, err
		}
		recs = append(recs, rec)
	}
}

// normal writes a value as testdata/generate.py does; "<null>" is a null.
func normal(a arrow.Array, i int) string {
	if a.IsNull(i) || a.DataType().ID() == arrow.NULL {
		return "<null>"
	}
	switch a := a.(type) {
	case *array.Dictionary:
		return normal(a.Dictionary(), a.GetValueIndex(i))
	case *array.Float64:
		return fmt.Sprint(math.Float64bits(a.Value(i)))
	case *array.Float32:
		return fmt.Sprint(math.Float64bits(float64(a.Value(i))))
	case *array.Binary:
		return hex.EncodeToString(a.Value(i))
	case *array.FixedSizeBinary:
		return hex.EncodeToString(a.Value(i))
	case *array.Decimal128:
		return a.Value(i).BigInt().String()
	case *array.Decimal256:
		return a.Value(i).BigInt().String()
	case *array.Date32:
		return fmt.Sprint(int32(a.Value(i)))
	case *array.Time32:
		return fmt.Sprint(int32(a.Value(i)))
	case *array.Time64:
		return fmt.Sprint(int64(a.Value(i)))
	case *array.Timestamp:
		return fmt.Sprint(int64(a.Value(i)))
	case *array.Duration:
		return fmt.Sprint(int64(a.Value(i)))
	}
	return a.ValueStr(i)
}

type oracle struct {
	Rows    int `json:"rows"`
	Columns []struct {
		Name   string    `json:"name"`
		Values []*string `json:"values"`
	} `json:"columns"`
}

func oracles(t *testing.T) map[string]oracle {
	t.Helper()
	b, err := os.ReadFile("testdata/expected.json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]oracle
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	if len(all) < 25 {
		t.Fatalf("%d files in expected.json", len(all))
	}
	return all
}

// Every file reads as pyarrow reads it, whatever the batch size and the number of threads.
func TestFilesReadAsPyarrowReadsThem(t *testing.T) {
	for name, want := range oracles(t) {
		for _, o := range []Options{{Threads: 1}, {Threads: 3, BatchRows: 7}, {Threads: 2, BatchRows: 64, MaxBytes: 1}} {
			t.Run(fmt.Sprintf("%s/%d", name, o.BatchRows), func(t *testing.T) {
				o.Alloc = checked(t)
				for _, c := range want.Columns {
					o.Columns = append(o.Columns, c.Name)
				}
				recs, s := readAll(t, filepath.Join("testdata", name), o)
				var got [][]string
				for range want.Columns {
					got = append(got, nil)
				}
				for _, rec := range recs {
					for i := range want.Columns {
						for r := range int(rec.NumRows()) {
							got[i] = append(got[i], normal(rec.Column(i), r))
						}
					}
				}
				for i, c := range want.Columns {
					if s.Field(i).Name != c.Name || len(got[i]) != want.Rows {
						t.Errorf("column %d: %q with %d rows, want %q with %d", i, s.Field(i).Name, len(got[i]), c.Name, want.Rows)
						continue
					}
					for r, w := range c.Values {
						value := "<null>"
						if w != nil {
							value = *w
						}
						if got[i][r] != value {
							t.Errorf("column %q (%s) row %d: %s, want %s", c.Name, s.Field(i).Type, r, got[i][r], value)
							break
						}
					}
				}
			})
		}
	}
}

func TestStatOfFiles(t *testing.T) {
	for name, want := range oracles(t) {
		info, err := Stat(context.Background(), filepath.Join("testdata", name), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if info.Rows != int64(want.Rows) || len(info.Digest) != 71 || len(info.Paths) != 1 {
			t.Errorf("%s: %d rows, digest %q, want %d rows", name, info.Rows, info.Digest, want.Rows)
		}
	}
}
