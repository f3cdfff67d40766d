package trigger

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/treeline-ml/treeline/store"
)

// DriftReport is the drift of one batch of the present Champion.
type DriftReport struct {
	BatchID string
	Version int64
	Share   float64 // of the gain, 0 to 1
	At      time.Time
}

// DriftSource has drift reports.
type DriftSource interface {
	// Latest returns up to n drift reports of the present Champion that could be judged, newest first; none when there is
	// no Champion.
	Latest(ctx context.Context, model string, n int) ([]DriftReport, error)
}

// DataChange is how the feature table moved since the Champion's training.
type DataChange struct {
	Rows  int64 // more than there were; negative when there are fewer
	Known bool
	// Detail says in words what was compared, or why it is not known.
	Detail string
}

// DataSource counts rows.
type DataSource interface {
	Change(ctx context.Context, model string) (DataChange, error)
}

// Measurement is a metric of scored rows whose labels have arrived.
type Measurement struct {
	Metric              string // "auc"; higher is better
	Value, Lower, Upper float64
	Rows                int64 // with labels
	Baseline            float64
	Detail              string // in words, over which batches
}

// PerformanceSource measures.
type PerformanceSource interface {
	// Matured measures the present Champion. When there is nothing to measure, Rows is 0 and Detail says why.
	Matured(ctx context.Context, model string) (Measurement, error)
}

// finding is what a condition says.
type finding struct {
	due, inconclusive bool
	reason            string
	evidence          map[string]string
}

func inconclusive(format string, args ...any) finding {
	return finding{inconclusive: true, reason: fmt.Sprintf(format, args...)}
}

// find looks at one condition. An error is the caller's end, or the store's.
func (s *Service) find(ctx context.Context, p Policy, kind string) (finding, error) {
	var (
		f   finding
		err error
	)
	switch kind {
	case Drift:
		f, err = s.drift(ctx, p)
	case NewData:
		f, err = s.newData(ctx, p)
	case Performance:
		f, err = s.performance(ctx, p)
	default:
		return s.maxAge(ctx, p)
	}
	switch {
	case ctx.Err() != nil:
		return finding{}, context.Cause(ctx)
	case err != nil:
		s.d.Logger.WarnContext(ctx, "trigger condition not judged", "model", p.Model, "kind", kind, "error", err)
		return inconclusive("%s could not be judged: %v", kind, err), nil
	default:
		return f, nil
	}
}

func (s *Service) drift(ctx context.Context, p Policy) (finding, error) {
	if s.d.Drift == nil {
		return inconclusive("no drift reports are kept"), nil
	}
	reports, err := s.d.Drift.Latest(ctx, p.Model, p.Drift.Windows)
	if err != nil {
		return finding{}, err
	}
	reports = reports[:min(len(reports), p.Drift.Windows)]
	var (
		shares []string
		over   int
	)
	for _, r := range reports {
		shares = append(shares, strconv.FormatFloat(r.Share, 'f', 3, 64))
		if r.Share >= p.Drift.Share {
			over++
		}
	}
	evidence := map[string]string{
		"shares": strings.Join(shares, " "), "threshold": number(p.Drift.Share), "over": strconv.Itoa(over),
		"agree": strconv.Itoa(p.Drift.Agree), "windows": strconv.Itoa(p.Drift.Windows),
	}
	figures := fmt.Sprintf("%d of %d drift reports, %s (newest first), have a share of at least %g",
		over, len(reports), strings.Join(shares, ", "), p.Drift.Share)
	switch {
	case len(reports) == 0:
		f := inconclusive("there is no drift report of the present Champion yet; %d are needed", p.Drift.Agree)
		f.evidence = evidence
		return f, nil
	case over >= p.Drift.Agree && reports[0].Share >= p.Drift.Share:
		evidence["batch"] = reports[0].BatchID
		return finding{due: true, reason: fmt.Sprintf("%s; %d are needed, the latest among them", figures, p.Drift.Agree), evidence: evidence}, nil
	case over >= p.Drift.Agree:
		return finding{reason: figures + ", but the latest has not", evidence: evidence}, nil
	case len(reports) < p.Drift.Agree:
		return finding{inconclusive: true, reason: fmt.Sprintf("%s; %d reports are needed", figures, p.Drift.Agree), evidence: evidence}, nil
	default:
		return finding{reason: fmt.Sprintf("%s; %d are needed", figures, p.Drift.Agree), evidence: evidence}, nil
	}
}

func (s *Service) newData(ctx context.Context, p Policy) (finding, error) {
	if s.d.Data == nil {
		return inconclusive("nothing counts the rows of the feature table"), nil
	}
	c, err := s.d.Data.Change(ctx, p.Model)
	if err != nil {
		return finding{}, err
	}
	detail := ""
	if c.Detail != "" {
		detail = " (" + c.Detail + ")"
	}
	if !c.Known {
		return inconclusive("how far the feature table moved since the Champion's training is not known%s", detail), nil
	}
	moved := c.Rows
	if moved < 0 {
		moved = -moved
	}
	return finding{
		due: moved >= p.NewData.MinRows,
		reason: fmt.Sprintf("the feature table moved by %+d rows since the Champion's training%s; %d are needed",
			c.Rows, detail, p.NewData.MinRows),
		evidence: map[string]string{"rows": strconv.FormatInt(c.Rows, 10), "min_rows": strconv.FormatInt(p.NewData.MinRows, 10)},
	}, nil
}

func (s *Service) performance(ctx context.Context, p Policy) (finding, error) {
	if s.d.Performance == nil {
		return inconclusive("nothing measures the Champion against labels"), nil
	}
	m, err := s.d.Performance.Matured(ctx, p.Model)
	if err != nil {
		return finding{}, err
	}
	detail := ""
	if m.Detail != "" {
		detail = " (" + m.Detail + ")"
	}
	evidence := map[string]string{
		"metric": m.Metric, "value": number(m.Value), "lower": number(m.Lower), "upper": number(m.Upper),
		"baseline": number(m.Baseline), "rows": strconv.FormatInt(m.Rows, 10), "min_rows": strconv.FormatInt(p.Performance.MinRows, 10),
	}
	figures := fmt.Sprintf("%s is %.4f [%.4f, %.4f] on %d labelled rows%s and the baseline is %.4f",
		m.Metric, m.Value, m.Lower, m.Upper, m.Rows, detail, m.Baseline)
	switch {
	case m.Rows < max(p.Performance.MinRows, 1):
		return finding{inconclusive: true, evidence: evidence, reason: fmt.Sprintf("%d rows have labels%s, too few to judge; %d are needed",
			m.Rows, detail, p.Performance.MinRows)}, nil
	case math.IsNaN(m.Upper) || math.IsNaN(m.Baseline):
		return finding{inconclusive: true, evidence: evidence, reason: figures + ", which cannot be compared"}, nil
	case m.Upper < m.Baseline:
		return finding{due: true, evidence: evidence, reason: figures + ": the whole interval is below it"}, nil
	default:
		return finding{evidence: evidence, reason: figures + ": not wholly below it"}, nil
	}
}

func (s *Service) maxAge(ctx context.Context, p Policy) (finding, error) {
	var v store.Version
	err := s.d.Store.View(ctx, func(r store.Reader) error {
		period, err := r.OpenPeriod(p.Model)
		if err != nil {
			return err
		}
		v, err = r.Version(p.Model, period.Version)
		return err
	})
	if errors.Is(err, store.ErrNoChampion) || errors.Is(err, store.ErrModelNotFound) {
		return finding{reason: "there is no Champion yet"}, nil
	}
	if err != nil {
		return finding{}, err
	}
	trained, what := v.TrainedAt, "trained"
	if trained.IsZero() {
		trained, what = v.RegisteredAt, "registered"
	}
	age := s.now().Sub(trained)
	return finding{
		due: age > p.MaxAge,
		reason: fmt.Sprintf("the Champion, version %d, was %s at %s, %s ago; at most %s",
			v.Version, what, moment(trained), span(age.Truncate(time.Second)), span(p.MaxAge)),
		evidence: map[string]string{"version": strconv.FormatInt(v.Version, 10), "age": age.String(), "max_age": p.MaxAge.String()},
	}, nil
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
