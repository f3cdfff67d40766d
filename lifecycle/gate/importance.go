package gate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/monitor"
)

const (
	// importanceFile is what trainers write: {"feature": share of the gain}.
	importanceFile = "importance.json"
	maxImportance  = 16 << 20
)

// errImportance: the file is not what trainers write.
var errImportance = errors.New("gate: " + importanceFile)

// importanceOf are the features' shares of the gain: the model file's own, otherwise those that the trainer wrote beside
// it; nil when nobody says.
func importanceOf(m *forest.Model, dir string, files []string) (map[string]float64, error) {
	if shares := monitor.GainShares(m); shares != nil {
		return shares, nil
	}
	if !slices.Contains(files, importanceFile) {
		return nil, nil
	}
	f, err := os.Open(filepath.Join(dir, importanceFile))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxImportance+1))
	if err != nil {
		return nil, err
	}
	return decodeImportance(b)
}

// decodeImportance reads shares that are finite and not negative.
func decodeImportance(b []byte) (map[string]float64, error) {
	if len(b) > maxImportance {
		return nil, fmt.Errorf("%w has more than %d bytes", errImportance, maxImportance)
	}
	var out map[string]float64
	if err := json.Unmarshal(b, &out); err != nil {
		return nil, fmt.Errorf("%w: %w", errImportance, err)
	}
	for name, v := range out {
		if !(v >= 0) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("%w: %q has the share %v", errImportance, name, v)
		}
	}
	return out, nil
}
