package local_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/google/go-cmp/cmp"

	"github.com/treeline-ml/treeline/lifecycle/training/local"
	"github.com/treeline-ml/treeline/warehouse/file"
)

func process(t *testing.T) local.Process {
	t.Helper()
	return local.Process{Python: python(t), PythonPath: []string{fake(t)}}
}

// temporary makes a TMPDIR of the test's own, which must be empty at its end.
func temporary(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Cleanup(func() {
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
		for _, pid := range processes(dir) {
			t.Errorf("process %d is left", pid)
		}
	})
	return dir
}

func TestRunValidator(t *testing.T) {
	temporary(t)
	v, err := local.RunValidator(t.Context(), process(t), local.ValidatorSpec{
		Class: "echo", ModelDir: "/m", Holdout: "/h.parquet", LabelCol: "churned", Hyperparameters: map[string]any{"max_depth": 10},
	})
	want := local.Verdict{
		Passed: true, Summary: "/h.parquet of /m", Figures: map[string]float64{"lift": 1.5, "good": 1, "depth": 10},
		Notes: map[string]string{"note": "so so", "worst": "nan"},
	}
	if d := cmp.Diff(want, v); d != "" || err != nil {
		t.Errorf("%v\n%s", err, d)
	}
}

func TestRunValidatorFails(t *testing.T) {
	for class, c := range map[string]struct {
		text string // that it writes
		want string
	}{
		"refuses":    {"", "the holdout has one class"},
		"crashes":    {"", "RuntimeError: boom"},
		"silent":     {"", "no such file"},
		"text":       {"{", "verdict"},
		"text none":  {`{"summary": "x"}`, "passed"},
		"text wrong": {`{"passed": "yes"}`, "verdict"},
		"text long":  {`{"passed": true, "summary": "` + strings.Repeat("x", 5000) + `"}`, "5000"},
		"endless":    {"", "more than"},
	} {
		t.Run(class, func(t *testing.T) {
			temporary(t)
			class, _, _ := strings.Cut(class, " ")
			v, err := local.RunValidator(t.Context(), process(t), local.ValidatorSpec{Class: class, Metrics: map[string]any{"text": c.text}})
			if !errors.Is(err, local.ErrChild) || !strings.Contains(err.Error(), c.want) || v.Passed {
				t.Errorf("%+v, %v; want %q", v, err, c.want)
			}
		})
	}
	if _, err := local.RunValidator(t.Context(), local.Process{Python: "/no/python"}, local.ValidatorSpec{}); !errors.Is(err, local.ErrStart) {
		t.Errorf("no interpreter: %v", err)
	}
}

func TestRunValidatorEnds(t *testing.T) {
	temporary(t)
	_, err := local.RunValidator(t.Context(), process(t), local.ValidatorSpec{Class: "hangs", Timeout: 500 * time.Millisecond})
	if !errors.Is(err, local.ErrChild) || !strings.Contains(err.Error(), "500ms") {
		t.Errorf("too long: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(300*time.Millisecond, cancel)
	if _, err = local.RunValidator(ctx, process(t), local.ValidatorSpec{Class: "hangs"}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// realProcess runs the product's own package.
func realProcess(t *testing.T) local.Process {
	t.Helper()
	path, err := filepath.Abs("../../../python")
	if err != nil {
		t.Fatal(err)
	}
	return local.Process{Python: python(t), PythonPath: []string{path}}
}

func hooks(t *testing.T) []string {
	t.Helper()
	path, err := filepath.Abs("testdata/hooks")
	if err != nil {
		t.Fatal(err)
	}
	return []string{path}
}

func TestRealValidator(t *testing.T) {
	holdout := filepath.Join(t.TempDir(), "holdout.parquet")
	writeHoldout(t, holdout)
	temporary(t)
	s := local.ValidatorSpec{
		Class: "scorehooks.FewPositives", ModulePath: hooks(t), ModelDir: "/m", Holdout: holdout, LabelCol: "label", Metrics: map[string]any{"most": 0.5},
	}
	v, err := local.RunValidator(t.Context(), realProcess(t), s)
	if err != nil || !v.Passed || v.Figures["rate"] != 0.25 || v.Summary != "0.25 of the rows are positive" {
		t.Errorf("%+v, %v", v, err)
	}
	s.Metrics["most"] = 0.2
	if v, err := local.RunValidator(t.Context(), realProcess(t), s); err != nil || v.Passed {
		t.Errorf("%+v, %v", v, err)
	}
	s.Class = "scorehooks.Absent"
	if _, err := local.RunValidator(t.Context(), realProcess(t), s); !errors.Is(err, local.ErrChild) || !strings.Contains(err.Error(), "Absent") {
		t.Errorf("error is %v", err)
	}
}

// writeHoldout writes four rows, one of them positive.
func writeHoldout(t *testing.T, path string) {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "id", Type: arrow.PrimitiveTypes.Int64},
		{Name: "label", Type: arrow.PrimitiveTypes.Int64},
		{Name: "raw", Type: arrow.PrimitiveTypes.Float64},
		{Name: "pred", Type: arrow.PrimitiveTypes.Float64},
	}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	b.Field(0).(*array.Int64Builder).AppendValues([]int64{1, 2, 3, 4}, nil)
	b.Field(1).(*array.Int64Builder).AppendValues([]int64{0, 1, 0, 0}, nil)
	for i := 2; i < 4; i++ {
		b.Field(i).(*array.Float64Builder).AppendValues([]float64{0.1, 0.9, 0.2, 0.3}, nil)
	}
	rec := b.NewRecord()
	defer rec.Release()
	w, err := file.Create(path, schema, file.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Write(rec), w.Close()); err != nil {
		t.Fatal(err)
	}
}
