package scoring

import (
	"context"
	"fmt"
	"io"
	"math"
	"sync"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/warehouse"
)

// PostProcessor is a model's own code that changes the scores of a batch after the engine has made them. It serves any
// number of batches at a time.
type PostProcessor interface {
	// Class is the name of the code, as the model's config.yml has it.
	Class() string
	// Digest identifies the code, "sha256:<hex>"; "" when it cannot be told. It is part of the batch id.
	Digest() (string, error)
	// Process passes the rows of a batch through the code. Nothing is made of what it emits before it returns nil.
	Process(ctx context.Context, s Scores) error
}

// Scores are the rows of a batch on their way through a PostProcessor, in input order.
type Scores struct {
	// Schema is that of the records on both sides: the key columns, then the score columns, which are float64.
	Schema *arrow.Schema
	Keys   []string // names of the key columns; their values must come out as they went in
	// Next returns the next record, which the callee releases, and io.EOF after the last. One goroutine calls it.
	Next func(ctx context.Context) (arrow.Record, error)
	// Emit takes a record with processed scores and borrows it until it returns. One goroutine calls it, which may be
	// another than that of Next. Records may be cut in other places than those of Next.
	Emit func(rec arrow.Record) error
}

// code is what a batch notes of its PostProcessor; the zero code is none.
type code struct{ class, digest string }

// codeOf asks a PostProcessor, which may be nil, for what it is at the moment.
func codeOf(p PostProcessor) (code, error) {
	if p == nil {
		return code{}, nil
	}
	d, err := p.Digest()
	if err != nil {
		return code{}, fmt.Errorf("inference_class %s: %w: %w", p.Class(), ErrPostProcess, err)
	}
	return code{class: p.Class(), digest: d}, nil
}

// scoresSchema is the schema of Scores.
func (j *job) scoresSchema() *arrow.Schema {
	fields := append([]arrow.Field{}, j.spec.Keys...)
	keys := len(fields)
	for _, f := range j.spec.Schema().Fields()[keys : keys+j.spec.Width] {
		f.Nullable = j.b.deps.Options.RowErrors == RowsNull
		fields = append(fields, f)
	}
	return arrow.NewSchema(fields, nil)
}

// unprocessed is the record of scored rows that goes to the PostProcessor. It borrows keys.
func (j *job) unprocessed(schema *arrow.Schema, keys []arrow.Array, preds []float64, null []bool, rows int) (arrow.Record, error) {
	mem, width := j.b.deps.Alloc, j.spec.Width
	cols := make([]arrow.Array, 0, len(keys)+width)
	defer func() {
		for _, c := range cols {
			c.Release()
		}
	}()
	for _, k := range keys {
		flat, err := plain(mem, k)
		if err != nil {
			return nil, err
		}
		cols = append(cols, flat)
	}
	for k := range width {
		b := array.NewFloat64Builder(mem)
		b.Reserve(rows)
		for r := range rows {
			if len(null) > 0 && null[r] {
				b.AppendNull()
			} else {
				b.Append(preds[r*width+k])
			}
		}
		cols = append(cols, b.NewArray())
		b.Release()
	}
	return array.NewRecord(schema, cols, int64(rows)), nil
}

// postProcess passes the pieces through the model's PostProcessor and stages what comes out of it. Like write, it takes
// every piece; a piece's share of the budget is given back once its record is handed over.
func (p *flow) postProcess(ctx context.Context, w warehouse.Writer, into *part, stop func()) error {
	j := p.job
	defer p.steps.postProcess.add(time.Now())
	e := &emitter{flow: p, w: w, part: into, schema: j.scoresSchema()}
	err := j.plan.cfg.PostProcessor.Process(ctx, Scores{Schema: e.schema, Keys: j.plan.cfg.Keys, Next: e.next, Emit: func(rec arrow.Record) error {
		return e.emit(ctx, rec)
	}})
	switch own := e.fault(); {
	case own != nil: // ours, which Process only passed on
		err = own
	case err != nil:
		err = p.steps.postProcess.failed(ctx, fmt.Errorf("%w: %w", ErrPostProcess, err))
	case ctx.Err() == nil && e.rows() > 0:
		err = fmt.Errorf("%w: inference_class %s gives %d rows less than it got", ErrPostProcess, j.plan.code.class, e.rows())
	default:
		err = j.sameCode()
	}
	if err != nil {
		stop()
	}
	for c := range p.ordered { // those that Process did not want any more
		<-c.done
		p.finish(c)
	}
	return err
}

// sameCode fails when the code is not what the batch id says any more: nobody knows which of both ran.
func (j *job) sameCode() error {
	now, err := codeOf(j.plan.cfg.PostProcessor)
	if err != nil {
		return err
	}
	if now != j.plan.code {
		return fmt.Errorf("%w: inference_class %s was changed while the batch ran; run it again", ErrPostProcess, now.class)
	}
	return nil
}

// emitter is both ends of one pass. next and emit may run at the same time, each in one goroutine.
type emitter struct {
	flow   *flow
	w      warehouse.Writer
	part   *part
	schema *arrow.Schema

	hash  rowHasher
	preds []float64
	null  []bool
	first int64 // index in the input of the row that is emitted next

	mu   sync.Mutex
	err  error // the first of our own
	sent []sentRows
}

// sentRows are rows that the code has not given back yet; null marks those without a score, nil when all have one.
type sentRows struct {
	rows int
	null []bool
}

// note keeps the first error that is ours.
func (e *emitter) note(err error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err == nil {
		e.err = err
	}
	return err
}

func (e *emitter) fault() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err
}

// rows are those that are out.
func (e *emitter) rows() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for _, s := range e.sent {
		n += s.rows
	}
	return n
}

func (e *emitter) next(ctx context.Context) (arrow.Record, error) {
	var c *piece
	select {
	case got, ok := <-e.flow.ordered:
		if !ok {
			return nil, io.EOF
		}
		c = got
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	<-c.done
	defer e.flow.finish(c)
	if c.err != nil {
		return nil, e.note(c.err)
	}
	e.mu.Lock()
	e.sent = append(e.sent, sentRows{rows: int(c.out.NumRows()), null: c.null})
	e.mu.Unlock()
	c.out.Retain()
	return c.out, nil
}

// emit stages a record in pieces of at most the pipeline's size.
func (e *emitter) emit(ctx context.Context, rec arrow.Record) error {
	step := int64(2 * e.flow.job.b.deps.Options.BatchRows)
	for at := int64(0); at < rec.NumRows(); at += step {
		part := rec.NewSlice(at, min(at+step, rec.NumRows()))
		err := e.stage(ctx, part)
		part.Release()
		if err != nil {
			return e.note(err)
		}
	}
	return nil
}

func (e *emitter) stage(ctx context.Context, rec arrow.Record) error {
	j, rows := e.flow.job, int(rec.NumRows())
	start := time.Now()
	if err := e.take(rec); err != nil {
		return err
	}
	keys := rec.Columns()[:len(j.spec.Keys)]
	if err := e.hash.bind(keys); err != nil {
		return err
	}
	e.part.fill(e.preds, j.spec.Width, e.null, j.batch.Threshold, &e.hash)
	out, err := j.stamp(keys, e.preds, rows)
	if err != nil {
		return fmt.Errorf("%w: rows %d to %d: %w", ErrPostProcess, e.first, e.first+int64(rows)-1, err)
	}
	if len(e.null) > 0 {
		out = withNulls(out, len(keys), e.null)
	}
	defer out.Release()
	e.flow.steps.stamp.add(start)
	start = time.Now()
	err = e.w.Write(ctx, out)
	e.flow.steps.write.add(start)
	if err != nil {
		return e.flow.steps.write.failed(ctx, fmt.Errorf("staging rows %d to %d: %w", e.first, e.first+int64(rows)-1, err))
	}
	e.first += int64(rows)
	j.written.Add(int64(rows))
	j.progress()
	return nil
}

// take reads the scores of a record into preds and null, and checks them.
func (e *emitter) take(rec arrow.Record) error {
	j, rows := e.flow.job, int(rec.NumRows())
	keys, width := len(j.spec.Keys), j.spec.Width
	if int(rec.NumCols()) != e.schema.NumFields() {
		return fmt.Errorf("%w: %d columns, want %d", ErrPostProcess, rec.NumCols(), e.schema.NumFields())
	}
	for k := range keys {
		if f := e.schema.Field(k); rec.ColumnName(k) != f.Name || !arrow.TypeEqual(rec.Column(k).DataType(), f.Type) {
			return fmt.Errorf("%w: column %d is %.80q %s, want %q %s",
				ErrPostProcess, k+1, rec.ColumnName(k), rec.Column(k).DataType(), f.Name, f.Type)
		}
	}
	var err error
	if e.null, err = e.expect(rows); err != nil {
		return err
	}
	e.preds = sized(e.preds, rows*width)
	for k := range width {
		name := e.schema.Field(keys + k).Name
		col, ok := rec.Column(keys + k).(*array.Float64)
		if !ok || rec.ColumnName(keys+k) != name {
			return fmt.Errorf("%w: column %.80q is %s, want %q float64", ErrPostProcess, rec.ColumnName(keys+k), rec.Column(keys+k).DataType(), name)
		}
		for r := range rows {
			refused := len(e.null) > 0 && e.null[r]
			v := 0.0
			if col.IsValid(r) {
				v = col.Value(r)
			}
			if problem := j.problem(v, col.IsNull(r), refused); problem != "" {
				return fmt.Errorf("%w: row %d: %q %s", ErrPostProcess, e.first+int64(r), name, problem)
			}
			e.preds[r*width+k] = v
		}
	}
	return nil
}

// problem says why a processed score cannot stand, or "". A class changes scores: it neither takes one away nor gives one
// to a row that the training library would refuse.
func (j *job) problem(v float64, null, refused bool) string {
	switch {
	case refused && !null:
		return "has a score, but the row was refused and has none; leave it null"
	case refused:
		return ""
	case null:
		return "is null, but the row had a score; keep it, or change it to another number"
	case isProbability(j.loaded.Model) && !(v >= 0 && v <= 1):
		return fmt.Sprintf("is %v, a probability is from 0 to 1", v)
	case j.loaded.Model.Task() != forest.Regression && math.IsNaN(v):
		return "is not a number"
	}
	return ""
}

// expect takes the marks of the next rows that went out, which are nil when all of them have scores.
func (e *emitter) expect(rows int) ([]bool, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	null := e.null[:0]
	for rows > 0 {
		if len(e.sent) == 0 {
			return nil, fmt.Errorf("%w: more rows came back than went out", ErrPostProcess)
		}
		s := &e.sent[0]
		n := min(rows, s.rows)
		if s.null == nil {
			null = append(null, make([]bool, n)...)
		} else {
			null = append(null, s.null[:n]...)
			s.null = s.null[n:]
		}
		if s.rows -= n; s.rows == 0 {
			e.sent = e.sent[1:]
		}
		rows -= n
	}
	for _, is := range null {
		if is {
			return null, nil
		}
	}
	return null[:0], nil
}
