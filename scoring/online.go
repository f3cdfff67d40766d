package scoring

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/frame"
)

// OnlineOptions choose how a caller's own rows are scored.
type OnlineOptions struct {
	Model   string
	Version int64 // 0: the Champion
	// Margin also returns the margins, as raw or raw_0..raw_k, before the predictions.
	Margin bool
	// NullRowErrors gives null scores to rows that the training library would refuse, instead of an error.
	NullRowErrors bool
}

// RecordReader delivers a caller's records. Next ends with io.EOF; Session.Score and Online.Score release what it returns.
type RecordReader interface {
	Schema() *arrow.Schema
	Next() (arrow.Record, error)
}

// Online scores rows that callers send. It answers from the same Programs as the batch pipeline, bit for bit.
type Online struct {
	deps    Deps
	tracer  trace.Tracer
	log     *slog.Logger
	allowed map[string][]string // by model: columns that are no features but may come along
	batch   map[string]string   // by model that is scored in batches only: its inference_class
	slots   chan struct{}       // one a core: more callers wait here rather than share cores
}

// NewOnline returns an Online that uses Resolver, Models, Configs, Options.Threads, Tracer, Logger and Alloc of d.
func NewOnline(d Deps) *Online {
	d = d.withDefaults()
	o := &Online{
		deps: d, tracer: d.Tracer.Tracer(tracerName), log: d.Logger,
		allowed: make(map[string][]string, len(d.Configs)), batch: map[string]string{}, slots: make(chan struct{}, d.Options.Threads),
	}
	for _, c := range d.Configs {
		cols := append([]string(nil), c.Keys...)
		cols = append(cols, c.Exclude...)
		for _, one := range []string{c.Label, c.DateColumn} {
			if one != "" {
				cols = append(cols, one)
			}
		}
		o.allowed[c.Name] = cols
		if c.PostProcessor != nil {
			o.batch[c.Name] = c.PostProcessor.Class()
		}
	}
	return o
}

// Session scores records of one schema with one pinned version. It belongs to one goroutine at a time.
type Session struct {
	online  *Online
	opts    OnlineOptions
	loaded  *Loaded
	lineage Lineage
	binding *frame.Binding
	schema  *arrow.Schema
	block   *engine.Block
	rows    int64
	margins []float64
	preds   []float64
	null    []bool
}

// Open pins a version and binds its features to the schema's columns by name. A *frame.SchemaError lists all columns
// that are missing, unexpected or of a wrong type. It fails with ErrBatchOnly for models with a PostProcessor.
func (o *Online) Open(ctx context.Context, opts OnlineOptions, schema *arrow.Schema) (*Session, error) {
	if opts.Version < 0 {
		return nil, fmt.Errorf("version %d is negative: %w", opts.Version, ErrRequest)
	}
	if class, ok := o.batch[opts.Model]; ok {
		return nil, fmt.Errorf("model %q: its inference_class %s changes scores in batches; run a batch, or remove inference_class from its config.yml: %w",
			opts.Model, class, ErrBatchOnly)
	}
	pinned, loaded, err := resolve(ctx, o.tracer, o.deps, opts.Model, opts.Version)
	if err != nil {
		return nil, err
	}
	_, span := o.tracer.Start(ctx, "bind")
	defer span.End()
	binding, err := frame.NewBinding(loaded.Model, loaded.Program, schema, frame.BindOptions{Allowed: o.allowed[opts.Model]})
	if err != nil {
		return nil, failed(span, fmt.Errorf("model %s version %d: %w", pinned.Model, pinned.Version, err))
	}
	return &Session{
		online: o, opts: opts, loaded: loaded, binding: binding,
		lineage: Lineage{Pinned: pinned, FeatureSchemaHash: binding.SchemaHash(), EngineBuild: engine.Build()},
		schema:  arrow.NewSchema(frame.ScoreFields(loaded.Program, opts.Margin), nil),
		block:   loaded.Program.NewBlock(),
	}, nil
}

// Lineage names what the session scores with.
func (s *Session) Lineage() Lineage { return s.lineage }

// Schema is that of the answers: [raw columns,] prediction columns.
func (s *Session) Schema() *arrow.Schema { return s.schema }

// Rows is the number of rows scored so far: the offset of the next record's first row.
func (s *Session) Rows() int64 { return s.rows }

// Score scores one record and returns one row an input row, which the caller releases. Rows that the training library
// would refuse are null if asked for, else a *RowError whose Row counts from the session's first row.
func (s *Session) Score(ctx context.Context, rec arrow.Record) (arrow.Record, error) {
	select {
	case s.online.slots <- struct{}{}:
		defer func() { <-s.online.slots }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	_, span := s.online.tracer.Start(ctx, "score", trace.WithAttributes(attribute.Int64("treeline.rows", rec.NumRows())))
	defer span.End()
	out, err := s.score(rec)
	if err != nil {
		return nil, failed(span, err)
	}
	s.rows += rec.NumRows()
	return out, nil
}

func (s *Session) score(rec arrow.Record) (arrow.Record, error) {
	rows, p := int(rec.NumRows()), s.loaded.Program
	refused, err := s.binding.Bind(s.block, rec)
	if err != nil {
		return nil, err
	}
	s.null = s.null[:0]
	if len(refused) > 0 {
		if !s.opts.NullRowErrors {
			return nil, rowError(s.rows, refused)
		}
		s.null = nullRows(s.null, rows, refused)
	}
	s.margins = sized(s.margins, rows*p.Outputs())
	s.preds = sized(s.preds, rows*p.Width())
	if err := p.Score(s.margins, s.block); err != nil {
		return nil, err
	}
	if err := p.Predict(s.preds, s.margins); err != nil {
		return nil, err
	}
	cols := frame.ScoreColumns(s.online.deps.Alloc, p, s.margins, s.preds, s.opts.Margin, s.null)
	out := array.NewRecord(s.schema, cols, int64(rows))
	for _, c := range cols {
		c.Release()
	}
	return out, nil
}

// Score scores all records of a reader and hands each answer to emit, which must not keep it. It returns the lineage
// and the number of rows.
func (o *Online) Score(ctx context.Context, opts OnlineOptions, in RecordReader, emit func(arrow.Record) error) (Lineage, int64, error) {
	s, err := o.Open(ctx, opts, in.Schema())
	if err != nil {
		return Lineage{}, 0, err
	}
	for {
		rec, err := in.Next()
		if errors.Is(err, io.EOF) {
			return s.lineage, s.rows, nil
		}
		if err != nil {
			return s.lineage, s.rows, err
		}
		out, err := s.Score(ctx, rec)
		rec.Release()
		if err != nil {
			return s.lineage, s.rows, err
		}
		err = emit(out)
		out.Release()
		if err != nil {
			return s.lineage, s.rows, err
		}
	}
}

// nullRows marks the refused rows.
func nullRows(dst []bool, rows int, refused []frame.Refusal) []bool {
	dst = append(dst[:0], make([]bool, rows)...)
	for _, r := range refused {
		dst[r.Row] = true
	}
	return dst
}

// rowError names the first refused row of a record that starts at row first of the input.
func rowError(first int64, refused []frame.Refusal) *RowError {
	worst := refused[0]
	for _, r := range refused[1:] {
		if r.Row < worst.Row {
			worst = r
		}
	}
	return &RowError{Row: first + int64(worst.Row), Column: worst.Column, Reason: worst.Reason, More: len(refused) - 1}
}

func sized(s []float64, n int) []float64 {
	if cap(s) < n {
		return make([]float64, n)
	}
	return s[:n]
}
