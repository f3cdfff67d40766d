package warehousetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/treeline-ml/treeline/warehouse"
)

func features() warehouse.TableName {
	return warehouse.TableName{Catalog: "uat", Schema: "features", Table: "churn_features"}
}

func scores() warehouse.TableName {
	return warehouse.TableName{Catalog: "uat", Schema: "predictions", Table: "churn_scores"}
}

func (f Fixture) exec(t *testing.T, sql string) {
	t.Helper()
	if err := f.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func (f Fixture) query(t *testing.T, sql string) [][]any {
	t.Helper()
	rows, err := f.Query(t.Context(), sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return rows
}

func (f Fixture) schema(t *testing.T, n warehouse.TableName) {
	t.Helper()
	if err := f.CreateSchema(t.Context(), n.Catalog, n.Schema); err != nil {
		t.Fatal(err)
	}
}

// createFeatures makes the table with five rows, not in key order.
func (f Fixture) createFeatures(t *testing.T) {
	t.Helper()
	f.schema(t, features())
	f.exec(t, "CREATE TABLE "+features().String()+" (account_id BIGINT, tenure DOUBLE, plan VARCHAR, day DATE, seen TIMESTAMP)")
	f.exec(t, "INSERT INTO "+features().String()+` VALUES
		(3, 30.5, 'basic', DATE '2026-01-02', TIMESTAMP '2026-01-01 23:59:59'),
		(1, 10.25, 'pro', DATE '2026-01-01', TIMESTAMP '2026-01-02 00:00:00'),
		(5, NULL, NULL, DATE '2026-01-02', TIMESTAMP '2026-01-02 23:59:59.999999'),
		(2, -0.5, 'basic', DATE '2026-01-01', TIMESTAMP '2026-01-03 00:00:00'),
		(4, 40, 'pro', NULL, NULL)`)
}

func featureInput() warehouse.Input {
	return warehouse.Input{Table: features(), Columns: []string{"account_id", "tenure", "plan"}, Keys: []string{"account_id"}}
}

// featureRows is createFeatures through featureInput.
func featureRows() []string {
	return []string{"1|10.25|pro", "2|-0.5|basic", "3|30.5|basic", "4|40|pro", "5|null|null"}
}

func snapshot(t *testing.T, w warehouse.Warehouse, in warehouse.Input) warehouse.Ref {
	t.Helper()
	ref, err := w.Snapshot(t.Context(), in)
	if err != nil {
		t.Fatalf("snapshot of %s: %v", in.Source(), err)
	}
	return ref
}

// readAll renders the rows of a stream and closes it.
func readAll(t *testing.T, s warehouse.RecordStream, err error) []string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	rows, err := drain(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func drain(ctx context.Context, s warehouse.RecordStream) (rows []string, err error) {
	defer func() { err = errors.Join(err, s.Close()) }()
	for {
		rec, err := s.Next(ctx)
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return rows, err
		}
		if !rec.Schema().Equal(s.Schema()) {
			return rows, fmt.Errorf("record has schema %s, stream has %s", rec.Schema(), s.Schema())
		}
		for r := range int(rec.NumRows()) {
			rows = append(rows, render(rec, r))
		}
		rec.Release()
	}
}

func render(rec arrow.Record, row int) string {
	values := make([]string, rec.NumCols())
	for i, c := range rec.Columns() {
		values[i] = "null"
		if c.IsValid(row) {
			values[i] = c.ValueStr(row)
		}
	}
	return strings.Join(values, "|")
}

func readRef(t *testing.T, w warehouse.Warehouse, ref warehouse.Ref, columns ...string) []string {
	t.Helper()
	s, err := w.Read(t.Context(), warehouse.Query{Ref: ref, Columns: columns})
	return readAll(t, s, err)
}

// target is the user's table: seven columns, then the ones that only a table of ours has.
func target() warehouse.Target {
	return warehouse.Target{
		Table: scores(),
		Schema: arrow.NewSchema([]arrow.Field{
			{Name: "account_id", Type: arrow.PrimitiveTypes.Int64},
			{Name: "churn_probability", Type: arrow.PrimitiveTypes.Float64},
			{Name: "churn_predicted", Type: arrow.PrimitiveTypes.Int32},
			{Name: "model_version", Type: arrow.PrimitiveTypes.Int64},
			{Name: "run_id", Type: constant()},
			{Name: "scored_at", Type: arrow.FixedWidthTypes.Timestamp_us},
			{Name: "score_batch_id", Type: constant()},
			{Name: "model_name", Type: constant()},
			{Name: "git_sha", Type: constant()},
		}, nil),
		Required:    []string{"account_id", "churn_probability", "churn_predicted", "model_version", "run_id", "scored_at", "score_batch_id"},
		BatchColumn: "score_batch_id",
		Keys:        []string{"account_id"},
		OrderColumn: "scored_at",
	}
}

func constant() arrow.DataType {
	return &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}
}

// sevenColumns is the user's own CREATE TABLE.
func sevenColumns() string {
	return "CREATE TABLE " + scores().String() + ` (account_id BIGINT, churn_probability DOUBLE, churn_predicted INTEGER,
		model_version BIGINT, run_id VARCHAR, scored_at TIMESTAMP, score_batch_id VARCHAR)`
}

// batch is the content of one run of one batch id.
type batch struct {
	id      warehouse.BatchID
	rows    int64
	version int64 // marks the run
	at      time.Time
	first   int64 // account_id of the first row
}

// record is rows [from, from+n) of the batch: account_id counts up, the probability is its hundredth.
func (b batch) record(mem memory.Allocator, from, n int64) arrow.Record {
	s := target().Schema
	rb := array.NewRecordBuilder(mem, s)
	defer rb.Release()
	at := arrow.Timestamp(b.at.UnixMicro())
	for i := from; i < from+n; i++ {
		rb.Field(0).(*array.Int64Builder).Append(b.first + i)
		rb.Field(1).(*array.Float64Builder).Append(float64(b.first+i) / 100)
		rb.Field(2).(*array.Int32Builder).Append(int32(i % 2))
		rb.Field(3).(*array.Int64Builder).Append(b.version)
		rb.Field(5).(*array.TimestampBuilder).Append(at)
		for col, v := range map[int]string{4: "run-7", 6: string(b.id), 7: "churn", 8: "abc123"} {
			if err := rb.Field(col).(*array.BinaryDictionaryBuilder).AppendString(v); err != nil {
				panic(err) // int8 indices hold one value
			}
		}
	}
	return rb.NewRecord()
}

// write stages the batch in records of at most 1,000 rows.
func (b batch) write(ctx context.Context, w warehouse.Writer) error {
	for from := int64(0); from < b.rows; from += 1000 {
		rec := b.record(memory.DefaultAllocator, from, min(1000, b.rows-from))
		err := w.Write(ctx, rec)
		rec.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// run is Begin, Write and Commit.
func (b batch) run(ctx context.Context, w warehouse.Warehouse, tg warehouse.Target) (warehouse.Commit, error) {
	wr, err := w.Begin(ctx, b.id, tg)
	if err != nil {
		return warehouse.Commit{}, err
	}
	if err := b.write(ctx, wr); err != nil {
		return warehouse.Commit{}, errors.Join(err, wr.Abort(context.WithoutCancel(ctx)))
	}
	c, err := wr.Commit(ctx)
	if err != nil {
		return c, errors.Join(err, wr.Abort(context.WithoutCancel(ctx)))
	}
	return c, nil
}

func (b batch) mustRun(t *testing.T, w warehouse.Warehouse) warehouse.Commit {
	t.Helper()
	c, err := b.run(t.Context(), w, target())
	if err != nil {
		t.Fatalf("batch %s: %v", b.id, err)
	}
	return c
}

// counts returns rows, distinct keys and distinct runs of a batch in the output table.
func (f Fixture) counts(t *testing.T, id warehouse.BatchID) (rows, keys, runs int64) {
	t.Helper()
	got := f.query(t, "SELECT count(*), count(DISTINCT account_id), count(DISTINCT model_version) FROM "+scores().String()+
		" WHERE score_batch_id = '"+string(id)+"'")
	return got[0][0].(int64), got[0][1].(int64), got[0][2].(int64)
}

func (f Fixture) wantCounts(t *testing.T, id warehouse.BatchID, rows, runs int64) {
	t.Helper()
	r, k, v := f.counts(t, id)
	if r != rows || k != rows || v != runs {
		t.Fatalf("batch %s: %d rows, %d keys, %d runs; want %d, %d, %d", id, r, k, v, rows, rows, runs)
	}
}

func wantError(t *testing.T, err, want error, texts ...string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error is %v, want %v", err, want)
	}
	for _, text := range texts {
		if !contains(err.Error(), text) {
			t.Errorf("error %q does not say %q", err, text)
		}
	}
}
