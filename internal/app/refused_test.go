package app_test

import (
	"database/sql"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"google.golang.org/grpc/codes"

	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
	"github.com/treeline-ml/treeline/warehouse/file"
)

// XGBoost refuses infinite values, LightGBM takes them, so this is the XGBoost model of the flights.
const flights = "../../examples/flights"

// Under the default policy a row that the library would refuse fails the batch and is named; under "null" it is written
// without a score, and counted.
func TestRowsThatTheLibraryWouldRefuse(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	dir := filepath.Join(root, "data")
	bad := []int64{29_999, 16_384, 4711, 20_000}
	rows := delayedForever(t, filepath.Join(root, "flights.parquet"), bad...)
	write := func(name, policy string) string {
		path := filepath.Join(root, name)
		content := "warehouse:\n  memory_limit: 256MiB\n  seed: [{table: nyc.features.flights, file: flights.parquet}]\nmodels: [flights.yml]\n" + policy
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	strict, lenient := write("strict.yml", ""), write("lenient.yml", "scoring: {row_errors: \"null\"}\n")
	config, err := os.ReadFile(flights + "/config_xgb.yml")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "flights.yml"), config, 0o600); err != nil {
		t.Fatal(err)
	}
	request := &scoringv1.RunBatchRequest{Model: &scoringv1.ModelRef{Name: "flights_xgb", Version: 1}}

	d := start(t, command(strict, dir))
	d.registerFiles(t, "flights_xgb", "run", flights+"/xgboost", "model.ubj", "golden.parquet")
	_, err = d.runBatch(t.Context(), request)
	refused(t, err, codes.InvalidArgument, "row 4711,", `column "dep_delay"`)
	if got := d.newest(t); got.GetState() != scoringv1.BatchState_BATCH_STATE_FAILED || got.GetRowsRefused() != 0 || !strings.Contains(got.GetError(), "row 4711,") {
		t.Errorf("ledger row of the failed batch: %v", got)
	}
	if err := d.terminate(t); err != nil {
		t.Fatal(err)
	}

	d = start(t, command(lenient, dir))
	b := d.succeed(t, request)
	if b.GetRows() != rows || b.GetRowsRefused() != int64(len(bad)) {
		t.Errorf("%d of %d rows refused, want %d of %d", b.GetRowsRefused(), b.GetRows(), len(bad), rows)
	}
	var scored int64
	for _, n := range b.GetScoreHistogram() {
		scored += n
	}
	if scored != rows-int64(len(bad)) {
		t.Errorf("%d rows with a score, want %d", scored, rows-int64(len(bad)))
	}
	if kept := d.newest(t); kept.GetScoreBatchId() != b.GetScoreBatchId() || kept.GetRowsRefused() != int64(len(bad)) {
		t.Errorf("ledger row %v", kept)
	}
	if err := d.terminate(t); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("duckdb", filepath.Join(dir, "warehouse", "nyc.duckdb"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var null, predicted int64
	err = db.QueryRowContext(t.Context(), `SELECT count(*) - count(flights_xgb_probability), count(flights_xgb_predicted)
		FROM predictions.flight_scores_xgb`).Scan(&null, &predicted)
	if err != nil {
		t.Fatal(err)
	}
	if null != int64(len(bad)) || predicted != rows-null {
		t.Errorf("the table has %d null scores and %d predictions, want %d and %d", null, predicted, len(bad), rows-int64(len(bad)))
	}
}

// newest is the ledger row of the batch that started last.
func (d *daemon) newest(t *testing.T) *scoringv1.Batch {
	t.Helper()
	list, err := d.batches.ListBatches(t.Context(), &scoringv1.ListBatchesRequest{PageSize: 1})
	if err != nil || len(list.GetBatches()) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	return list.GetBatches()[0]
}

// delayedForever copies the features of the flights, with infinite delays in some rows, and returns their number.
func delayedForever(t *testing.T, path string, bad ...int64) int64 {
	t.Helper()
	in, err := file.Open(t.Context(), flights+"/features.parquet", file.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	w, err := file.Create(path, in.Schema(), file.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	column := in.Schema().FieldIndices("dep_delay")[0]
	var rows int64
	for {
		rec, err := in.Next(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		old, b := rec.Column(column).(*array.Float64), array.NewFloat64Builder(memory.DefaultAllocator)
		for i := range old.Len() {
			switch {
			case slices.Contains(bad, rows+int64(i)):
				b.Append(math.Inf(1))
			case old.IsNull(i):
				b.AppendNull()
			default:
				b.Append(old.Value(i))
			}
		}
		cols := append([]arrow.Array(nil), rec.Columns()...)
		cols[column] = b.NewArray()
		rows += rec.NumRows()
		if err := w.Write(array.NewRecord(rec.Schema(), cols, rec.NumRows())); err != nil {
			t.Fatal(err)
		}
		rec.Release()
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return rows
}
