package local_test

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

	"github.com/treeline-ml/treeline/lifecycle/training/local"
)

func scoreSchema() *arrow.Schema {
	return arrow.NewSchema([]arrow.Field{
		{Name: "id", Type: arrow.PrimitiveTypes.Int64},
		{Name: "region", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "score", Type: arrow.PrimitiveTypes.Float64},
	}, nil)
}

// pass is a pass of n rows, in records of size rows, and what came of it.
type pass struct {
	spec local.PostProcessSpec
	rows []string
}

func newPass(t *testing.T, class string, n, size int) *pass {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	t.Cleanup(func() { mem.AssertSize(t, 0) })
	p := &pass{}
	next := 0
	p.spec = local.PostProcessSpec{
		Class: class, Schema: scoreSchema(), Keys: []string{"id", "region"}, Alloc: mem,
		Next: func(context.Context) (arrow.Record, error) {
			if next >= n {
				return nil, io.EOF
			}
			b := array.NewRecordBuilder(mem, scoreSchema())
			defer b.Release()
			for end := min(n, next+size); next < end; next++ {
				b.Field(0).(*array.Int64Builder).Append(int64(next))
				if next%5 == 0 {
					b.Field(1).AppendNull()
				} else {
					b.Field(1).(*array.StringBuilder).Append(fmt.Sprint("r", next%3))
				}
				b.Field(2).(*array.Float64Builder).Append(float64(next) / float64(n))
			}
			return b.NewRecord(), nil
		},
		Emit: func(rec arrow.Record) error {
			for i := range int(rec.NumRows()) {
				p.rows = append(p.rows, fmt.Sprint(rec.Column(0).(*array.Int64).Value(i), rec.Column(2).(*array.Float64).Value(i)))
			}
			return nil
		},
	}
	return p
}

func TestPostProcess(t *testing.T) {
	for _, class := range []string{"halves", "small", "all_at_once"} {
		temporary(t)
		const n = 1000
		p := newPass(t, class, n, 300)
		if err := local.PostProcess(t.Context(), process(t), p.spec); err != nil {
			t.Errorf("%s: %v", class, err)
		}
		if len(p.rows) != n {
			t.Fatalf("%s: %d rows", class, len(p.rows))
		}
		for i, got := range p.rows {
			if want := fmt.Sprint(i, float64(i)/n/2); got != want {
				t.Fatalf("%s: row %d is %s, want %s", class, i, got, want)
			}
		}
	}
}

func TestRealPostProcess(t *testing.T) {
	temporary(t)
	const n = 1000
	p := newPass(t, "scorehooks.Halve", n, 300)
	p.spec.ModulePath = hooks(t)
	if err := local.PostProcess(t.Context(), realProcess(t), p.spec); err != nil || len(p.rows) != n {
		t.Fatalf("%d rows, %v", len(p.rows), err)
	}
	for i, got := range p.rows {
		if want := fmt.Sprint(i, float64(i)/n/2); got != want {
			t.Fatalf("row %d is %s, want %s", i, got, want)
		}
	}
	for class, want := range map[string]string{"scorehooks.Drop": "returned 299 rows for 300"} {
		p := newPass(t, class, n, 300)
		p.spec.ModulePath = hooks(t)
		if err := local.PostProcess(t.Context(), realProcess(t), p.spec); !errors.Is(err, local.ErrChild) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", class, err, want)
		}
	}
}

func TestPostProcessEmpty(t *testing.T) {
	temporary(t)
	p := newPass(t, "halves", 0, 1)
	if err := local.PostProcess(t.Context(), process(t), p.spec); err != nil || len(p.rows) != 0 {
		t.Errorf("%d rows, %v", len(p.rows), err)
	}
}

func TestPostProcessRefuses(t *testing.T) {
	// A class that adds a row is caught at that row, or by the number of rows when it answers before the next ones went in.
	either := func(message, want string) bool {
		for one := range strings.SplitSeq(want, "|") {
			if strings.Contains(message, one) {
				return true
			}
		}
		return false
	}
	for class, want := range map[string]string{
		"exits": "no such class", "garbage": "output", "silent": "output", "other_columns": `column 2 is "score", want "region"`,
		"drops": "another key", "adds": "another key|more rows", "swaps": "another key", "crashes": "row 8 is wrong", "stops_reading": "0 rows",
	} {
		t.Run(class, func(t *testing.T) {
			temporary(t)
			p := newPass(t, class, 100_000, 5000)
			err := local.PostProcess(t.Context(), process(t), p.spec)
			if !errors.Is(err, local.ErrChild) || !either(err.Error(), want) || !strings.Contains(err.Error(), class) {
				t.Errorf("error is %v, want %q", err, want)
			}
		})
	}
	t.Run("drops the last", func(t *testing.T) {
		p := newPass(t, "drops", 10, 10)
		if err := local.PostProcess(t.Context(), process(t), p.spec); !errors.Is(err, local.ErrChild) || !strings.Contains(err.Error(), "9 rows, it got 10") {
			t.Errorf("error is %v", err)
		}
	})
	t.Run("adds", func(t *testing.T) {
		p := newPass(t, "adds", 10, 10)
		if err := local.PostProcess(t.Context(), process(t), p.spec); !errors.Is(err, local.ErrChild) || !strings.Contains(err.Error(), "more rows than the 10") {
			t.Errorf("error is %v", err)
		}
	})
}

// Whoever gives or takes the rows may fail, too.
func TestPostProcessStops(t *testing.T) {
	temporary(t)
	boom := errors.New("boom")
	p := newPass(t, "halves", 100_000, 1000)
	p.spec.Emit = func(arrow.Record) error { return boom }
	if err := local.PostProcess(t.Context(), process(t), p.spec); !errors.Is(err, boom) {
		t.Errorf("emitting: %v", err)
	}
	p = newPass(t, "halves", 100_000, 1000)
	next, calls := p.spec.Next, 0
	p.spec.Next = func(ctx context.Context) (arrow.Record, error) {
		if calls++; calls > 3 {
			return nil, boom
		}
		return next(ctx)
	}
	if err := local.PostProcess(t.Context(), process(t), p.spec); !errors.Is(err, boom) {
		t.Errorf("reading: %v", err)
	}
	p = newPass(t, "hangs", 100_000, 1000)
	p.spec.Timeout = 500 * time.Millisecond
	if err := local.PostProcess(t.Context(), process(t), p.spec); !errors.Is(err, local.ErrChild) || !strings.Contains(err.Error(), "500ms") {
		t.Errorf("hanging: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(200*time.Millisecond, cancel)
	p = newPass(t, "hangs", 100_000, 1000)
	if err := local.PostProcess(ctx, process(t), p.spec); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	p = newPass(t, "halves", 10, 10)
	p.spec.Keys = []string{"nothing"}
	if err := local.PostProcess(t.Context(), process(t), p.spec); !errors.Is(err, local.ErrStart) {
		t.Errorf("no such key: %v", err)
	}
}
