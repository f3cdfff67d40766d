package scoring

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"golang.org/x/sync/semaphore"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/frame"
	"github.com/treeline-ml/treeline/warehouse"
)

// readerShare is the part of the memory budget that the warehouse's reader may keep for itself.
const readerShare = 4

// piece is one record on its way through the pipeline. It has one owner at a time: the reader, then a worker, and after
// done is closed the writer.
type piece struct {
	in    arrow.Record
	first int64 // index of its first row in the input
	bytes int64 // reserved in the budget
	done  chan struct{}

	// Set by the worker before it closes done.
	out  arrow.Record // the rows as they are written; of a model with a PostProcessor keys and scores that it has not seen
	null []bool       // then: which rows have no score; nil when all have one
	err  error
}

// pipe reads, scores and stages all rows. One goroutine reads, Options.Threads goroutines bind, score and stamp whole
// records, and the calling goroutine writes them in input order. A record's bytes are reserved before it enters and given
// back once it is written, so memory is bounded by the budget however slow a step is.
//
// Workers take whole records instead of splitting each one by rows (engine.ScoreParallel), so that binding, hashing and
// stamping run in parallel too and no step waits for the slowest thread of another: on two cores 1.3 times as fast with 100
// trees, 1.7 times with one (BenchmarkPipeline).
func (j *job) pipe(ctx context.Context, w warehouse.Writer) error {
	opts := j.b.deps.Options
	ctx, stop := context.WithCancel(ctx)
	defer stop()

	s := j.newSteps(ctx)
	defer s.end()
	budget := opts.MemoryBudget - opts.MemoryBudget/readerShare
	p := &flow{
		job: j, steps: s, budget: budget, free: semaphore.NewWeighted(budget),
		work: make(chan *piece, opts.Threads), ordered: make(chan *piece, 4*opts.Threads),
	}
	var all sync.WaitGroup
	var readErr error
	all.Go(func() { readErr = p.read(ctx) })
	whole := newPart(isProbability(j.loaded.Model))
	parts := make([]*part, opts.Threads)
	for i := range parts {
		parts[i] = newPart(isProbability(j.loaded.Model))
		all.Go(func() { p.scoreAll(ctx, parts[i]) })
	}
	var err error
	if j.plan.cfg.PostProcessor == nil {
		err = p.write(ctx, w, stop)
	} else {
		err = p.postProcess(ctx, w, whole, stop)
	}
	all.Wait()
	if err == nil {
		err = readErr
	}
	if err == nil && context.Cause(ctx) != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return err
	}
	if got := j.written.Load(); got != j.ref.Rows {
		return fmt.Errorf("%s delivered %d rows, its snapshot has %d: %w", j.plan.source(), got, j.ref.Rows, ErrInconsistent)
	}
	for _, o := range parts {
		whole.merge(o)
	}
	j.batch.Profile = whole.result(j.loaded.Model.Task() == forest.Binary)
	j.batch.RowsRefused = whole.refused
	j.batch.OutputDigest = whole.digest.String()
	j.batch.Timings = append(j.batch.Timings, s.timings()...)
	return nil
}

// flow holds the queues between the goroutines of one pipe.
type flow struct {
	job     *job
	steps   *steps
	budget  int64
	free    *semaphore.Weighted
	work    chan *piece // to any worker
	ordered chan *piece // the same pieces to the writer, in input order
}

// read delivers the input as pieces of at most 2*BatchRows rows and closes both queues.
func (p *flow) read(ctx context.Context) error {
	defer close(p.work)
	defer close(p.ordered)
	j, opts := p.job, p.job.b.deps.Options
	stream, err := j.b.deps.Warehouse.Read(ctx, warehouse.Query{
		Ref: j.ref, Columns: j.columns, MaxBytes: opts.MemoryBudget / readerShare, BatchRows: opts.BatchRows, Threads: opts.Threads,
	})
	if err != nil {
		return p.steps.read.failed(ctx, fmt.Errorf("reading %s: %w", j.plan.source(), err))
	}
	// A stream that decodes beside its caller knows how long that takes; of others it is the time that they are waited for.
	if s, ok := stream.(interface{ Busy() time.Duration }); ok {
		defer func() { p.steps.read.busy.Store(int64(s.Busy())) }()
	}
	var first int64
	for {
		start := time.Now()
		rec, err := stream.Next(ctx)
		p.steps.read.add(start)
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			j.read.Add(rec.NumRows())
			j.progress()
			err = p.feed(ctx, rec, first)
			first += rec.NumRows()
			rec.Release()
		} else {
			err = fmt.Errorf("reading %s after %d rows: %w", j.plan.source(), first, err)
		}
		if err != nil {
			_ = stream.Close()
			return p.steps.read.failed(ctx, err)
		}
	}
	if err := stream.Close(); err != nil {
		return p.steps.read.failed(ctx, fmt.Errorf("reading %s: %w", j.plan.source(), err))
	}
	return nil
}

// feed queues one record in slices, once the budget has room for each.
func (p *flow) feed(ctx context.Context, rec arrow.Record, first int64) error {
	rows := rec.NumRows()
	if rows == 0 {
		return nil
	}
	perRow := recordBytes(rec)/rows + 1 + int64(p.job.loaded.Program.Outputs()+2*p.job.spec.Width+2)*8
	step := int64(2 * p.job.b.deps.Options.BatchRows)
	for at := int64(0); at < rows; at += step {
		end := min(at+step, rows)
		// A record over the whole budget goes through alone.
		bytes := min((end-at)*perRow, p.budget)
		if err := p.free.Acquire(ctx, bytes); err != nil {
			return context.Cause(ctx)
		}
		c := &piece{in: rec.NewSlice(at, end), first: first + at, bytes: bytes, done: make(chan struct{})}
		select {
		case p.ordered <- c:
		case <-ctx.Done():
			c.in.Release()
			p.free.Release(bytes)
			return context.Cause(ctx)
		}
		p.work <- c // workers take every piece, even after an error
	}
	return nil
}

// scoreAll is one worker; it adds what it sees to part. After an error or a cancellation it only releases what it is given.
func (p *flow) scoreAll(ctx context.Context, into *part) {
	w, werr := p.job.newWorker(p.steps, into)
	for c := range p.work {
		switch {
		case werr != nil:
			c.err = werr
		case ctx.Err() != nil:
			c.err = context.Cause(ctx)
		default:
			c.err = w.score(ctx, c)
		}
		c.in.Release()
		if c.err == nil {
			p.job.scored.Add(c.out.NumRows())
		}
		close(c.done)
	}
}

// write stages the pieces in input order. The first error in input order wins, so the
// same bad input gives the same message with any number of threads. It always takes every piece.
func (p *flow) write(ctx context.Context, w warehouse.Writer, stop func()) error {
	var first error
	for c := range p.ordered {
		<-c.done
		if first == nil && c.err == nil {
			start := time.Now()
			c.err = w.Write(ctx, c.out)
			p.steps.write.add(start)
			if c.err != nil {
				c.err = p.steps.write.failed(ctx, fmt.Errorf("staging rows %d to %d: %w", c.first, c.first+c.out.NumRows()-1, c.err))
			}
		}
		if first == nil && c.err != nil {
			first = c.err
			stop()
		}
		if first == nil {
			p.job.written.Add(c.out.NumRows())
			p.job.progress()
		}
		p.finish(c)
	}
	return first
}

// finish gives back what a piece holds.
func (p *flow) finish(c *piece) {
	if c.out != nil {
		c.out.Release()
	}
	p.free.Release(c.bytes)
}

// progress publishes the counters.
func (j *job) progress() {
	j.telling.Lock()
	defer j.telling.Unlock()
	j.r.board.publish(j.event(PhaseScore))
}

// worker scores pieces with buffers of its own.
type worker struct {
	job     *job
	steps   *steps
	binding *frame.Binding // keeps buffers, so each worker has its own
	block   *engine.Block
	margins []float64
	preds   []float64
	null    []bool
	hash    rowHasher
	part    *part
	scores  *arrow.Schema // of what goes to the PostProcessor; nil without one
}

func (j *job) newWorker(s *steps, into *part) (*worker, error) {
	b, err := frame.NewBinding(j.loaded.Model, j.loaded.Program, j.ref.Schema, frame.BindOptions{Allowed: j.plan.cfg.Keys})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", j.plan.source(), err)
	}
	w := &worker{job: j, steps: s, binding: b, block: j.loaded.Program.NewBlock(), part: into}
	if j.plan.cfg.PostProcessor != nil {
		w.scores = j.scoresSchema()
	}
	return w, nil
}

// score fills in c.out.
func (w *worker) score(ctx context.Context, c *piece) error {
	j, p, rows := w.job, w.job.loaded.Program, int(c.in.NumRows())
	start := time.Now()
	refused, err := w.binding.Bind(w.block, c.in)
	defer w.block.Reset(0) // it must not refer to the record once that is released
	w.steps.bind.add(start)
	if err != nil {
		return w.steps.bind.failed(ctx, fmt.Errorf("rows %d to %d: %w", c.first, c.first+int64(rows)-1, err))
	}
	w.null = w.null[:0]
	if len(refused) > 0 {
		if j.b.deps.Options.RowErrors != RowsNull {
			return w.steps.bind.failed(ctx, rowError(c.first, refused))
		}
		w.null = nullRows(w.null, rows, refused)
	}
	start = time.Now()
	w.margins, w.preds = sized(w.margins, rows*p.Outputs()), sized(w.preds, rows*p.Width())
	if err := p.Score(w.margins, w.block); err != nil {
		return w.steps.score.failed(ctx, err)
	}
	if err := p.Predict(w.preds, w.margins); err != nil {
		return w.steps.score.failed(ctx, err)
	}
	w.steps.score.add(start)
	if j.recorder != nil {
		start = time.Now()
		j.recorder.Add(c.first, c.in)
		w.steps.profile.add(start)
	}

	start = time.Now()
	defer func() { w.steps.stamp.add(start) }()
	keys := make([]arrow.Array, len(j.spec.Keys))
	for i, k := range j.spec.Keys {
		keys[i] = c.in.Column(c.in.Schema().FieldIndices(k.Name)[0])
	}
	if w.scores != nil {
		if len(w.null) > 0 {
			c.null = slices.Clone(w.null)
		}
		c.out, err = j.unprocessed(w.scores, keys, w.preds, w.null, rows)
		return err
	}
	if err := w.hash.bind(keys); err != nil {
		return err
	}
	w.part.fill(w.preds, p.Width(), w.null, j.batch.Threshold, &w.hash)
	if c.out, err = j.stamp(keys, w.preds, rows); err != nil {
		return err
	}
	if len(w.null) > 0 {
		c.out = withNulls(c.out, len(j.spec.Keys), w.null)
	}
	return nil
}

// stamp builds the output record of scored rows.
func (j *job) stamp(keys []arrow.Array, preds []float64, rows int) (arrow.Record, error) {
	l := j.batch.Lineage
	return j.spec.Record(j.b.deps.Alloc, keys, preds, rows, frame.Stamp{
		ModelVersion: l.Version, RunID: l.RunID, ScoredAt: j.batch.ScoredAt, BatchID: string(j.batch.ID), ModelName: l.Model,
		TrainedAt: l.TrainedAt, GitSHA: l.GitSHA, Digest: l.Digest,
	})
}

// recordBytes is the size of a record's buffers, dictionaries included. Buffers that a slice shares count whole.
func recordBytes(rec arrow.Record) int64 {
	var n int64
	for _, c := range rec.Columns() {
		n += dataBytes(c.Data())
	}
	return n
}

func dataBytes(d arrow.ArrayData) int64 {
	var n int64
	for _, b := range d.Buffers() {
		if b != nil {
			n += int64(b.Len())
		}
	}
	for _, c := range d.Children() {
		n += dataBytes(c)
	}
	if dict := d.Dictionary(); dict != nil && dict.(*array.Data) != nil {
		n += dataBytes(dict)
	}
	return n
}
