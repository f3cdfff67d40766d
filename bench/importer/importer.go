// Package importer reads two model forms that only the benchmark needs: CatBoost's JSON export and the JSON that
// bench/peers/models.py writes for scikit-learn's HistGradientBoostingClassifier.
//
// Both are files of our own making, so what they must not hold is refused briefly; the result passes
// forest.Model.Validate.
package importer

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/treeline-ml/treeline/forest"
)

// ErrFormat reports a file that is not what the benchmark's script writes; it must be made again.
var ErrFormat = errors.New("importer: not the expected model file")

// Open reads the model at path: CatBoost JSON where it has oblivious trees, a HistGradientBoosting dump otherwise. The
// error is ErrFormat, or a *forest.Error of a model that cannot be.
func Open(path string) (*forest.Model, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var kind struct {
		Format    string            `json:"format"`
		Oblivious []json.RawMessage `json:"oblivious_trees"`
	}
	if err := json.Unmarshal(data, &kind); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, ErrFormat, err)
	}
	var m *forest.Model
	switch {
	case kind.Format == "hist-gradient-boosting":
		m, err = decodeHist(data)
	case kind.Oblivious != nil:
		m, err = decodeCatBoost(data)
	default:
		err = fmt.Errorf("neither oblivious_trees nor a format: %w", ErrFormat)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

func numeric(n int) []forest.Feature {
	features := make([]forest.Feature, n)
	for i := range features {
		features[i].Name = fmt.Sprint("f", i)
	}
	return features
}
