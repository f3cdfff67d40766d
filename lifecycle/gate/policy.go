package gate

import (
	"context"

	"github.com/treeline-ml/treeline/monitor"
)

// Mode says what a gate's verdict decides.
type Mode string

// The modes of a gate.
const (
	Required   Mode = "required"
	ReportOnly Mode = "report" // measured and shown; decides nothing
	Off        Mode = "off"
)

// The choices of AUCFloor.On and ChampionChallenger.Test.
const (
	OnValue      = "value"
	OnLowerBound = "lower_bound" // of the 95 % interval

	NonInferior = "non_inferior" // not worse by more than Delta
	Superior    = "superior"
)

// Policy says what a version of one model must pass. The artifact and parity gates are always required. Other gates run
// as Modes says; a gate that Modes does not name is off.
type Policy struct {
	// Digest identifies the configuration that this policy is part of. Evidence names it, and a promotion refuses
	// evidence of another one.
	Digest string
	Modes  map[string]Mode

	Label string   // column of the holdout; "label" when empty
	Keys  []string // columns that identify a row of the holdout; empty means all but the predictions

	AUCFloor           AUCFloorPolicy
	ChampionChallenger ChampionPolicy
	Slices             SlicesPolicy
	Calibration        CalibrationPolicy
	FeatureStability   StabilityPolicy
	NoDrift            NoDriftPolicy
	Validator          *External // nil: no validator; otherwise it is a required gate

	// HoldoutBudget is how many versions may be compared with a Champion on the same holdout rows; 0 means no bound.
	HoldoutBudget int
}

// Mode returns the mode of a gate.
func (p Policy) Mode(gate string) Mode {
	switch gate {
	case Artifact, Parity:
		return Required
	case Validator:
		if p.Validator == nil {
			return Off
		}
		return Required
	}
	if m := p.Modes[gate]; m != "" {
		return m
	}
	return Off
}

// AUCFloorPolicy is the user's rule: AUC >= Threshold.
type AUCFloorPolicy struct {
	Threshold float64
	On        string // OnValue (default) or OnLowerBound
}

// ChampionPolicy compares with the Champion on the same rows.
type ChampionPolicy struct {
	Test  string  // NonInferior (default) or Superior
	Delta float64 // of the AUC; for other metrics a share of the Champion's loss
}

// SlicesPolicy looks at parts of the holdout.
type SlicesPolicy struct {
	Columns []string // each value is a slice
	MaxDrop float64  // of the AUC in any slice
	MinRows int64    // smaller slices are left out
}

// CalibrationPolicy holds probabilities against outcomes. A bound that is 0 is none.
type CalibrationPolicy struct {
	MaxECE, MaxBrier   float64
	MinSlope, MaxSlope float64
}

// StabilityPolicy compares training data with those of the Champion. A bound that is 0 is none.
type StabilityPolicy struct {
	MaxPSI             float64 // of any feature
	MaxNullRise        float64 // of the share of nulls of any feature
	MinRankCorrelation float64 // Spearman's, of the importances
	LeakageAUC         float64 // of any single feature
}

// NoDriftPolicy compares training data with the latest batch.
type NoDriftPolicy struct {
	Share float64 // of the gain in drifting features; monitor.DefaultShare when 0
}

// External is a validator that runs outside, as an extra gate.
type External struct {
	Class           string
	ModulePath      []string
	Metrics         map[string]any
	Hyperparameters map[string]any
}

// ValidatorSpec is what a Runner gives the validator.
type ValidatorSpec struct {
	External

	Model    string
	Version  int64
	ModelDir string // directory of the artifact's model
	Holdout  string // path of the holdout rows
	Label    string
}

// ValidatorResult is the validator's verdict.
type ValidatorResult struct {
	Passed  bool
	Summary string
	Figures map[string]any // numbers and texts
}

// Runner runs an External validator. An error means that there is no verdict.
type Runner interface {
	RunValidator(ctx context.Context, s ValidatorSpec) (ValidatorResult, error)
}

// Statistics gives the profiles that feature_stability and no_drift compare; *monitor.Service is one.
type Statistics interface {
	// Training profiles the rows that a version was trained on, in the given bins or, with nil, in its own. It fails with
	// monitor.ErrNoData when they are not known.
	Training(ctx context.Context, model string, version int64, bins *monitor.Bins) (monitor.Profile, error)
	// LatestBatch returns the profile of the latest scored batch and its id, or monitor.ErrNoData.
	LatestBatch(ctx context.Context, model string) (monitor.Profile, string, error)
}

// Progress is told the gate that begins with a nil result, then its result. It must return soon.
type Progress func(gate string, r *Result)

// WaiveRequest asks to accept a version in spite of gates.
type WaiveRequest struct {
	Model   string
	Version int64    // 0 means the newest version that has a report
	Gates   []string // empty means every one that stands in the way and may be waived
	Reason  string

	Actor, AuthMethod, RequestID string
}
