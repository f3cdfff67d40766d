package gate

import (
	"fmt"
	"math"
	"strconv"

	"github.com/treeline-ml/treeline/internal/stat"
	"github.com/treeline-ml/treeline/lifecycle/version"
)

// sameAUC is how far the trainer's own figure may be from ours before it is worth a word.
const sameAUC = 1e-9

const holdoutHint = "register the version with holdout rows (holdout.parquet: features, label, raw, pred), as the trainers write " +
	"them, or turn the gate off in the model's config.yml"

// noTrial is the verdict of a gate that needs the holdout.
func noTrial(gate, why string) Result {
	return Result{Gate: gate, Outcome: Inconclusive, Summary: why, Hint: holdoutHint}
}

// auc is the area of the whole holdout, with an interval where there is one.
func (t *trial) auc() (iv stat.Interval, problem string) {
	var err error
	switch {
	case t.task == binaryTask:
		iv, err = stat.AUCInterval(t.scores, t.labels, stat.Level)
	case t.task == multiclassTask && t.probs != nil:
		iv.Value, err = t.macroAUC()
		iv.Lower, iv.Upper, iv.SE = math.NaN(), math.NaN(), math.NaN()
	case t.task == multiclassTask && t.many:
		return iv, fmt.Sprintf("%s rows of %d classes are more than are kept for an AUC", thousands(t.rows), t.width)
	default:
		return iv, "the model predicts no probabilities, so there is no AUC"
	}
	if err != nil {
		return iv, "the AUC of the holdout rows cannot be computed: " + err.Error()
	}
	return iv, ""
}

// macroAUC is the mean over the classes of the AUC of each against the rest, as roc_auc_score(multi_class="ovr").
func (t *trial) macroAUC() (float64, error) {
	rows := len(t.truth)
	scores, labels := make([]float64, rows), make([]bool, rows)
	total := 0.0
	for c := range t.width {
		for r := range rows {
			sum := 0.0
			for _, p := range t.probs[r*t.width : (r+1)*t.width] {
				sum += p
			}
			scores[r], labels[r] = t.probs[r*t.width+c]/sum, int(t.truth[r]) == c
		}
		auc, err := stat.AUC(scores, labels)
		if err != nil {
			return 0, fmt.Errorf("class %d: %w", c, err)
		}
		total += auc
	}
	return total / float64(t.width), nil
}

// rowsEvidence notes which rows the figures are of.
func (t *trial) rowsEvidence(r *Result) {
	r.Evidence["rows"] = strconv.Itoa(t.keptRows())
	r.Evidence["holdout_rows"] = strconv.FormatInt(t.rows, 10)
	if t.unlabeled > 0 {
		r.Evidence["rows_without_label"] = strconv.FormatInt(t.unlabeled, 10)
	}
	if t.refused > 0 {
		r.Evidence["rows_refused"] = strconv.FormatInt(t.refused, 10)
	}
}

// aucFloor is the user's rule: AUC >= auc_threshold on the figure that this engine computes.
func aucFloor(t *trial, p AUCFloorPolicy, v version.Version) Result {
	r := Result{Gate: AUCFloor, Evidence: map[string]string{"threshold": exact(p.Threshold), "on": OnValue}}
	t.rowsEvidence(&r)
	iv, problem := t.auc()
	if problem != "" {
		r.Outcome, r.Summary = Inconclusive, problem
		r.Hint = "see to the holdout rows, or turn gates.auc_floor off for a model without an AUC"
		return r
	}
	r.Evidence["auc"] = exact(iv.Value)
	deciding, interval := iv.Value, ""
	if !math.IsNaN(iv.SE) {
		r.Evidence["auc_se"], r.Evidence["auc_lower"], r.Evidence["auc_upper"] = exact(iv.SE), exact(iv.Lower), exact(iv.Upper)
		interval = " (" + band("%.4f", iv.Lower, iv.Upper) + ")"
	}
	what := "AUC"
	if p.On == OnLowerBound {
		r.Evidence["on"] = OnLowerBound
		what = "The lower bound of the AUC"
		if deciding = iv.Lower; math.IsNaN(deciding) {
			r.Outcome, r.Summary = Inconclusive, "there is no interval of the AUC of several classes, so its lower bound is not known"
			r.Hint = "set gates.auc_floor.on to value for this model"
			return r
		}
	}
	r.Outcome = Pass
	verb := "reaches"
	if !(deciding >= p.Threshold) {
		r.Outcome, verb = Fail, "is below"
		r.Hint = "train with more or better features, rows or hyperparameters; the threshold is metrics.auc_threshold"
	}
	r.Summary = fmt.Sprintf("AUC %.4f%s of version %d on %s holdout rows %s the threshold %.4f.", iv.Value, interval, v.Version,
		thousands(t.keptRows()), verb, p.Threshold)
	if p.On == OnLowerBound {
		r.Summary = fmt.Sprintf("%s of version %d on %s holdout rows, %.4f, %s the threshold %.4f; the AUC is %.4f%s.", what, v.Version,
			thousands(t.keptRows()), deciding, verb, p.Threshold, iv.Value, interval)
	}
	if theirs, ok := v.Metrics["auc"]; ok {
		r.Evidence["trainer_auc"] = exact(theirs)
		if !(math.Abs(theirs-iv.Value) <= sameAUC) {
			r.Evidence["trainer_difference"] = exact(iv.Value - theirs)
			r.Summary += fmt.Sprintf(" The trainer reported %.6f, which differs by %.2g: it measured other rows or another model.",
				theirs, iv.Value-theirs)
		}
	}
	return r
}
