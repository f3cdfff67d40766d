package gate

import (
	"fmt"
	"strings"

	"github.com/treeline-ml/treeline/internal/stat"
)

// calibrationBins is the number of equal bins of the expected calibration error.
const calibrationBins = 10

// calibration holds the probabilities against the outcomes.
func calibration(t *trial, p CalibrationPolicy) Result {
	r := Result{Gate: Calibration, Outcome: Pass, Evidence: map[string]string{"ece_bins": "10"}}
	t.rowsEvidence(&r)
	inconclusive := func(why string) Result {
		r.Outcome, r.Summary, r.Hint = Inconclusive, why, "turn gates.calibration off for a model without probabilities"
		return r
	}
	if t.task != binaryTask {
		return inconclusive("calibration is measured for two classes")
	}
	ece, err := stat.ECE(t.scores, t.labels, calibrationBins)
	if err != nil {
		return inconclusive("the predictions are no probabilities: " + err.Error())
	}
	brier, err := stat.Brier(t.scores, t.labels)
	if err != nil {
		return inconclusive(err.Error())
	}
	loss, err := stat.LogLoss(t.scores, t.labels)
	if err != nil {
		return inconclusive(err.Error())
	}
	r.Evidence["ece"], r.Evidence["brier"], r.Evidence["log_loss"] = exact(ece), exact(brier), exact(loss)
	text := fmt.Sprintf("ECE %.4f, Brier score %.4f", ece, brier)
	var beyond []string
	say := func(bad bool, format string, args ...any) {
		if bad {
			beyond = append(beyond, fmt.Sprintf(format, args...))
		}
	}
	say(p.MaxECE > 0 && ece > p.MaxECE, "ECE %.4f exceeds %.4f", ece, p.MaxECE)
	say(p.MaxBrier > 0 && brier > p.MaxBrier, "the Brier score %.4f exceeds %.4f", brier, p.MaxBrier)
	line, err := stat.CalibrationLine(t.scores, t.labels)
	if err == nil {
		r.Evidence["slope"], r.Evidence["intercept"] = exact(line.Slope), exact(line.Intercept)
		text += fmt.Sprintf(", slope %.3f, intercept %+.3f", line.Slope, line.Intercept)
		say(p.MinSlope > 0 && line.Slope < p.MinSlope, "the slope %.3f is below %.3f: the model is too sure of itself", line.Slope, p.MinSlope)
		say(p.MaxSlope > 0 && line.Slope > p.MaxSlope, "the slope %.3f is above %.3f: the model is not sure enough", line.Slope, p.MaxSlope)
	} else {
		r.Evidence["slope"] = "none"
	}
	if beyond == nil {
		r.Summary = fmt.Sprintf("The probabilities of version %d fit the outcomes of %s holdout rows: %s.", t.version, thousands(t.keptRows()), text)
		return r
	}
	r.Outcome = Fail
	r.Summary = fmt.Sprintf("The probabilities of version %d do not fit the outcomes of %s holdout rows: %s.", t.version,
		thousands(t.keptRows()), strings.Join(beyond, "; "))
	r.Hint = "train with a probability loss, without class weights or resampling, or decide by rank only and turn the gate off"
	return r
}
