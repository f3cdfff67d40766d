package duckdb_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/treeline-ml/treeline/warehouse"
	"github.com/treeline-ml/treeline/warehouse/duckdb"
)

// Environment of the test binary when it acts as another process instead of running tests.
const (
	childVariable = "TREELINE_DUCKDB_CHILD"
	dirVariable   = "TREELINE_DUCKDB_DIR"
	runVariable   = "TREELINE_DUCKDB_RUN"
)

var children = map[string]func() int{
	"holder": holdOpen,
	"raw":    holdRaw,
	"writer": writeForever,
	"full":   fillDisk,

	"materialiser": materialiseForever,
	"filewriter":   writeFiles,
}

// child is another process. Its lines come from stdout.
type child struct {
	cmd   *exec.Cmd
	lines *bufio.Scanner
	stdin io.Closer
}

func startChild(t *testing.T, kind, dir string, run int, attr *syscall.SysProcAttr) (*child, error) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+kind, dirVariable+"="+dir, runVariable+"="+strconv.Itoa(run))
	cmd.SysProcAttr = attr
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &child{cmd: cmd, lines: bufio.NewScanner(out), stdin: stdin}, nil
}

// kill is kill -9 and waits. It returns the lines that the child wrote and nobody has read.
func (c *child) kill(t *testing.T) []string {
	t.Helper()
	if err := c.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	var rest []string
	for c.lines.Scan() { // before Wait, which closes the pipe
		rest = append(rest, c.lines.Text())
	}
	_ = c.cmd.Wait() // "signal: killed"
	return rest
}

func (c *child) expect(t *testing.T, line string) {
	t.Helper()
	if !c.lines.Scan() || c.lines.Text() != line {
		c.kill(t)
		t.Fatalf("child says %q, want %q", c.lines.Text(), line)
	}
}

func complain(err error) int {
	fmt.Fprintln(os.Stderr, "child:", err)
	return 1
}

func waitForStdin() { _, _ = io.Copy(io.Discard, os.Stdin) }

func outputTable() warehouse.TableName {
	return warehouse.TableName{Catalog: "uat", Schema: "predictions", Table: "scores"}
}

func outputTarget() warehouse.Target {
	return warehouse.Target{
		Table: outputTable(),
		Schema: arrow.NewSchema([]arrow.Field{
			{Name: "id", Type: arrow.PrimitiveTypes.Int64},
			{Name: "score", Type: arrow.PrimitiveTypes.Float64},
			{Name: "run", Type: arrow.PrimitiveTypes.Int64},
			{Name: "scored_at", Type: arrow.FixedWidthTypes.Timestamp_us},
			{Name: "batch_id", Type: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}},
			{Name: "model_name", Type: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}},
			{Name: "git_sha", Type: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}},
		}, nil),
		Required: []string{"id", "score", "run", "batch_id"}, BatchColumn: "batch_id", Keys: []string{"id"}, OrderColumn: "scored_at",
	}
}

// outputRecord is rows [from, from+n) of a run of a batch.
func outputRecord(id warehouse.BatchID, run, from, n int64) arrow.Record {
	rb := array.NewRecordBuilder(memory.DefaultAllocator, outputTarget().Schema)
	defer rb.Release()
	at := arrow.Timestamp(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro())
	rb.Reserve(int(n))
	for i := from; i < from+n; i++ {
		rb.Field(0).(*array.Int64Builder).Append(i)
		rb.Field(1).(*array.Float64Builder).Append(float64(i*7919%100003) / 100003)
		rb.Field(2).(*array.Int64Builder).Append(run)
		rb.Field(3).(*array.TimestampBuilder).Append(at)
		for col, v := range map[int]string{4: string(id), 5: "churn", 6: "abc"} {
			if err := rb.Field(col).(*array.BinaryDictionaryBuilder).AppendString(v); err != nil {
				panic(err)
			}
		}
	}
	return rb.NewRecord()
}

func stage(ctx context.Context, w *duckdb.Warehouse, id warehouse.BatchID, run, rows int64) (warehouse.Writer, error) {
	wr, err := w.Begin(ctx, id, outputTarget())
	if err != nil {
		return nil, err
	}
	for from := int64(0); from < rows; from += 50_000 {
		rec := outputRecord(id, run, from, min(50_000, rows-from))
		err := wr.Write(ctx, rec)
		rec.Release()
		if err != nil {
			return nil, errors.Join(err, wr.Abort(ctx))
		}
	}
	return wr, nil
}

// holdOpen opens the warehouse and keeps it.
func holdOpen() int {
	w, err := duckdb.Open(context.Background(), duckdb.Config{Dir: os.Getenv(dirVariable)})
	if err != nil {
		return complain(err)
	}
	fmt.Println("open")
	waitForStdin()
	if err := w.Close(); err != nil {
		return complain(err)
	}
	return 0
}

func TestSecondOpen(t *testing.T) {
	h := newHarness(t)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(h.dir, link); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{h.dir, link, h.dir + "/../" + filepath.Base(h.dir)} {
		_, err := duckdb.Open(t.Context(), duckdb.Config{Dir: dir})
		if !errors.Is(err, warehouse.ErrLocked) || !strings.Contains(err.Error(), "this process already") {
			t.Errorf("second open of %s in one process: %v", dir, err)
		}
	}
	if _, err := duckdb.Open(t.Context(), duckdb.Config{Dir: t.TempDir(), SnapshotDir: filepath.Join(h.dir, "snapshots")}); !errors.Is(err, warehouse.ErrLocked) {
		t.Errorf("second use of a snapshot directory: %v", err)
	}
	// The refused ones must not have disturbed the first.
	wr, err := stage(t.Context(), h.w, "b", 1, 10)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wr.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestSecondProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "var")
	c, err := startChild(t, "holder", dir, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.expect(t, "open")
	_, err = duckdb.Open(t.Context(), duckdb.Config{Dir: dir})
	if !errors.Is(err, warehouse.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", c.cmd.Process.Pid)) {
		t.Errorf("open while process %d has it: %v", c.cmd.Process.Pid, err)
	}
	c.kill(t)
	w, err := duckdb.Open(t.Context(), duckdb.Config{Dir: dir})
	if err != nil {
		t.Fatalf("open after the holder died: %v", err)
	}
	if err := errors.Join(w.Close(), w.Close()); err != nil {
		t.Error(err)
	}
	_, err = w.Snapshot(t.Context(), warehouse.Input{Table: outputTable()})
	if !errors.Is(err, warehouse.ErrClosed) {
		t.Errorf("use after close: %v", err)
	}
}

// TestForeignProcess: somebody opened one catalog file with another DuckDB, which does not know our lock file.
func TestForeignProcess(t *testing.T) {
	h := newHarness(t)
	if err := h.w.CreateSchema(t.Context(), "uat", "predictions"); err != nil {
		t.Fatal(err)
	}
	if err := h.w.Close(); err != nil {
		t.Fatal(err)
	}
	c, err := startChild(t, "raw", filepath.Join(h.dir, "uat.duckdb"), 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.kill(t)
	c.expect(t, "open")
	h.open(t)
	_, err = h.w.Begin(t.Context(), "b", outputTarget())
	if !errors.Is(err, warehouse.ErrLocked) || !strings.Contains(err.Error(), strconv.Itoa(c.cmd.Process.Pid)) {
		t.Errorf("begin while process %d has the catalog: %v", c.cmd.Process.Pid, err)
	}
	if err := h.w.MirrorPromotions(t.Context(), []warehouse.PromotionRow{{Seq: 1}}); err != nil {
		t.Errorf("another catalog: %v", err)
	}
}
