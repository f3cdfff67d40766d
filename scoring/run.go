package scoring

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/frame"
	"github.com/treeline-ml/treeline/warehouse"
)

// batchColumn, orderColumn and versionColumn are the output columns of frame.OutputSpec that this package needs to know by name.
const (
	batchColumn   = "score_batch_id"
	orderColumn   = "scored_at"
	versionColumn = "model_version"
)

// job is one batch on its way through the steps. Only the counters are shared between goroutines.
type job struct {
	b      *Batcher
	r      *run
	plan   plan
	loaded *Loaded
	ref    warehouse.Ref
	bind   *frame.Binding
	// columns are those that the batch reads: keys first, then the features that are not keys themselves.
	columns []string
	spec    frame.OutputSpec
	batch   Batch
	// recorder takes the rows for Deps.Profiles; nil when nobody wants them.
	recorder Recorder

	read, scored, written atomic.Int64
	telling               sync.Mutex // counters are read and published as one, so that they only grow
}

// execute runs one batch to its end and publishes its last event.
func (b *Batcher) execute(ctx context.Context, r *run, p plan) {
	ctx, span := b.tracer.Start(ctx, "batch", trace.WithAttributes(attribute.String("treeline.model", p.Model)))
	defer span.End()
	j := &job{b: b, r: r, plan: p}
	j.batch.StartedAt = b.deps.Now().UTC()
	released := false
	release := func() {
		if !released {
			released = true
			p.release()
		}
	}
	defer release()

	joined, err := j.prepare(ctx)
	if joined {
		return
	}
	if err == nil {
		j.enter(ctx, PhaseSnapshot) // now with its id
		span.SetAttributes(attribute.String("treeline.score_batch_id", string(j.batch.ID)))
		err = j.run(ctx, release)
	}
	_ = failed(span, err)
	j.end(ctx, err)
}

// prepare resolves, pins the input and takes the batch id. It reports true when another run has the id already: its
// events are then this run's too.
func (j *job) prepare(ctx context.Context) (joined bool, err error) {
	j.enter(ctx, PhaseResolve)
	start := time.Now()
	pinned, loaded, err := resolve(ctx, j.b.tracer, j.b.deps, j.plan.Model, j.plan.Version)
	if err != nil {
		return false, err
	}
	j.loaded = loaded
	j.took("resolve", start)

	j.enter(ctx, PhaseSnapshot)
	start = time.Now()
	if err := j.snapshot(ctx); err != nil {
		return false, err
	}
	j.took("snapshot", start)

	id := batchID(pinned.Model, pinned.Digest, j.plan.digest, j.plan.source(), j.ref.Version, j.plan.Date)
	j.batch.Lineage = Lineage{Pinned: pinned, FeatureSchemaHash: j.bind.SchemaHash(), EngineBuild: engine.Build()}
	j.batch.InputSource, j.batch.InputVersion, j.batch.InputDate = j.plan.source(), j.ref.Version, j.plan.Date
	j.batch.Output, j.batch.ConfigDigest, j.batch.Threshold = j.plan.output, j.plan.digest, j.plan.cfg.Threshold
	j.batch.PostProcessor, j.batch.PostProcessorDigest = j.plan.code.class, j.plan.code.digest

	j.b.mu.Lock()
	defer j.b.mu.Unlock()
	if leader, ok := j.b.running[id]; ok {
		j.r.board.move(leader.board)
		return true, nil
	}
	j.b.running[id] = j.r
	j.batch.ID = id
	return false, nil
}

// resolve pins a version and compiles its model.
func resolve(ctx context.Context, tracer trace.Tracer, d Deps, model string, version int64) (Pinned, *Loaded, error) {
	ctx, span := tracer.Start(ctx, "resolve")
	defer span.End()
	pinned, err := d.Resolver.Resolve(ctx, model, version)
	if err != nil {
		return Pinned{}, nil, failed(span, err)
	}
	span.SetAttributes(attribute.String("treeline.model", pinned.Model), attribute.Int64("treeline.model_version", pinned.Version),
		attribute.String("treeline.model_digest", pinned.Digest))
	loaded, err := d.Models.Load(ctx, pinned.Digest)
	if err != nil {
		return Pinned{}, nil, failed(span, fmt.Errorf("model %s version %d: %w", pinned.Model, pinned.Version, err))
	}
	return pinned, loaded, nil
}

// snapshot checks that the input has what the model needs and pins its keys and features.
func (j *job) snapshot(ctx context.Context) error {
	ctx, span := j.b.tracer.Start(ctx, "snapshot", trace.WithAttributes(attribute.String("treeline.input", j.plan.source())))
	defer span.End()
	schema, err := j.b.deps.Warehouse.Describe(ctx, j.plan.input)
	if err != nil {
		return failed(span, err)
	}
	if err := j.checkSchema(schema); err != nil {
		return failed(span, err)
	}
	in := j.plan.input
	in.Columns = j.columns
	if j.ref, err = j.b.deps.Warehouse.Snapshot(ctx, in); err != nil {
		return failed(span, err)
	}
	if j.bind, err = frame.NewBinding(j.loaded.Model, j.loaded.Program, j.ref.Schema, frame.BindOptions{Allowed: j.plan.cfg.Keys}); err != nil {
		return failed(span, fmt.Errorf("%s: %w", j.plan.source(), err))
	}
	keys := make([]arrow.Field, 0, len(j.plan.cfg.Keys))
	for _, k := range j.plan.cfg.Keys {
		f, ok := j.ref.Schema.FieldsByName(k)
		if !ok {
			return failed(span, fmt.Errorf("snapshot of %s lacks key column %q: %w", j.plan.source(), k, warehouse.ErrColumn))
		}
		if j.plan.cfg.PostProcessor != nil {
			f[0].Type = plainType(f[0].Type)
		}
		keys = append(keys, f[0])
	}
	j.spec = frame.OutputSpec{
		ModelKey: j.plan.cfg.Key, Keys: keys, Task: j.loaded.Model.Task(), Classes: j.loaded.Model.Classes,
		Width: j.loaded.Program.Width(), Threshold: j.plan.cfg.Threshold,
	}
	j.enter(ctx, PhaseSnapshot)
	span.SetAttributes(attribute.String("treeline.input_version", j.ref.Version), attribute.Int64("treeline.rows", j.ref.Rows))
	return nil
}

// checkSchema names everything that the input lacks at once: key columns, the date column, and features by frame.
func (j *job) checkSchema(s *arrow.Schema) error {
	var missing []string
	want := j.plan.cfg.Keys
	if j.plan.input.DateColumn != "" {
		want = append(slices.Clone(want), j.plan.input.DateColumn)
	}
	for _, c := range want {
		if _, ok := s.FieldsByName(c); !ok {
			missing = append(missing, fmt.Sprintf("%q", c))
		}
	}
	b, err := frame.NewBinding(j.loaded.Model, j.loaded.Program, s, frame.BindOptions{Allowed: want, IgnoreExtra: true})
	if err != nil {
		err = fmt.Errorf("%s: %w", j.plan.source(), err)
	} else {
		j.columns = slices.Clone(j.plan.cfg.Keys)
		for _, c := range b.Columns() {
			if !slices.Contains(j.columns, c) {
				j.columns = append(j.columns, c)
			}
		}
	}
	if len(missing) > 0 {
		keyErr := fmt.Errorf("%s lacks key or date columns %s: %w", j.plan.source(), strings.Join(missing, ", "), warehouse.ErrColumn)
		err = errors.Join(keyErr, err)
	}
	return err
}

// run scores and commits a batch whose id it holds.
func (j *job) run(ctx context.Context, release func()) error {
	d := j.b.deps
	j.batch.State, j.batch.Phase = StateRunning, PhaseScore
	// Its id is known to watchers, so a batch that is cancelled right now gets its row all the same.
	attempt, err := d.Ledger.Begin(context.WithoutCancel(ctx), j.batch)
	if err != nil {
		return fmt.Errorf("ledger row of batch %s: %w", j.batch.ID, err)
	}
	j.batch.Attempt = attempt
	j.batch.ScoredAt = d.Now().UTC().Truncate(time.Microsecond)
	w, err := d.Warehouse.Begin(ctx, j.batch.ID, warehouse.Target{
		Table: j.plan.output.Table, File: j.plan.output.File, Schema: j.spec.Schema(), Required: j.spec.SevenColumns(),
		BatchColumn: batchColumn, Keys: j.plan.cfg.Keys, OrderColumn: orderColumn,
	})
	if err != nil {
		return fmt.Errorf("output %s: %w", j.plan.output, err)
	}
	j.enter(ctx, PhaseScore)
	j.record(ctx)
	if err = j.pipe(ctx, w); err == nil {
		release()
		err = j.commit(ctx, w)
	}
	if err != nil {
		// What is staged must go even though the batch was cancelled.
		if aerr := w.Abort(context.WithoutCancel(ctx)); aerr != nil {
			err = errors.Join(err, fmt.Errorf("removing staged rows: %w", aerr))
		}
		return err
	}
	j.recorded(ctx)
	return nil
}

// commit makes the rows visible and checks their number.
func (j *job) commit(ctx context.Context, w warehouse.Writer) error {
	ctx, span := j.b.tracer.Start(ctx, "commit")
	defer span.End()
	if err := j.enterLedger(ctx, PhaseCommit); err != nil {
		return failed(span, err)
	}
	start := time.Now()
	c, err := w.Commit(ctx)
	if err != nil {
		return failed(span, fmt.Errorf("committing batch %s to %s: %w", j.batch.ID, j.plan.output, err))
	}
	j.took("commit", start)
	j.enter(ctx, PhaseVerify)
	span.SetAttributes(attribute.Int64("treeline.rows", c.Rows), attribute.Bool("treeline.replaced", c.Replaced))
	j.batch.Replaced = c.Replaced
	if c.Rows != j.ref.Rows {
		return failed(span, fmt.Errorf("%s has %d rows of batch %s, want %d: %w", j.plan.output, c.Rows, j.batch.ID, j.ref.Rows, ErrInconsistent))
	}
	return nil
}

// end records and publishes how a batch ended.
func (j *job) end(ctx context.Context, err error) {
	b := j.b
	cause := context.Cause(ctx)
	now := b.deps.Now().UTC()
	switch {
	case err == nil:
		j.batch.State, j.batch.Phase, j.batch.Rows = StateSucceeded, PhaseDone, j.ref.Rows
	case errors.Is(cause, ErrCancelled):
		j.batch.State, err = StateCancelled, ErrCancelled
	case errors.Is(cause, ErrInterrupted):
		j.batch.State, err = StateInterrupted, ErrInterrupted
	default:
		j.batch.State = StateFailed
	}
	if err != nil {
		j.batch.RowsRefused = 0 // like Rows, which is still 0: the receipt counts what was committed
	}
	e := j.event(j.batch.Phase)
	e.Err = err
	if j.batch.ID == "" {
		j.r.board.publish(e)
		return
	}
	j.batch.FinishedAt = now
	j.took("total", time.Time{})
	if err != nil {
		j.batch.Error = err.Error()
	}
	if j.batch.Attempt > 0 { // it has a ledger row
		if ferr := b.deps.Ledger.Finish(context.WithoutCancel(ctx), j.batch); ferr != nil {
			ferr = fmt.Errorf("recording that batch %s %s: %w", j.batch.ID, j.batch.State, ferr)
			e.Err = errors.Join(err, ferr)
			j.batch.Error = e.Err.Error()
		}
	}
	b.mu.Lock()
	delete(b.running, j.batch.ID)
	b.mu.Unlock()
	batch := j.batch
	e.Batch = &batch
	j.r.board.publish(e)
	b.log.Info("batch ended", "score_batch_id", batch.ID, "model", batch.Lineage.Model, "version", batch.Lineage.Version,
		"state", batch.State, "rows", batch.Rows, "rows_refused", batch.RowsRefused, "attempt", batch.Attempt, "replaced", batch.Replaced,
		"duration", batch.FinishedAt.Sub(batch.StartedAt), "error", batch.Error)
}

// enter publishes a phase.
func (j *job) enter(_ context.Context, p Phase) {
	j.batch.Phase = p
	j.r.board.publish(j.event(p))
}

// enterLedger also records it.
func (j *job) enterLedger(ctx context.Context, p Phase) error {
	j.enter(ctx, p)
	if err := j.b.deps.Ledger.Phase(ctx, j.batch.ID, p); err != nil {
		return fmt.Errorf("ledger row of batch %s: %w", j.batch.ID, err)
	}
	return nil
}

func (j *job) event(p Phase) Event {
	// In this order, so that no event has more rows scored than read, or written than scored.
	written, scored, read := j.written.Load(), j.scored.Load(), j.read.Load()
	return Event{
		ID: j.batch.ID, Phase: p, RowsRead: read, RowsScored: scored, RowsWritten: written, RowsTotal: j.ref.Rows, At: j.b.deps.Now().UTC(),
	}
}

// took notes the duration of a step; a zero start means since the batch began.
func (j *job) took(step string, start time.Time) {
	d := j.batch.FinishedAt.Sub(j.batch.StartedAt)
	if !start.IsZero() {
		d = time.Since(start)
	}
	j.batch.Timings = append(j.batch.Timings, Timing{Step: step, Duration: d})
}

// failed marks a span and passes the error on.
func failed(span trace.Span, err error) error {
	if err != nil {
		span.RecordError(err)
		span.SetStatus(codes.Error, err.Error())
	}
	return err
}
