package performance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/treeline-ml/treeline/store"
	"github.com/treeline-ml/treeline/warehouse"
)

// errUnfit: labels or scores are not what the metric takes.
var errUnfit = errors.New("performance: does not fit")

// gathering collects labelled rows of batches.
type gathering struct {
	source *Source
	set    Settings
	dated  bool // the labels have a day

	scores  []float64
	labels  []bool
	rows    int64 // with labels, in the batches that count
	used    []string
	waiting []string // batches without enough labels
	full    bool
}

// walk looks at the Champion's batches, newest first, until there is enough.
func (g *gathering) walk(ctx context.Context, champion store.Version) error {
	seen := map[[3]string]bool{}
	looked := 0
	for q := (store.BatchQuery{Model: champion.Model, State: store.BatchSucceeded}); ; {
		var rows []store.BatchRow
		var next string
		err := g.source.d.Store.View(ctx, func(r store.Reader) (err error) {
			rows, next, err = r.Batches(q)
			return err
		})
		if err != nil {
			return err
		}
		for i := range rows {
			b := &rows[i]
			of := [3]string{b.InputSource, b.InputDate, b.OutputTable}
			if b.Lineage.ModelVersion != champion.Version || seen[of] {
				continue
			}
			seen[of] = true
			if err := g.batch(ctx, b); err != nil {
				return err
			}
			if looked++; looked == maxBatches || g.full || g.rows >= g.set.MinRows {
				return nil
			}
		}
		if next == "" {
			return nil
		}
		q.PageToken = next
	}
}

// name is a batch in words.
func name(b *store.BatchRow) string {
	if b.InputDate != "" {
		return "batch " + b.ID + " of " + b.InputDate
	}
	return "batch " + b.ID
}

// batch adds the rows of a batch when enough of them have labels.
func (g *gathering) batch(ctx context.Context, b *store.BatchRow) (err error) {
	out, err := warehouse.ParseOutput(b.OutputTable)
	if err != nil {
		return fmt.Errorf("%s: %w: %w", name(b), store.ErrCorrupt, err)
	}
	if out.File != "" { // another batch may be there by now
		g.waiting = append(g.waiting, name(b)+" went to a file, whose rows are not joined with labels")
		return nil
	}
	q := warehouse.LabelQuery{
		Batch: warehouse.BatchID(b.ID), Table: out.Table, Score: g.set.Key + "_probability", Keys: g.set.Keys, Labels: g.set.Labels,
		Label: g.set.Label, AvailableColumn: g.set.Available, At: g.source.d.Now(), Limit: SampleRows,
	}
	if g.dated && b.InputDate != "" {
		q.DateColumn, q.Date = g.set.DateColumn, b.InputDate
	}
	stream, known, err := g.source.d.Warehouse.Labelled(ctx, q)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stream.Close()) }()
	scored := b.Rows - b.RowsRefused
	if scored <= 0 {
		return nil
	}
	if share := float64(known) / float64(scored); share < g.set.MinMaturity {
		g.waiting = append(g.waiting, fmt.Sprintf("%s has labels for %.1f %% of its rows", name(b), 100*share))
		return nil
	}
	if int64(len(g.scores))+min(known, SampleRows) > MaxRows {
		g.full = true
		return nil
	}
	if err := g.read(ctx, b, stream); err != nil {
		return err
	}
	g.rows += known
	g.used = append(g.used, name(b))
	return nil
}

func (g *gathering) read(ctx context.Context, b *store.BatchRow, stream warehouse.RecordStream) error {
	for {
		rec, err := stream.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		err = g.take(rec)
		rec.Release()
		if err != nil {
			return fmt.Errorf("%s: %w", name(b), err)
		}
	}
}

func (g *gathering) take(rec arrow.Record) error {
	scores, ok1 := rec.Column(0).(*array.Float64)
	labels, ok2 := rec.Column(1).(*array.Float64)
	if !ok1 || !ok2 {
		return fmt.Errorf("columns of type %s and %s: %w", rec.Column(0).DataType(), rec.Column(1).DataType(), errUnfit)
	}
	for i := range int(rec.NumRows()) {
		score, label := scores.Value(i), labels.Value(i)
		if math.IsNaN(score) {
			return fmt.Errorf("a score is not a number: %w", errUnfit)
		}
		if label != 0 && label != 1 {
			return fmt.Errorf("column %q of %s holds labels other than 0 and 1: %w", g.set.Label, g.set.Labels, errUnfit)
		}
		g.scores = append(g.scores, score)
		g.labels = append(g.labels, label == 1)
	}
	return nil
}

// measure is the metric of what was gathered.
func (g *gathering) measure() Measurement {
	waiting := ""
	if len(g.waiting) > 0 {
		waiting = fmt.Sprintf("%s, %g %% are needed", words(g.waiting), 100*g.set.MinMaturity)
	}
	switch {
	case g.full && g.rows < g.set.MinRows:
		return nothing(g.set.Metric, "triggers.performance.min_rows, %d, is more than the %d rows that are read at once: lower it", g.set.MinRows, int64(MaxRows))
	case len(g.used) == 0 && waiting == "":
		return nothing(g.set.Metric, "the present Champion has scored no batch yet")
	case len(g.used) == 0:
		return nothing(g.set.Metric, "%s", waiting)
	}
	detail := words(g.used)
	if waiting != "" {
		detail += "; not counted: " + waiting
	}
	if int64(len(g.scores)) < g.rows {
		detail += fmt.Sprintf("; a sample of %d of the rows", len(g.scores))
	}
	if g.rows < g.set.MinRows {
		m := nothing(g.set.Metric, "%s", detail)
		m.Rows = g.rows
		return m
	}
	iv, err := interval(g.set, g.scores, g.labels)
	if err != nil {
		m := nothing(g.set.Metric, "%s: %v", detail, err)
		m.Rows = g.rows
		return m
	}
	return Measurement{Metric: g.set.Metric, Value: iv.Value, Lower: iv.Lower, Upper: iv.Upper, Rows: g.rows, Detail: detail}
}
