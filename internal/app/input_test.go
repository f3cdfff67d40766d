package app_test

import (
	"bytes"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"google.golang.org/grpc/codes"

	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
	"github.com/treeline-ml/treeline/warehouse/file"
)

func TestInputsThatCannotBeScored(t *testing.T) {
	t.Parallel()
	config, dir := newDataDir(t)
	d := start(t, command(config, dir))
	for name, tc := range map[string]struct {
		r     *scoringv1.RunBatchRequest
		code  codes.Code
		words []string
	}{
		"absent table":       {&scoringv1.RunBatchRequest{Model: &scoringv1.ModelRef{Name: "absent", Version: 1}}, codes.NotFound, []string{"uat.features.nowhere"}},
		"absent file":        {&scoringv1.RunBatchRequest{Model: ref("churn"), Input: dir + "/none.parquet"}, codes.NotFound, []string{"none.parquet"}},
		"empty table":        {&scoringv1.RunBatchRequest{Model: ref("empty")}, codes.FailedPrecondition, []string{"uat.features.empty"}},
		"duplicate keys":     {&scoringv1.RunBatchRequest{Model: ref("duplicate")}, codes.FailedPrecondition, []string{"account_id", "100"}},
		"wrong column types": {&scoringv1.RunBatchRequest{Model: &scoringv1.ModelRef{Name: "wrong", Version: 1}}, codes.InvalidArgument, []string{"tenure_months", "monthly_charges", "contract", "seats"}},
		"other columns": {
			&scoringv1.RunBatchRequest{Model: ref("small"), OutputTable: "uat.predictions.other"}, codes.FailedPrecondition,
			[]string{"comment", "churn_predicted", "model_version", "run_id", "scored_at", "score_batch_id"},
		},
		"unknown model":   {&scoringv1.RunBatchRequest{Model: ref("nobody")}, codes.FailedPrecondition, []string{"nobody", "config.yml"}},
		"unknown version": {&scoringv1.RunBatchRequest{Model: &scoringv1.ModelRef{Name: "churn", Version: 99}}, codes.NotFound, []string{"99"}},
		"no date column":  {&scoringv1.RunBatchRequest{Model: ref("small"), Date: "2026-11-02"}, codes.InvalidArgument, []string{"date_col"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := d.runBatch(t.Context(), tc.r)
			refused(t, err, tc.code, tc.words...)
			if left := staged(t, dir); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
	// None of it touched the table that was there, and the daemon goes on.
	d.succeed(t, &scoringv1.RunBatchRequest{Model: ref("small")})
}

func TestSevenColumnTableIsAccepted(t *testing.T) {
	t.Parallel()
	config, dir := newDataDir(t)
	d := start(t, command(config, dir))
	own := d.succeed(t, &scoringv1.RunBatchRequest{Model: ref("small"), OutputTable: "uat.predictions.seven"})
	full := d.succeed(t, &scoringv1.RunBatchRequest{Model: ref("small")})
	if own.GetOutputDigest() != full.GetOutputDigest() || own.GetScoreBatchId() == full.GetScoreBatchId() {
		t.Errorf("seven columns: %v\nall columns: %v", own, full)
	}
	for id, want := range map[string]string{
		own.GetScoreBatchId(): "account_id churn_probability churn_predicted model_version run_id scored_at score_batch_id",
		full.GetScoreBatchId(): "account_id churn_probability churn_predicted model_version run_id scored_at score_batch_id " +
			"model_name trained_at git_sha model_digest",
	} {
		rec := d.rows(t, id, 3)
		var names []string
		for _, f := range rec.Schema().Fields() {
			names = append(names, f.Name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("columns %s, want %s", got, want)
		}
	}
}

// A batch into a file has the scores, the receipt and the idempotence of one into a table.
func TestBatchIntoAFile(t *testing.T) {
	t.Parallel()
	config, dir := newDataDir(t)
	d := start(t, command(config, dir))
	path := filepath.Join(t.TempDir(), "scores.parquet")
	table := d.succeed(t, &scoringv1.RunBatchRequest{Model: ref("small")})
	first := d.succeed(t, &scoringv1.RunBatchRequest{Model: ref("small"), OutputFile: path})
	again := d.succeed(t, &scoringv1.RunBatchRequest{Model: ref("small"), OutputFile: path})
	switch {
	case first.GetOutputDigest() != table.GetOutputDigest() || first.GetRows() != table.GetRows() || first.GetRows() == 0:
		t.Errorf("the file: %v\nthe table: %v", first, table)
	case first.GetScoreBatchId() == table.GetScoreBatchId() || first.GetOutputFile() != path || first.GetOutputTable() != "" || first.GetReplaced():
		t.Errorf("the file: %v", first)
	case again.GetScoreBatchId() != first.GetScoreBatchId() || !again.GetReplaced() || again.GetAttempt() != 2 || again.GetOutputDigest() != first.GetOutputDigest():
		t.Errorf("once more: %v", again)
	}
	rec, stored := d.rows(t, first.GetScoreBatchId(), 5), d.rows(t, table.GetScoreBatchId(), 5)
	if rec.NumRows() != 5 || rec.NumCols() != stored.NumCols() {
		t.Fatalf("%d rows of %d columns", rec.NumRows(), rec.NumCols())
	}
	for i, f := range rec.Schema().Fields() {
		if f.Name != stored.ColumnName(i) {
			t.Errorf("column %d is %q, in the table %q", i, f.Name, stored.ColumnName(i))
		}
	}
	// Another batch into the same file, and then the first one's rows are gone.
	other := d.succeed(t, &scoringv1.RunBatchRequest{Model: ref("churn"), OutputFile: path})
	if other.GetReplaced() {
		t.Errorf("another batch: %v", other)
	}
	_, err := d.batches.GetBatchRows(t.Context(), &scoringv1.GetBatchRowsRequest{ScoreBatchId: first.GetScoreBatchId(), Limit: 1})
	refused(t, err, codes.NotFound, path)
	for name, r := range map[string]*scoringv1.RunBatchRequest{
		"no directory": {Model: ref("small"), OutputFile: filepath.Join(t.TempDir(), "absent", "scores.parquet")},
		"foreign file": {Model: ref("small"), OutputFile: foreignFile(t)},
	} {
		if _, err := d.runBatch(t.Context(), r); err == nil {
			t.Errorf("%s: no error", name)
		}
		if left := staged(t, dir); len(left) != 0 {
			t.Errorf("%s: left behind: %v", name, left)
		}
	}
}

// foreignFile is a Parquet file that no batch wrote.
func foreignFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mine.parquet")
	s := arrow.NewSchema([]arrow.Field{{Name: "x", Type: arrow.PrimitiveTypes.Int64}}, nil)
	w, err := file.Create(path, s, file.WriteOptions{})
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// rows returns the first rows of a batch as one record.
func (d *daemon) rows(t *testing.T, id string, limit int32) arrow.Record {
	t.Helper()
	got, err := d.batches.GetBatchRows(t.Context(), &scoringv1.GetBatchRowsRequest{ScoreBatchId: id, Limit: limit})
	if err != nil {
		t.Fatal(err)
	}
	r, err := ipc.NewReader(bytes.NewReader(got.GetArrowIpc()))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	if !r.Next() {
		t.Fatalf("no rows: %v", r.Err())
	}
	rec := r.Record()
	rec.Retain()
	t.Cleanup(rec.Release)
	return rec
}

// The batch path and the online path give the training library's own predictions, bit for bit.
func TestScoresAreTheLibrarys(t *testing.T) {
	t.Parallel()
	config, dir := newDataDir(t)
	golden, input := goldenWithKeys(t)
	d := start(t, command(config, dir))
	b := d.succeed(t, &scoringv1.RunBatchRequest{Model: ref("churn"), Input: input})
	rec := d.rows(t, b.GetScoreBatchId(), 1000)
	if rec.NumRows() != 1000 {
		t.Fatalf("%d rows", rec.NumRows())
	}
	want := golden.Column(golden.Schema().FieldIndices("pred")[0]).(*array.Float64)
	ids, got := rec.Column(0).(*array.Int64), rec.Column(1).(*array.Float64)
	for r := range 1000 {
		if ids.Value(r) != int64(r) || got.Value(r) != want.Value(r) {
			t.Fatalf("batch, row %d: key %d, %v, the library says %v", r, ids.Value(r), got.Value(r), want.Value(r))
		}
	}

	features := withoutColumns(golden, "raw", "pred")
	var buf bytes.Buffer
	w := ipc.NewWriter(&buf, ipc.WithSchema(features.Schema()))
	if err := w.Write(features); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	answer, err := d.scoring.Score(t.Context(), &scoringv1.ScoreRequest{
		Model: ref("churn"), ArrowIpc: buf.Bytes(), Options: &scoringv1.ScoreOptions{Margin: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := ipc.NewReader(bytes.NewReader(answer.GetArrowIpc()))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	row := 0
	for r.Next() {
		for i := range int(r.Record().NumRows()) {
			if p := r.Record().Column(1).(*array.Float64).Value(i); p != want.Value(row) {
				t.Fatalf("online, row %d: %v, the library says %v", row, p, want.Value(row))
			}
			row++
		}
	}
	if row != int(golden.NumRows()) {
		t.Errorf("%d rows of %d", row, golden.NumRows())
	}
	if l := answer.GetLineage(); l.GetModelDigest() != b.GetLineage().GetModelDigest() || l.GetModelVersion() != 1 || l.GetGeneration() != 1 {
		t.Errorf("online lineage %v, batch lineage %v", l, b.GetLineage())
	}
}

// goldenWithKeys reads the golden rows and writes them, numbered, as an input file.
func goldenWithKeys(t *testing.T) (arrow.Record, string) {
	t.Helper()
	in, err := file.Open(t.Context(), churn+"/v1/golden.parquet", file.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	golden, err := in.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(golden.Release)
	ids := array.NewInt64Builder(memory.DefaultAllocator)
	for i := range golden.NumRows() {
		ids.Append(i)
	}
	features := withoutColumns(golden, "raw", "pred")
	schema := arrow.NewSchema(append([]arrow.Field{{Name: "account_id", Type: arrow.PrimitiveTypes.Int64}}, features.Schema().Fields()...), nil)
	rec := array.NewRecord(schema, append([]arrow.Array{ids.NewArray()}, features.Columns()...), golden.NumRows())
	path := filepath.Join(t.TempDir(), "golden.parquet")
	w, err := file.Create(path, schema, file.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(rec); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return golden, path
}

func withoutColumns(rec arrow.Record, drop ...string) arrow.Record {
	var fields []arrow.Field
	var cols []arrow.Array
	for i, f := range rec.Schema().Fields() {
		if !strings.Contains(" "+strings.Join(drop, " ")+" ", " "+f.Name+" ") {
			fields, cols = append(fields, f), append(cols, rec.Column(i))
		}
	}
	return array.NewRecord(arrow.NewSchema(fields, nil), cols, rec.NumRows())
}

func TestSecondDaemonOnTheSameFiles(t *testing.T) {
	t.Parallel()
	config, dir := newDataDir(t)
	first := start(t, command(config, dir))
	said := fails(t, command(config, dir))
	for _, want := range []string{dir, fmt.Sprintf("process id %d", first.cmd.Process.Pid), "--data-dir"} {
		if !strings.Contains(said, want) {
			t.Errorf("does not say %q: %s", want, said)
		}
	}
	// The first one did not notice, and a killed daemon does not lock anybody out.
	first.succeed(t, &scoringv1.RunBatchRequest{Model: ref("small")})
	first.kill()
	start(t, command(config, dir)).succeed(t, &scoringv1.RunBatchRequest{Model: ref("small")})
}

func TestPortInUse(t *testing.T) {
	t.Parallel()
	config, dir := newDataDir(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for flag, key := range map[string]string{"--listen": "listeners.data", "--admin-listen": "listeners.admin"} {
		said := fails(t, command(config, dir, flag, l.Addr().String()))
		for _, want := range []string{l.Addr().String(), flag, key, "another program"} {
			if !strings.Contains(said, want) {
				t.Errorf("does not say %q: %s", want, said)
			}
		}
		if strings.Count(said, "\n") != 2 && strings.Count(said, "\n") != 1 {
			t.Errorf("says more than one line: %s", said)
		}
	}
	// Nothing is locked after a failed start.
	start(t, command(config, dir))
}

func TestConfigurationErrorsEndTheStart(t *testing.T) {
	t.Parallel()
	config, dir := newDataDir(t)
	for arg, want := range map[string]string{
		"--listen=0.0.0.0:7070":  "TLS and tokens are not available yet",
		"--config=/nowhere.yml":  "/nowhere.yml: no such file",
		"--colour":               "unknown flag: --colour; see scorer --help",
		"--admin-listen=example": "not host:port",
	} {
		if said := fails(t, command(config, dir, arg)); !strings.Contains(said, want) {
			t.Errorf("%s: does not say %q: %s", arg, want, said)
		}
	}
}
