package gate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/frame"
	"github.com/treeline-ml/treeline/lifecycle/version"
	"github.com/treeline-ml/treeline/monitor"
	"github.com/treeline-ml/treeline/warehouse"
	"github.com/treeline-ml/treeline/warehouse/file"
)

const (
	// holdoutFile is the name of a version's holdout rows when the version does not say.
	holdoutFile = "holdout.parquet"
	// labelColumn is the label's column when the policy does not say.
	labelColumn = "label"
	// maxProbabilities bounds what is kept of a multiclass model's predictions: rows times classes.
	maxProbabilities = 1 << 24
)

// errHoldout: the holdout rows are no evidence.
var errHoldout = errors.New("gate: holdout rows")

// task is what is measured on the holdout.
type task uint8

const (
	binaryTask task = iota
	multiclassTask
	regressionTask
)

// trial is one pass over the holdout rows: the version and the Champion scored side by side by this engine. It keeps a few
// numbers a row, so that millions of rows are no burden.
type trial struct {
	version int64
	task    task
	width   int // of the predictions

	rows      int64 // in the file
	unlabeled int64 // without a label
	refused   int64 // by the version
	digest    string

	labels []bool    // of a binary model, one a row that counts
	truth  []float64 // otherwise: the number, or the class
	scores []float64 // the positive class's probability, the predicted number, or the row's loss
	probs  []float64 // of a multiclass model, row-major; nil when there were too many
	many   bool

	rival  *rival // nil without a Champion
	slices []*sliced
	leak   *leak
}

// rival is the Champion on the same rows.
type rival struct {
	version version.Version
	model   *forest.Model
	program *engine.Program
	// problem says why it has no scores, "" when it has.
	problem string
	scores  []float64 // as trial.scores; NaN where the Champion refuses the row
	judge   *judge
}

// judge scores records with one model.
type judge struct {
	scorer

	task    task
	refused map[int]bool
}

func taskOf(m *forest.Model, p *engine.Program) task {
	switch t := m.Task(); {
	case t == forest.Binary && p.Width() == 1, t == forest.Multiclass && p.Width() == 2:
		return binaryTask
	case t == forest.Multiclass:
		return multiclassTask
	default:
		return regressionTask
	}
}

func newJudge(m *forest.Model, p *engine.Program, schema *arrow.Schema) (*judge, error) {
	b, err := frame.NewBinding(m, p, schema, frame.BindOptions{IgnoreExtra: true})
	if err != nil {
		return nil, err
	}
	return &judge{scorer: scorer{p: p, binding: b, block: p.NewBlock()}, task: taskOf(m, p), refused: map[int]bool{}}, nil
}

// score fills pred and refused.
func (j *judge) score(rec arrow.Record) error {
	refusals, err := j.predict(rec)
	if err != nil {
		return err
	}
	clear(j.refused)
	for _, f := range refusals {
		j.refused[f.Row] = true
	}
	return nil
}

// of is the figure of one row that is kept; truth is only read for several classes.
func (j *judge) of(row int, truth float64) float64 {
	w := j.p.Width()
	pred := j.pred[row*w : (row+1)*w]
	switch {
	case j.task == binaryTask && w == 2:
		return pred[1] / (pred[0] + pred[1])
	case j.task != multiclassTask:
		return pred[0]
	case w == 1: // the predicted class
		if pred[0] == truth {
			return 0
		}
		return 1
	}
	total := 0.0
	for _, p := range pred {
		total += p
	}
	return -math.Log(min(max(pred[int(truth)]/total, 0x1p-52), 1-0x1p-52))
}

// examine scores the holdout rows. A trial is nil, with the reason in words, when there is nothing to judge by.
func (s *Service) examine(ctx context.Context, v version.Version, l *loaded, p Policy, champion *rival) (*trial, string, error) {
	name := holdoutName(v)
	if !slices.Contains(l.files, name) {
		return nil, "no holdout rows came with the version", nil
	}
	stream, err := file.Open(ctx, l.path(name), file.Options{BatchRows: goldenBatch, Alloc: s.d.Alloc})
	if err == nil {
		var t *trial
		t, err = s.judge(ctx, stream, v, l, p, champion)
		if err = errors.Join(err, stream.Close()); err == nil {
			return t, "", nil
		}
	}
	if ctx.Err() != nil {
		return nil, "", ctx.Err()
	}
	return nil, "the holdout rows cannot be used: " + strings.ReplaceAll(err.Error(), l.dir+string(filepath.Separator), ""), nil
}

func (s *Service) judge(ctx context.Context, stream warehouse.RecordStream, v version.Version, l *loaded, p Policy, champion *rival) (*trial, error) {
	schema := stream.Schema()
	own, err := newJudge(l.model, l.program, schema)
	if err != nil {
		return nil, err
	}
	label := p.Label
	if label == "" {
		label = labelColumn
	}
	at := schema.FieldIndices(label)
	if len(at) != 1 {
		return nil, fmt.Errorf("%w: %d columns are named %q, want the label there", errHoldout, len(at), label)
	}
	t := &trial{version: v.Version, task: own.task, width: l.program.Width(), rival: champion}
	reader := labelReader{column: at[0], task: t.task, classes: l.model.Classes, width: t.width}
	digest, err := newRowDigest(schema, p.Keys, label)
	if err != nil {
		return nil, err
	}
	if p.Mode(Slices) != Off {
		for _, c := range p.Slices.Columns {
			t.slices = append(t.slices, newSliced(schema, c))
		}
	}
	if p.Mode(FeatureStability) != Off && t.task == binaryTask && p.FeatureStability.LeakageAUC > 0 {
		t.leak = newLeak(schema, own.binding.Columns())
	}
	t.meet(schema)
	for {
		rec, err := stream.Next(ctx)
		if errors.Is(err, io.EOF) {
			t.digest = digest.sum()
			return t, nil
		}
		if err != nil {
			return nil, err
		}
		err = t.record(rec, own, &reader, digest)
		rec.Release()
		if err != nil {
			return nil, err
		}
	}
}

// meet binds the Champion to the holdout's columns.
func (t *trial) meet(schema *arrow.Schema) {
	r := t.rival
	if r == nil || r.problem != "" {
		return
	}
	j, err := newJudge(r.model, r.program, schema)
	switch {
	case err != nil:
		r.problem = fmt.Sprintf("champion version %d cannot be scored on these holdout rows: %v", r.version.Version, err)
	case j.task != t.task || t.task == multiclassTask && j.p.Width() != t.width:
		r.problem = fmt.Sprintf("champion version %d predicts something else", r.version.Version)
	default:
		r.judge = j
	}
}

// record adds the rows of one record.
func (t *trial) record(rec arrow.Record, own *judge, label *labelReader, digest *rowDigest) error {
	if err := own.score(rec); err != nil {
		return err
	}
	if r := t.rival; r != nil && r.judge != nil {
		if err := r.judge.score(rec); err != nil {
			return fmt.Errorf("scoring with champion version %d: %w", r.version.Version, err)
		}
	}
	digest.add(rec)
	truth, err := label.read(rec, t.rows)
	if err != nil {
		return err
	}
	codes := make([][]int32, len(t.slices))
	for i, c := range t.slices {
		if codes[i], err = c.read(rec); err != nil {
			return err
		}
	}
	if t.leak != nil {
		if err := t.leak.add(rec, t.rows, truth); err != nil {
			return err
		}
	}
	for row := range int(rec.NumRows()) {
		t.row(row, truth[row], own, codes)
	}
	t.rows += rec.NumRows()
	return nil
}

// row keeps the figures of one row that has a label and a score.
func (t *trial) row(row int, truth float64, own *judge, codes [][]int32) {
	switch {
	case math.IsNaN(truth):
		t.unlabeled++
		return
	case own.refused[row]:
		t.refused++
		return
	}
	if t.task == binaryTask {
		t.labels = append(t.labels, truth == 1)
	} else {
		t.truth = append(t.truth, truth)
	}
	t.scores = append(t.scores, own.of(row, truth))
	if t.task == multiclassTask && t.width > 1 && !t.many {
		t.probs = append(t.probs, own.pred[row*t.width:(row+1)*t.width]...)
		if len(t.probs) > maxProbabilities {
			t.probs, t.many = nil, true
		}
	}
	for i, c := range t.slices {
		c.codes = append(c.codes, codes[i][row])
	}
	if r := t.rival; r != nil && r.judge != nil {
		score := math.NaN()
		if !r.judge.refused[row] {
			score = r.judge.of(row, truth)
		}
		r.scores = append(r.scores, score)
	}
}

// labelReader reads the label column.
type labelReader struct {
	column  int
	task    task
	classes []string
	width   int
	buf     []float64
}

// read returns the labels: 0 and 1, the class, or the number; NaN where there is none. first is the record's first row.
func (l *labelReader) read(rec arrow.Record, first int64) ([]float64, error) {
	arr := rec.Column(l.column)
	name := rec.ColumnName(l.column)
	if text, ok := arr.(interface{ Value(int) string }); ok && len(l.classes) > 0 {
		l.buf = l.buf[:0]
		for i := range arr.Len() {
			v := math.NaN()
			if arr.IsValid(i) {
				class := slices.Index(l.classes, text.Value(i))
				if class < 0 {
					return nil, fmt.Errorf("%w: row %d, column %q holds none of the model's %d classes", errHoldout, first+int64(i), name, len(l.classes))
				}
				v = float64(class)
			}
			l.buf = append(l.buf, v)
		}
		return l.buf, nil
	}
	var err error
	if l.buf, err = monitor.Numbers(l.buf[:0], arr); err != nil {
		return nil, fmt.Errorf("%w: the label column %q: %w", errHoldout, name, err)
	}
	for i, v := range l.buf {
		bad := false
		switch l.task {
		case binaryTask:
			bad = v == v && v != 0 && v != 1
		case multiclassTask:
			bad = v == v && (v != math.Trunc(v) || v < 0 || l.width > 1 && v >= float64(l.width))
		case regressionTask:
			bad = math.IsInf(v, 0)
		}
		if bad {
			return nil, fmt.Errorf("%w: row %d, column %q holds %s, want %s", errHoldout, first+int64(i), name,
				strconv.FormatFloat(v, 'g', -1, 64), l.want())
		}
	}
	return l.buf, nil
}

func (l *labelReader) want() string {
	switch l.task {
	case binaryTask:
		return "0 or 1"
	case multiclassTask:
		return fmt.Sprintf("a class from 0 to %d", max(l.width, len(l.classes))-1)
	default:
		return "a finite number"
	}
}

// pairs are the rows that both the version and the Champion score.
func (t *trial) pairs() (own, champion []float64, labels []bool) {
	for i, c := range t.rival.scores {
		if math.IsNaN(c) {
			continue
		}
		own, champion = append(own, t.scores[i]), append(champion, c)
		if t.task == binaryTask {
			labels = append(labels, t.labels[i])
		}
	}
	return own, champion, labels
}

// keptRows is the number of rows that the figures are of.
func (t *trial) keptRows() int { return len(t.scores) }
