package config

// The modes of a gate.
const (
	GateRequired = "required" // a version does not pass without it
	GateReport   = "report"   // measured and shown; decides nothing
	GateOff      = "off"
)

// Gates say what a version must pass before it is Validated. The artifact and parity gates are always required, and so is
// the validator's when validator_class is given.
type Gates struct {
	AUCFloor           AUCFloorGate           `yaml:"auc_floor"`
	ChampionChallenger ChampionChallengerGate `yaml:"champion_challenger"`
	Slices             SlicesGate             `yaml:"slices"`
	Calibration        CalibrationGate        `yaml:"calibration"`
	FeatureStability   FeatureStabilityGate   `yaml:"feature_stability"`
	NoDrift            NoDriftGate            `yaml:"no_drift"`
	// HoldoutBudget is how many versions may be compared with the Champion on one holdout before a comparison says too
	// little; 0 means no bound. 20 when absent.
	HoldoutBudget int `yaml:"holdout_budget"`
}

// AUCFloorGate holds the AUC on the holdout, as our engine computes it, against metrics.auc_threshold.
type AUCFloorGate struct {
	Mode string `yaml:"mode"` // required when there is an auc_threshold, otherwise off
	// On is value (default: AUC >= auc_threshold) or lower_bound (of the 95 % interval).
	On string `yaml:"on"`
}

// ChampionChallengerGate compares with the Champion on the same rows.
type ChampionChallengerGate struct {
	Mode string `yaml:"mode"` // required for models that have a trainer_class, otherwise report
	// Test is non_inferior (default: not worse by more than delta) or superior.
	Test  string  `yaml:"test"`
	Delta float64 `yaml:"delta"` // of the AUC; 0.002 when absent
}

// SlicesGate compares with the Champion in parts of the rows.
type SlicesGate struct {
	Mode    string   `yaml:"mode"`     // required when columns are named, otherwise off
	Columns []string `yaml:"columns"`  // of the holdout; each value is a slice
	MaxDrop float64  `yaml:"max_drop"` // of the AUC in any slice; 0.02 when absent
	MinRows int64    `yaml:"min_rows"` // smaller slices are left out; 200 when absent
}

// CalibrationGate holds probabilities against outcomes.
type CalibrationGate struct {
	Mode   string  `yaml:"mode"`    // report when absent
	MaxECE float64 `yaml:"max_ece"` // expected calibration error; 0.05 when absent
	// MaxBrier bounds the Brier score. 1 (no bound) when absent.
	MaxBrier float64 `yaml:"max_brier"`
	// MinSlope and MaxSlope bound the calibration slope. 0.8 and 1.25 when absent.
	MinSlope float64 `yaml:"min_slope"`
	MaxSlope float64 `yaml:"max_slope"`
}

// FeatureStabilityGate compares the training data with those of the previous training.
type FeatureStabilityGate struct {
	Mode   string  `yaml:"mode"`    // report when absent
	MaxPSI float64 `yaml:"max_psi"` // of any feature; 0.25 when absent
	// MaxNullRise is how much the share of nulls of a feature may rise. 0.02 when absent.
	MaxNullRise float64 `yaml:"max_null_rise"`
	// MinRankCorrelation is of the features' importance in both versions. 0.5 when absent.
	MinRankCorrelation float64 `yaml:"min_rank_correlation"`
	// LeakageAUC: a single feature that separates the classes better is taken for a leak of the label. 0.99 when absent.
	LeakageAUC float64 `yaml:"leakage_auc"`
}

// NoDriftGate compares the training data with the latest batch.
type NoDriftGate struct {
	Mode  string  `yaml:"mode"`  // report when absent
	Share float64 `yaml:"share"` // of the gain, as monitoring.share, whose value it has when absent
}

func defaultGates() Gates {
	return Gates{
		AUCFloor:           AUCFloorGate{On: "value"},
		ChampionChallenger: ChampionChallengerGate{Test: "non_inferior", Delta: 0.002},
		Slices:             SlicesGate{MaxDrop: 0.02, MinRows: 200},
		Calibration:        CalibrationGate{Mode: GateReport, MaxECE: 0.05, MaxBrier: 1, MinSlope: 0.8, MaxSlope: 1.25},
		FeatureStability: FeatureStabilityGate{
			Mode: GateReport, MaxPSI: 0.25, MaxNullRise: 0.02, MinRankCorrelation: 0.5, LeakageAUC: 0.99,
		},
		NoDrift:       NoDriftGate{Mode: GateReport},
		HoldoutBudget: 20,
	}
}

func (g *Gates) fillDefaults(m *Model) {
	pick := func(yes bool, mode, otherwise string) string {
		if yes {
			return mode
		}
		return otherwise
	}
	absent(m, "gates.auc_floor.mode", &g.AUCFloor.Mode, pick(m.Metrics.AUCThreshold > 0, GateRequired, GateOff))
	absent(m, "gates.champion_challenger.mode", &g.ChampionChallenger.Mode, pick(m.TrainerClass != "", GateRequired, GateReport))
	absent(m, "gates.slices.mode", &g.Slices.Mode, pick(len(g.Slices.Columns) > 0, GateRequired, GateOff))
	absent(m, "gates.no_drift.share", &g.NoDrift.Share, m.Monitoring.Share)
}
