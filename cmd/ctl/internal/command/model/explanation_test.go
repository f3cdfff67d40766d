package model

import (
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/treeline-ml/treeline/warehouse/file"
)

// The output has a column for each feature and tree; contributions and the expected value add up to raw.
func TestJobExplains(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	j := newJob(t, mem, "churn/v1")
	j.options.explanation = explanation{contributions: true, leaves: true}
	var err error
	if j.program, err = j.options.compile(j.source); err != nil {
		t.Fatal(err)
	}
	if rows, _, err := run(t.Context(), t, j); rows != 2000 || err != nil {
		t.Fatalf("%d rows, error %v", rows, err)
	}
	in, err := file.Open(t.Context(), j.output, file.Options{Alloc: mem})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	m := j.source.Model
	want := []string{"raw", "pred"}
	for _, f := range m.Features {
		want = append(want, "contrib_"+f.Name)
	}
	want = append(want, "expected")
	for i, name := range want {
		if got := in.Schema().Field(i).Name; got != name {
			t.Fatalf("column %d is %q, want %q", i, got, name)
		}
	}
	if got := in.Schema().NumFields() - len(want); got != len(m.Trees) || in.Schema().Field(len(want)).Name != "leaf_0" {
		t.Errorf("%d leaf columns for %d trees", got, len(m.Trees))
	}
	for {
		rec, err := in.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		checkExplained(t, rec, len(m.Features)+1)
		rec.Release()
	}
}

func checkExplained(t *testing.T, rec arrow.Record, width int) {
	t.Helper()
	for r := range int(rec.NumRows()) {
		raw, sum, moved := rec.Column(0).(*array.Float64).Value(r), 0.0, false
		for k := range width {
			v := rec.Column(2 + k).(*array.Float64).Value(r)
			sum += v
			moved = moved || v != 0 && k < width-1
		}
		if math.Abs(raw-sum) > 1e-12*max(1, math.Abs(raw)) || !moved {
			t.Fatalf("row %d: contributions add up to %v, raw is %v", r, sum, raw)
		}
		if leaf := rec.Column(2 + width).(*array.Int32).Value(r); leaf < 0 {
			t.Fatalf("row %d: leaf %d", r, leaf)
		}
	}
}

// Refused rows have no contributions, and models with several outputs name them.
func TestJobExplainsSeveralOutputs(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	j := newJob(t, mem, "../cmd/ctl/testdata/xgboost/multi.json")
	j.options.explanation = explanation{contributions: true, leaves: true}
	j.options.rowErrors.null = true
	var err error
	if j.program, err = j.options.compile(j.source); err != nil {
		t.Fatal(err)
	}
	j.input = t.TempDir() + "/rows.arrow"
	writeRows(t, j.input, batchRows, 1)
	if _, _, err := run(t.Context(), t, j); err != nil {
		t.Fatal(err)
	}
	in, err := file.Open(t.Context(), j.output, file.Options{Alloc: mem})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	rec, err := in.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Release()
	var names []string
	for i, f := range rec.Schema().Fields() {
		names = append(names, f.Name)
		if !rec.Column(i).IsNull(1) || rec.Column(i).IsNull(0) || rec.Column(i).NullN() != 1 {
			t.Errorf("column %s: row 1 is not the only null", f.Name)
		}
	}
	if all := strings.Join(names, " "); !strings.Contains(all, "contrib_1_f0 ") || !strings.Contains(all, "contrib_0_f3 expected_0 contrib_1_f0") || !strings.Contains(all, " leaf_0 leaf_1") {
		t.Errorf("columns %s", all)
	}
}
