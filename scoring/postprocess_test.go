package scoring

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/treeline-ml/treeline/warehouse"
)

// hook is a PostProcessor in this process; internal/app has the real one.
type hook struct {
	mu     sync.Mutex
	digest string
	run    func(ctx context.Context, s Scores) error
}

func (h *hook) Class() string { return "hooks.Test" }

func (h *hook) Digest() (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.digest, nil
}

func (h *hook) Process(ctx context.Context, s Scores) error { return h.run(ctx, s) }

// changing gives back records of size rows (0: as they came) whose score is f of what it was; a null stays one unless f
// is asked about it, which NaN as its argument says.
func changing(mem memory.Allocator, size int, f func(row int, v float64) (float64, bool)) func(context.Context, Scores) error {
	return func(ctx context.Context, s Scores) error {
		b := array.NewRecordBuilder(mem, s.Schema)
		defer b.Release()
		row, held := 0, 0
		flush := func() error {
			rec := b.NewRecord()
			defer rec.Release()
			held = 0
			return s.Emit(rec)
		}
		for {
			rec, err := s.Next(ctx)
			if errors.Is(err, io.EOF) {
				return flush()
			}
			if err != nil {
				return fmt.Errorf("class failed: %w", err)
			}
			for i := range int(rec.NumRows()) {
				b.Field(0).(*array.Int64Builder).Append(rec.Column(0).(*array.Int64).Value(i))
				v := math.NaN()
				if rec.Column(1).IsValid(i) {
					v = rec.Column(1).(*array.Float64).Value(i)
				}
				if got, ok := f(row, v); ok {
					b.Field(1).(*array.Float64Builder).Append(got)
				} else {
					b.Field(1).(*array.Float64Builder).AppendNull()
				}
				row++
				if held++; size > 0 && held == size {
					if err := flush(); err != nil {
						rec.Release()
						return err
					}
				}
			}
			rec.Release()
			if size == 0 {
				if err := flush(); err != nil {
					return err
				}
			}
		}
	}
}

func shrink(_ int, v float64) (float64, bool) { return float64(v * 0.9), !math.IsNaN(v) }

func withHook(h *hook) func(*Deps) {
	return func(d *Deps) { d.Configs[0].PostProcessor = h }
}

func TestPostProcessedScoresAreWhatIsWritten(t *testing.T) {
	const rows = 1234
	plainly, _ := newTestBatcher(t, newShelf(t, features(rows)), nil)
	before := mustRun(t, plainly, Request{Model: "m"})
	var digests []string
	for _, size := range []int{0, 1, 77, 5000} {
		for _, threads := range []int{1, 3} {
			s := newShelf(t, features(rows))
			b, ledger := newTestBatcher(t, s, func(d *Deps) {
				d.Options.Threads = threads
				d.Configs[0].PostProcessor = &hook{digest: "sha256:1", run: changing(s.mem, size, shrink)}
			})
			batch := mustRun(t, b, Request{Model: "m"})
			got := s.rows(batch.ID)
			if len(got) != rows {
				t.Fatalf("%d rows", len(got))
			}
			for r, row := range got {
				want := float64(stumpScore(xOf(r), zOf(r)) * 0.9)
				predicted := int32(0)
				if want >= 0.5 {
					predicted = 1
				}
				if row["id"] != int64(r) || row["m_probability"] != want || row["m_predicted"] != predicted || row["score_batch_id"] != string(batch.ID) {
					t.Fatalf("row %d: %v, want %v", r, row, want)
				}
			}
			if batch.PostProcessor != "hooks.Test" || batch.PostProcessorDigest != "sha256:1" || ledger.rows[batch.ID].PostProcessor != "hooks.Test" {
				t.Errorf("receipt says %q %q", batch.PostProcessor, batch.PostProcessorDigest)
			}
			if batch.ID == before.ID || batch.ConfigDigest == before.ConfigDigest || batch.OutputDigest == before.OutputDigest {
				t.Errorf("the class is not in batch id %s, config digest or output digest", batch.ID)
			}
			if math.Abs(batch.Profile.Max-before.Profile.Max*0.9) > 1e-15 || batch.Profile.Histogram[90] != 0 {
				t.Errorf("profile of other scores: %+v", batch.Profile)
			}
			digests = append(digests, batch.OutputDigest)
		}
	}
	for _, d := range digests {
		if d != digests[0] {
			t.Errorf("digest %s, another was %s", d, digests[0])
		}
	}
	if before.PostProcessor != "" {
		t.Errorf("scores of the engine itself are said to be from %q", before.PostProcessor)
	}
}

func TestPostProcessedRefusedRowsStayNull(t *testing.T) {
	s := newShelf(t, withInfinity(1000, 0, 555))
	b, _ := newTestBatcher(t, s, func(d *Deps) {
		d.Options.RowErrors = RowsNull
		d.Configs[0].PostProcessor = &hook{run: changing(s.mem, 130, shrink)}
	})
	batch := mustRun(t, b, Request{Model: "m"})
	for r, row := range s.rows(batch.ID) {
		refused := r == 0 || r == 555
		if (row["m_probability"] == nil) != refused || (row["m_predicted"] == nil) != refused {
			t.Fatalf("row %d: %v", r, row)
		}
	}
	if batch.RowsRefused != 2 {
		t.Errorf("%d refused", batch.RowsRefused)
	}
}

func TestPostProcessorsThatFail(t *testing.T) {
	boom := errors.New("boom")
	for name, c := range map[string]struct {
		table *inputTable
		run   func(mem memory.Allocator) func(context.Context, Scores) error
		want  error
		says  string
	}{
		"raises": {nil, func(memory.Allocator) func(context.Context, Scores) error {
			return func(context.Context, Scores) error { return boom }
		}, boom, "boom"},
		"raises in the middle": {nil, func(memory.Allocator) func(context.Context, Scores) error {
			return func(ctx context.Context, s Scores) error {
				rec, err := s.Next(ctx)
				if err == nil {
					rec.Release()
				}
				return boom
			}
		}, boom, "boom"},
		"takes all and gives none": {nil, func(memory.Allocator) func(context.Context, Scores) error {
			return func(ctx context.Context, s Scores) error {
				for {
					rec, err := s.Next(ctx)
					if err != nil {
						return nil //nolint:nilerr // the end
					}
					rec.Release()
				}
			}
		}, ErrPostProcess, "rows less than it got"},
		"above one": {nil, func(mem memory.Allocator) func(context.Context, Scores) error {
			return changing(mem, 0, func(row int, v float64) (float64, bool) {
				if row == 707 {
					v = 1.25
				}
				return v, true
			})
		}, ErrPostProcess, `row 707: "m_probability" is 1.25`},
		"not a number": {nil, func(mem memory.Allocator) func(context.Context, Scores) error {
			return changing(mem, 0, func(row int, v float64) (float64, bool) {
				if row == 3 {
					v = math.NaN()
				}
				return v, true
			})
		}, ErrPostProcess, "row 3:"},
		"takes a score away": {nil, func(mem memory.Allocator) func(context.Context, Scores) error {
			return changing(mem, 0, func(row int, v float64) (float64, bool) { return v, row != 1999 })
		}, ErrPostProcess, "row 1999:"},
		"scores a refused row": {withInfinity(2000, 1500), func(mem memory.Allocator) func(context.Context, Scores) error {
			return changing(mem, 0, func(_ int, v float64) (float64, bool) {
				if math.IsNaN(v) {
					v = 0.5
				}
				return v, true
			})
		}, ErrPostProcess, "row 1500:"},
		"other columns": {nil, func(mem memory.Allocator) func(context.Context, Scores) error {
			return func(ctx context.Context, s Scores) error {
				for {
					rec, err := s.Next(ctx)
					if err != nil {
						return err
					}
					swapped := array.NewRecord(arrow.NewSchema([]arrow.Field{s.Schema.Field(1), s.Schema.Field(0)}, nil),
						[]arrow.Array{rec.Column(1), rec.Column(0)}, rec.NumRows())
					err = s.Emit(swapped)
					swapped.Release()
					rec.Release()
					if err != nil {
						return err
					}
				}
			}
		}, ErrPostProcess, `want "id"`},
	} {
		t.Run(name, func(t *testing.T) {
			table := c.table
			if table == nil {
				table = features(2000)
			}
			s := newShelf(t, table)
			b, ledger := newTestBatcher(t, s, func(d *Deps) {
				d.Options.RowErrors = RowsNull
				d.Configs[0].PostProcessor = &hook{run: c.run(s.mem)}
			})
			batch, err := b.Run(t.Context(), Request{Model: "m"}, nil)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error is %v, want %q", err, c.says)
			}
			if batch.State != StateFailed || batch.Rows != 0 || len(s.output) != 0 || ledger.rows[batch.ID].State != StateFailed {
				t.Errorf("%s with %d rows", batch.State, batch.Rows)
			}
		})
	}
}

// What fails beside the class is not its fault, and ends it.
func TestPostProcessedFailureAtEveryStep(t *testing.T) {
	for _, step := range []string{"open", "read", "write", "commit"} {
		s := newShelf(t, features(2000))
		s.at = func(_ context.Context, at string, n int) error {
			if at == step && (n == 5 || step != "read" && step != "write") {
				return fmt.Errorf("%s %d: %w", at, n, errBroken)
			}
			return nil
		}
		b, _ := newTestBatcher(t, s, withHook(&hook{run: changing(s.mem, 0, shrink)}))
		if _, err := b.Run(t.Context(), Request{Model: "m"}, nil); !errors.Is(err, errBroken) || errors.Is(err, ErrPostProcess) {
			t.Errorf("%s: %v", step, err)
		}
		if len(s.output) != 0 {
			t.Errorf("%s: rows were written", step)
		}
	}
	s := newShelf(t, withInfinity(2000, 1701))
	b, _ := newTestBatcher(t, s, withHook(&hook{run: changing(s.mem, 0, shrink)}))
	var row *RowError
	if _, err := b.Run(t.Context(), Request{Model: "m"}, nil); !errors.As(err, &row) || row.Row != 1701 || errors.Is(err, ErrPostProcess) {
		t.Errorf("a refused row: %v", err)
	}
}

func TestPostProcessorThatHangsIsCancelled(t *testing.T) {
	s := newShelf(t, features(2000))
	reached := make(chan struct{})
	b, ledger := newTestBatcher(t, s, withHook(&hook{run: func(ctx context.Context, _ Scores) error {
		close(reached)
		<-ctx.Done()
		return ctx.Err()
	}}))
	w, err := b.Start(t.Context(), Request{Model: "m"})
	if err != nil {
		t.Fatal(err)
	}
	<-reached
	var id warehouse.BatchID
	for id == "" {
		e, err := w.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		id = e.ID
	}
	if batch, err := b.Cancel(t.Context(), id); err != nil || batch.State != StateCancelled || ledger.rows[id].State != StateCancelled {
		t.Errorf("%+v, %v", batch, err)
	}
}

// Code that is edited while it runs: nobody can say which of both made the scores.
func TestPostProcessorThatChanges(t *testing.T) {
	s := newShelf(t, features(500))
	h := &hook{digest: "sha256:1"}
	inner := changing(s.mem, 0, shrink)
	h.run = func(ctx context.Context, scores Scores) error {
		h.mu.Lock()
		h.digest += "2"
		h.mu.Unlock()
		return inner(ctx, scores)
	}
	b, _ := newTestBatcher(t, s, withHook(h))
	first, err := b.Run(t.Context(), Request{Model: "m"}, nil)
	if !errors.Is(err, ErrPostProcess) || !strings.Contains(err.Error(), "run it again") || len(s.output) != 0 {
		t.Errorf("error is %v", err)
	}
	h.run = inner
	if again := mustRun(t, b, Request{Model: "m"}); again.ID == first.ID || again.PostProcessorDigest != "sha256:12" {
		t.Errorf("other code has the same batch id %s", again.ID)
	}
}

func TestPostProcessedModelsAreNotScoredOnline(t *testing.T) {
	d := Deps{Configs: []ModelConfig{testConfig()}}
	d.Configs[0].PostProcessor = &hook{}
	_, err := NewOnline(d).Open(t.Context(), OnlineOptions{Model: "m"}, features(1).schema)
	if !errors.Is(err, ErrBatchOnly) || !strings.Contains(err.Error(), "hooks.Test") {
		t.Errorf("error is %v", err)
	}
}

func TestPlainKeys(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	typ := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}
	b := array.NewDictionaryBuilder(mem, typ).(*array.BinaryDictionaryBuilder)
	defer b.Release()
	for _, v := range []string{"a", "", "a", "(null)"} {
		if err := b.AppendString(v); err != nil {
			t.Fatal(err)
		}
	}
	b.AppendNull()
	col := b.NewArray()
	defer col.Release()
	got, err := plain(mem, col)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Release()
	if !arrow.TypeEqual(plainType(typ), got.DataType()) || got.Len() != 5 || got.NullN() != 1 || got.ValueStr(0) != "a" || !got.IsValid(3) {
		t.Errorf("got %s %v", got.DataType(), got)
	}
}
