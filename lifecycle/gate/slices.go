package gate

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/treeline-ml/treeline/internal/stat"
)

const (
	// sliceClass is the number of rows of each class below which a slice has no AUC worth the name.
	sliceClass = 10
	// sliceLevel is the corrected p-value below which a drop is more than chance.
	sliceLevel = 0.05
)

// slice is one value of one column.
type slice struct {
	name         string
	rows         int
	own, against float64
	drop, p      float64
}

// slicesGate holds the version's AUC in parts of the holdout against the Champion's there or, without one, against its own
// over all rows. A slice fails when the drop is larger than allowed and more than chance, corrected for their number.
func slicesGate(t *trial, p SlicesPolicy) Result {
	r := Result{Gate: Slices, Outcome: Pass, Evidence: map[string]string{"max_drop": exact(p.MaxDrop), "min_rows": strconv.FormatInt(p.MinRows, 10)}}
	t.rowsEvidence(&r)
	if t.task != binaryTask {
		r.Outcome, r.Summary, r.Hint = Inconclusive, "slices are judged by the AUC of two classes", "turn gates.slices off for this model"
		return r
	}
	var problems []string
	for _, c := range t.slices {
		if c.problem != "" {
			problems = append(problems, c.problem)
		}
	}
	if problems != nil {
		r.Outcome, r.Summary = Inconclusive, strings.Join(problems, "; ")
		r.Hint = "name other columns in gates.slices.columns, or list them in data.exclude_cols so that they come with the holdout rows"
		return r
	}
	found, small, err := t.cut(p.MinRows)
	if err != nil {
		r.Outcome, r.Summary, r.Hint = Inconclusive, err.Error(), "see to the holdout rows and validate again"
		return r
	}
	against := "the version's AUC over all rows"
	if t.rival != nil && t.rival.problem == "" {
		against = fmt.Sprintf("champion version %d", t.rival.version.Version)
	}
	r.Evidence["against"], r.Evidence["slices"], r.Evidence["small_slices"] = against, strconv.Itoa(len(found)), strconv.Itoa(small)
	if len(found) == 0 {
		r.Outcome = Inconclusive
		r.Summary = fmt.Sprintf("none of %d slices has %d rows and %d of each class", small, p.MinRows, sliceClass)
		r.Hint = "name columns with fewer values in gates.slices.columns, or lower gates.slices.min_rows"
		return r
	}
	raw := make([]float64, len(found))
	for i, s := range found {
		raw[i] = s.p
	}
	corrected, err := stat.BH(raw)
	if err != nil {
		r.Outcome, r.Summary = Inconclusive, err.Error()
		return r
	}
	worst, bad := 0, []string(nil)
	for i, s := range found {
		d := Detail{
			Name: s.name, Outcome: Pass, Figures: figures(map[string]float64{
				"rows": float64(s.rows), "auc": s.own, "reference_auc": s.against, "drop": s.drop, "p_value": s.p, "p_value_corrected": corrected[i],
			}),
			Summary: fmt.Sprintf("AUC %.4f against %.4f on %s rows", s.own, s.against, thousands(s.rows)),
		}
		if s.drop > p.MaxDrop && corrected[i] < sliceLevel {
			d.Outcome = Fail
			bad = append(bad, fmt.Sprintf("%s (AUC %.4f against %.4f on %s rows)", s.name, s.own, s.against, thousands(s.rows)))
		}
		if s.drop > found[worst].drop {
			worst = i
		}
		r.Details = append(r.Details, d)
	}
	r.Evidence["worst"], r.Evidence["worst_drop"] = found[worst].name, exact(found[worst].drop)
	if bad == nil {
		r.Summary = fmt.Sprintf("None of %d slices is more than %.4f below %s beyond chance; the largest drop is %+.4f in %s.", len(found),
			p.MaxDrop, against, found[worst].drop, found[worst].name)
		return r
	}
	r.Outcome = Fail
	shown := bad[:min(len(bad), 3)]
	more := ""
	if len(bad) > len(shown) {
		more = fmt.Sprintf(" and %d more", len(bad)-len(shown))
	}
	r.Summary = fmt.Sprintf("Version %d is more than %.4f below %s in %d of %d slices: %s%s.", t.version, p.MaxDrop, against, len(bad),
		len(found), strings.Join(shown, ", "), more)
	r.Hint = "look at those rows: too few of them in training, or a feature that lost its meaning there"
	return r
}

// cut measures all slices that are large enough; small counts the others.
func (t *trial) cut(minRows int64) (found []slice, small int, err error) {
	paired := t.rival != nil && t.rival.problem == ""
	overall := stat.Interval{}
	if !paired {
		if overall, err = stat.AUCInterval(t.scores, t.labels, stat.Level); err != nil {
			return nil, 0, err
		}
	}
	for _, c := range t.slices {
		rows := make([][]int32, len(c.values))
		for i, code := range c.codes {
			if !paired || !math.IsNaN(t.rival.scores[i]) {
				rows[code] = append(rows[code], int32(i))
			}
		}
		for code, in := range rows {
			own, champion, labels, positive := t.pick(in, paired)
			if int64(len(in)) < minRows || positive < sliceClass || len(in)-positive < sliceClass {
				small++
				continue
			}
			s := slice{name: c.name + "=" + c.values[code], rows: len(in)}
			var se float64
			if paired {
				d, err := stat.DeLong(champion, own, labels, stat.Level)
				if err != nil {
					return nil, 0, err
				}
				s.own, s.against, s.drop, se = d.B, d.A, d.Delta, d.SE
			} else {
				iv, err := stat.AUCInterval(own, labels, stat.Level)
				if err != nil {
					return nil, 0, err
				}
				s.own, s.against, s.drop, se = iv.Value, overall.Value, overall.Value-iv.Value, math.Hypot(iv.SE, overall.SE)
			}
			s.p = above(s.drop, se)
			found = append(found, s)
		}
	}
	slices.SortStableFunc(found, func(a, b slice) int { return strings.Compare(a.name, b.name) })
	return found, small, nil
}

// above is the one-sided p-value of a drop against none.
func above(drop, se float64) float64 {
	switch {
	case se > 0:
		return math.Erfc(drop/se/math.Sqrt2) / 2
	case drop > 0:
		return 0
	default:
		return 1
	}
}

func (t *trial) pick(in []int32, paired bool) (own, champion []float64, labels []bool, positive int) {
	for _, i := range in {
		own, labels = append(own, t.scores[i]), append(labels, t.labels[i])
		if paired {
			champion = append(champion, t.rival.scores[i])
		}
		if t.labels[i] {
			positive++
		}
	}
	return own, champion, labels, positive
}
