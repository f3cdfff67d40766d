package app_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	_ "github.com/duckdb/duckdb-go/v2" // looks at tables without the daemon
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
	"github.com/treeline-ml/treeline/warehouse/file"
)

// examples/churn is what the tests score: a real LightGBM model with its golden rows, and 20,000 rows of features.
const churn = "../../examples/churn"

// bigRows is the size of the table of the tests that interrupt batches: large enough to be hit anywhere.
const bigRows = 160_000

// fixture is a data directory with registered models, made once and copied by each test.
type fixture struct {
	dir    string // copied
	config string // outside of dir
}

var base = sync.OnceValues(makeFixture)

// models of the fixture: all are the churn model; they differ in what they read.
func fixtureModels() map[string]string {
	return map[string]string{
		"churn": "uat.features.big", "absent": "uat.features.nowhere", "empty": "uat.features.empty", "duplicate": "uat.features.duplicate",
		"wrong": "uat.features.wrong", "small": "uat.features.small",
	}
}

func makeFixture() (fixture, error) {
	root := filepath.Join(work, "fixture")
	fx := fixture{dir: filepath.Join(root, "data"), config: filepath.Join(root, "scorer.yml")}
	if err := os.MkdirAll(fx.dir, 0o700); err != nil {
		return fx, err
	}
	if err := makeTables(root); err != nil {
		return fx, err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "warehouse:\n  memory_limit: 256MiB\n  seed:\n")
	for table, f := range map[string]string{
		"uat.features.big": "big.parquet", "uat.features.empty": "empty.parquet", "uat.features.duplicate": "duplicate.parquet",
		"uat.features.wrong": "wrong.csv", "uat.features.small": "small.parquet", "uat.predictions.other": "other.csv",
		"uat.predictions.seven": "seven.parquet",
	} {
		fmt.Fprintf(&b, "    - {table: %s, file: %s}\n", table, f)
	}
	b.WriteString("models:\n")
	for name, table := range fixtureModels() {
		model := fmt.Sprintf("model_key: churn\nregistered_model_name: %s\ndata: {features_table: %s, label_col: churn, key_cols: [account_id]}\n"+
			"output: {catalog: %s, schema: predictions, table: scores}\n", name, table, name)
		if err := os.WriteFile(filepath.Join(root, name+".yml"), []byte(model), 0o600); err != nil {
			return fx, err
		}
		fmt.Fprintf(&b, "  - %s.yml\n", name)
	}
	return fx, os.WriteFile(fx.config, []byte(b.String()), 0o600)
}

// makeTables writes the seed files.
func makeTables(root string) error {
	ctx := context.Background()
	in, err := file.Open(ctx, churn+"/features.parquet", file.Options{})
	if err != nil {
		return err
	}
	defer in.Close()
	schema := in.Schema()
	id := schema.FieldIndices("account_id")[0]
	writers := map[string]*file.Writer{}
	for _, name := range []string{"big", "empty", "duplicate", "small"} {
		if writers[name], err = file.Create(filepath.Join(root, name+".parquet"), schema, file.WriteOptions{}); err != nil {
			return err
		}
	}
	next := int64(0)
	for {
		rec, err := in.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		renumbered := func(rec arrow.Record, number func(i int64) int64) arrow.Record {
			b := array.NewInt64Builder(memory.DefaultAllocator)
			for i := range rec.NumRows() {
				b.Append(number(i))
			}
			cols := append([]arrow.Array(nil), rec.Columns()...)
			cols[id] = b.NewArray()
			return array.NewRecord(schema, cols, rec.NumRows())
		}
		if next == 0 {
			few := rec.NewSlice(0, 200)
			err = errors.Join(
				writers["small"].Write(renumbered(few, func(i int64) int64 { return 1000 - i })),
				writers["duplicate"].Write(renumbered(few, func(i int64) int64 { return i / 2 })),
			)
		}
		for range bigRows / 20_000 {
			from := next
			next += rec.NumRows()
			err = errors.Join(err, writers["big"].Write(renumbered(rec, func(i int64) int64 { return from + i })))
		}
		if err != nil {
			return err
		}
		rec.Release()
	}
	if next != bigRows {
		return fmt.Errorf("examples/churn/features.parquet makes %d rows, want %d", next, bigRows)
	}
	for _, w := range writers {
		if err := w.Close(); err != nil {
			return err
		}
	}
	seven, err := file.Create(filepath.Join(root, "seven.parquet"), arrow.NewSchema([]arrow.Field{
		{Name: "account_id", Type: arrow.PrimitiveTypes.Int64},
		{Name: "churn_probability", Type: arrow.PrimitiveTypes.Float64},
		{Name: "churn_predicted", Type: arrow.PrimitiveTypes.Int32},
		{Name: "model_version", Type: arrow.PrimitiveTypes.Int64},
		{Name: "run_id", Type: arrow.BinaryTypes.String},
		{Name: "scored_at", Type: &arrow.TimestampType{Unit: arrow.Microsecond}},
		{Name: "score_batch_id", Type: arrow.BinaryTypes.String},
	}, nil), file.WriteOptions{})
	if err != nil {
		return err
	}
	// tenure_months is text, monthly_charges is a date, contract is a number, seats is missing; the rest is as it should be.
	wrong := "account_id,compute_date,tenure_months,monthly_charges,total_charges,support_calls_90d,days_since_login,usage_gb_30d," +
		"paperless_billing,contract,payment_method,internet_service\n1,2026-11-02,many,2026-01-01,2.5,1,2.5,1.5,true,7,card,fiber\n"
	return errors.Join(
		seven.Close(),
		os.WriteFile(filepath.Join(root, "wrong.csv"), []byte(wrong), 0o600),
		os.WriteFile(filepath.Join(root, "other.csv"), []byte("account_id,churn_probability,comment\n1,0.5,mine\n"), 0o600),
	)
}

// registered fills the fixture's data directory through the daemon's own services, once.
var registered sync.Once

// newDataDir returns a fresh copy of a data directory in which version 1 of the models is Champion and version 2 of churn is
// validated.
func newDataDir(t *testing.T) (config, dir string) {
	t.Helper()
	fx, err := base()
	if err != nil {
		t.Fatal(err)
	}
	registered.Do(func() {
		d := start(t, command(fx.config, fx.dir))
		for name := range fixtureModels() {
			d.register(t, name, "v1")
			if name == "absent" || name == "wrong" {
				continue // their tables keep the gate from passing; batches name the version
			}
			d.validate(t, name, 1)
			d.promote(t, name, 1)
		}
		d.register(t, "churn", "v2")
		d.validate(t, "churn", 2)
		if err := d.terminate(t); err != nil {
			t.Fatalf("stopping: %v\n%s", err, d.stderr)
		}
	})
	dir = filepath.Join(t.TempDir(), "data")
	if out, err := exec.Command("cp", "-a", fx.dir, dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return fx.config, dir
}

// register streams a version of the churn model and its golden rows.
func (d *daemon) register(t *testing.T, name, version string) {
	t.Helper()
	d.registerFiles(t, name, "run-"+version, filepath.Join(churn, version), "model.txt", "golden.parquet")
}

// registerFiles streams a model file and golden rows of a directory.
func (d *daemon) registerFiles(t *testing.T, name, runID, from, model, golden string) {
	t.Helper()
	stream, err := d.registry.Register(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	send := func(r *lifecyclev1.RegisterRequest) {
		if err := stream.Send(r); err != nil {
			_, err = stream.CloseAndRecv()
			t.Fatal(err)
		}
	}
	send(&lifecyclev1.RegisterRequest{Message: &lifecyclev1.RegisterRequest_Start{Start: &lifecyclev1.RegisterStart{
		ModelName: name, RunId: runID, GitSha: "0123abc", Actor: "test",
	}}})
	for file, role := range map[string]lifecyclev1.FileRole{
		model: lifecyclev1.FileRole_FILE_ROLE_MODEL, golden: lifecyclev1.FileRole_FILE_ROLE_GOLDEN_ROWS,
	} {
		content, err := os.ReadFile(filepath.Join(from, file))
		if err != nil {
			t.Fatal(err)
		}
		send(&lifecyclev1.RegisterRequest{Message: &lifecyclev1.RegisterRequest_File{File: &lifecyclev1.RegisterFile{Name: file, Role: role}}})
		for len(content) > 0 {
			n := min(len(content), 1<<20)
			send(&lifecyclev1.RegisterRequest{Message: &lifecyclev1.RegisterRequest_Chunk{Chunk: content[:n]}})
			content = content[n:]
		}
	}
	if _, err := stream.CloseAndRecv(); err != nil {
		t.Fatal(err)
	}
}

func (d *daemon) validate(t *testing.T, name string, version int64) {
	t.Helper()
	got, err := d.gates.Validate(t.Context(), &lifecyclev1.ValidateRequest{ModelName: name, Version: version, Actor: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if !got.GetReport().GetPassed() {
		t.Fatalf("%s version %d: %v", name, version, got)
	}
}

func (d *daemon) promote(t *testing.T, name string, version int64) {
	t.Helper()
	_, err := d.promotion.Promote(t.Context(), &lifecyclev1.PromoteRequest{ModelName: name, Version: version, Reason: "test", Actor: "test"})
	if err != nil {
		t.Fatal(err)
	}
}

// runBatch runs a batch to its end. The batch is nil when the call failed.
func (d *daemon) runBatch(ctx context.Context, r *scoringv1.RunBatchRequest) (*scoringv1.Batch, error) {
	stream, err := d.batches.RunBatch(ctx, r)
	if err != nil {
		return nil, err
	}
	var last *scoringv1.Batch
	for {
		got, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return last, nil
		}
		if err != nil {
			return nil, err
		}
		last = got.GetEvent().GetBatch()
	}
}

// succeed runs a batch that must work.
func (d *daemon) succeed(t *testing.T, r *scoringv1.RunBatchRequest) *scoringv1.Batch {
	t.Helper()
	b, err := d.runBatch(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if b.GetState() != scoringv1.BatchState_BATCH_STATE_SUCCEEDED {
		t.Fatalf("batch %v", b)
	}
	return b
}

// refused checks that an error has a code and says all of the words.
func refused(t *testing.T, err error, code codes.Code, words ...string) {
	t.Helper()
	if status.Code(err) != code {
		t.Errorf("code %s, want %s: %v", status.Code(err), code, err)
	}
	for _, w := range words {
		if !strings.Contains(status.Convert(err).Message(), w) {
			t.Errorf("does not say %q: %v", w, err)
		}
	}
}

func ref(name string) *scoringv1.ModelRef { return &scoringv1.ModelRef{Name: name} }

// content is what a table holds of one batch.
type content struct {
	Rows, Keys int64
	Sum        string // order-free over keys and scores
}

// contents reads an output table from a copy of its catalog file, as a process that crashed or stopped left it: by batch.
func contents(t *testing.T, dataDir, catalog, table string) map[string]content {
	t.Helper()
	copied := t.TempDir()
	for _, suffix := range []string{".duckdb", ".duckdb.wal"} {
		b, err := os.ReadFile(filepath.Join(dataDir, "warehouse", catalog+suffix))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(copied, catalog+suffix), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out := map[string]content{}
	path := filepath.Join(copied, catalog+".duckdb")
	if _, err := os.Stat(path); err != nil {
		return out // no batch has committed anything
	}
	db, err := sql.Open("duckdb", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), `SELECT score_batch_id, count(*), count(DISTINCT account_id),
		CAST(sum(CAST(hash(account_id, churn_probability) AS HUGEINT)) AS VARCHAR) FROM `+table+` GROUP BY 1`)
	if err != nil {
		if strings.Contains(err.Error(), "does not exist") {
			return out
		}
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		var c content
		if err := rows.Scan(&id, &c.Rows, &c.Keys, &c.Sum); err != nil {
			t.Fatal(err)
		}
		out[id] = c
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// staged lists what unfinished batches have left behind.
func staged(t *testing.T, dataDir string) []string {
	t.Helper()
	var found []string
	for _, dir := range []string{"warehouse/staging", "warehouse/tmp", "uploads"} {
		entries, err := os.ReadDir(filepath.Join(dataDir, dir))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		for _, e := range entries {
			found = append(found, dir+"/"+e.Name())
		}
	}
	return found
}
