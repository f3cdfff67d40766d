package monitor

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/treeline-ml/treeline/forest"
)

// Report is a comparison of two sets of rows.
type Report struct {
	ID             int64          `json:"-"` // of the store
	Model          string         `json:"model"`
	Version        int64          `json:"version"` // that scored the batch
	BatchID        string         `json:"score_batch_id"`
	Reference      string         `json:"reference"` // "training of version 3" or "batch <id>"
	At             time.Time      `json:"at"`
	Mode           Mode           `json:"mode"`
	Verdict        Verdict        `json:"verdict"`
	OverallDrift   bool           `json:"overall_drift"`
	Share          float64        `json:"drift_share"` // of the gain, in drifting features
	ShareThreshold float64        `json:"share_threshold"`
	PThreshold     float64        `json:"p_threshold"`
	ReferenceRows  int64          `json:"reference_rows"`
	CurrentRows    int64          `json:"current_rows"`
	Features       []FeatureDrift `json:"features"` // the largest PSI first
	// ScorePSI is of the scores of two batches; 0 against training rows, whose scores nobody kept.
	ScorePSI float64 `json:"score_psi"`
	Summary  string  `json:"summary"` // one sentence with the figures
}

func (r *Report) encode() ([]byte, error) { return json.Marshal(r) }

func decodeReport(b []byte) (Report, error) {
	var r Report
	if err := json.Unmarshal(b, &r); err != nil {
		return Report{}, fmt.Errorf("a drift report: %w: %w", ErrInput, err)
	}
	return r, nil
}

// GainShares are the features' shares of the gain of all splits, as the model file has it; nil when it has none.
func GainShares(m *forest.Model) map[string]float64 {
	gain := make([]float64, len(m.Features))
	total := 0.0
	for i := range m.Trees {
		t := &m.Trees[i]
		for n, g := range t.Gain {
			if g > 0 && !math.IsInf(g, 0) {
				gain[t.Nodes[n].Feature] += g
				total += g
			}
		}
	}
	if !(total > 0) || math.IsInf(total, 0) {
		return nil
	}
	out := make(map[string]float64, len(gain))
	for f, g := range gain {
		out[m.Features[f].Name] = g / total
	}
	return out
}
