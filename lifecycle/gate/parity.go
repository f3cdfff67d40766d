package gate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/frame"
	"github.com/treeline-ml/treeline/lifecycle/version"
	"github.com/treeline-ml/treeline/warehouse"
	"github.com/treeline-ml/treeline/warehouse/file"
)

// goldenBatch is the number of golden rows that are scored together.
const goldenBatch = 4096

// parity is the gate of that name.
func (s *Service) parity(ctx context.Context, v version.Version, l *loaded, minRows int64) (Result, error) {
	r := Result{Gate: Parity, Outcome: Inconclusive, Evidence: map[string]string{"min_rows": strconv.FormatInt(minRows, 10)}}
	if v.GoldenFile == "" {
		r.Summary = "no golden rows came with the version"
		r.Hint = "register the version with a Parquet file of golden rows: feature columns and the library's own raw and pred"
		return r, nil
	}
	r.Evidence["file"] = v.GoldenFile
	path := filepath.Join(l.dir, filepath.FromSlash(v.GoldenFile))
	stream, err := file.Open(ctx, path, file.Options{BatchRows: goldenBatch, Alloc: s.d.Alloc})
	if err != nil {
		return r.unreadable(ctx, l, err)
	}
	c, err := s.compare(ctx, stream, l)
	if err = errors.Join(err, stream.Close()); err != nil {
		return r.unreadable(ctx, l, err)
	}
	c.report(&r, minRows)
	return r, nil
}

// unreadable is the verdict on golden rows that say nothing. Only the end of the call is an error.
func (r Result) unreadable(ctx context.Context, l *loaded, err error) (Result, error) {
	if ctx.Err() != nil {
		return Result{}, ctx.Err()
	}
	r.Outcome = Inconclusive
	r.Summary = "the golden rows cannot be used: " + strings.ReplaceAll(err.Error(), l.dir+string(filepath.Separator), "")
	r.Hint = "write the file again (feature columns by name, raw and pred as float32 or float64) and register it as a new version"
	return r, nil
}

// errGolden: the golden rows are no evidence.
var errGolden = errors.New("gate: golden rows")

// compare scores the golden rows and compares them with the library's columns.
func (s *Service) compare(ctx context.Context, stream warehouse.RecordStream, l *loaded) (*comparison, error) {
	p := l.program
	raw, pred := frame.RawColumns(p.Outputs()), frame.PredColumns(p.Width())
	expected, err := findExpected(stream.Schema(), p, append(append([]string{}, raw...), pred...))
	if err != nil {
		return nil, err
	}
	binding, err := frame.NewBinding(l.model, p, stream.Schema(), frame.BindOptions{IgnoreExtra: true})
	if err != nil {
		return nil, err
	}
	c := &comparison{columns: expected, coverage: newCoverage(l.model, stream.Schema(), binding.Columns())}
	run := scorer{p: p, binding: binding, block: p.NewBlock()}
	for {
		rec, err := stream.Next(ctx)
		if errors.Is(err, io.EOF) {
			return c, nil
		}
		if err != nil {
			return nil, err
		}
		err = run.record(rec, c)
		rec.Release()
		if err != nil {
			return nil, fmt.Errorf("rows from %d: %w", c.rows, err)
		}
	}
}

// scorer keeps the buffers between records.
type scorer struct {
	p             *engine.Program
	binding       *frame.Binding
	block         *engine.Block
	margins, pred []float64
}

// record scores one record and compares it.
func (s *scorer) record(rec arrow.Record, c *comparison) error {
	rows := int(rec.NumRows())
	refusals, err := s.predict(rec)
	if err != nil {
		return err
	}
	refused := make(map[int]frame.Refusal, len(refusals))
	for _, f := range refusals {
		refused[f.Row] = f
	}
	outputs, width := s.p.Outputs(), s.p.Width()
	for k := range outputs {
		c.column(rec, k, s.margins, outputs, k, refused)
	}
	for k := range width {
		c.column(rec, outputs+k, s.pred, width, k, refused)
	}
	c.coverage.add(rec)
	c.rows += int64(rows)
	c.refused += int64(len(refused))
	return nil
}

// predict fills margins and pred with those of a record and returns the rows that the library refuses.
func (s *scorer) predict(rec arrow.Record) ([]frame.Refusal, error) {
	rows := int(rec.NumRows())
	refusals, err := s.binding.Bind(s.block, rec)
	defer s.block.Reset(0) // it must not refer to the record once that is released
	if err != nil {
		return nil, err
	}
	s.margins = grow(s.margins, rows*s.p.Outputs())
	s.pred = grow(s.pred, rows*s.p.Width())
	if err := s.p.Score(s.margins, s.block); err != nil {
		return nil, err
	}
	return refusals, s.p.Predict(s.pred, s.margins)
}

func grow(b []float64, n int) []float64 {
	if cap(b) < n {
		return make([]float64, n)
	}
	return b[:n]
}
