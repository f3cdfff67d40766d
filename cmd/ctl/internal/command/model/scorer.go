package model

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/exit"
	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/frame"
	"github.com/treeline-ml/treeline/warehouse"
)

// scorer turns records into margins and predictions, one record at a time. It belongs to one goroutine.
type scorer struct {
	program *engine.Program
	binding *frame.Binding
	block   *engine.Block

	explanation explanation

	threads int
	null    bool // refused rows get null scores instead of ending the run
	rows    int64
}

// scores are the results of one record: row-major margins and predictions. Refused is nil, or says which rows have none.
type scores struct {
	margins, preds []float64
	contributions  []float64
	leaves         []int32
	refused        []bool
}

// score fills s, reusing its slices.
func (sc *scorer) score(rec arrow.Record, s *scores) error {
	rows := int(rec.NumRows())
	refusals, err := sc.binding.Bind(sc.block, rec)
	if err != nil {
		return fmt.Errorf("rows from %d on: %w", sc.rows, err)
	}
	s.refused = s.refused[:0]
	if len(refusals) > 0 {
		if !sc.null {
			return sc.refusal(refusals)
		}
		s.refused = resize(s.refused, rows)
		clear(s.refused)
		for _, r := range refusals {
			s.refused[r.Row] = true
		}
	}
	s.margins = resize(s.margins, rows*sc.program.Outputs())
	s.preds = resize(s.preds, rows*sc.program.Width())
	if err := sc.program.ScoreParallel(s.margins, sc.block, sc.threads); err != nil {
		return fmt.Errorf("scoring rows from %d on: %w", sc.rows, err)
	}
	if err := sc.program.Predict(s.preds, s.margins); err != nil {
		return fmt.Errorf("scoring rows from %d on: %w", sc.rows, err)
	}
	if err := sc.explanation.explain(sc.program, sc.block, sc.threads, s); err != nil {
		return fmt.Errorf("explaining rows from %d on: %w", sc.rows, err)
	}
	sc.rows += int64(rows)
	return nil
}

func (sc *scorer) refusal(refusals []frame.Refusal) error {
	first := refusals[0]
	for _, r := range refusals {
		if r.Row < first.Row {
			first = r
		}
	}
	return exit.Hinted(
		fmt.Errorf("row %d (the first row is 0), column %q: %s", sc.rows+int64(first.Row), first.Column, first.Reason),
		"correct the input, or give such rows null scores with --row-errors null")
}

// resize returns a slice of length n, s's own memory where that is large enough.
func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// readAll sends the records of a stream to out until its end, and closes out. The receiver releases them.
func readAll(ctx context.Context, in warehouse.RecordStream, out chan<- arrow.Record) error {
	defer close(out)
	for {
		rec, err := in.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return readError(err)
		}
		select {
		case out <- rec:
		case <-ctx.Done():
			rec.Release()
			return ctx.Err()
		}
	}
}

// drain releases what is left in a channel of records after its sender has closed it.
func drain(in <-chan arrow.Record) {
	for rec := range in {
		rec.Release()
	}
}
