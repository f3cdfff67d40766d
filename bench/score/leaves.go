package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/dmitryikh/leaves"
)

// leavesEngine is github.com/dmitryikh/leaves.
type leavesEngine struct {
	ensemble *leaves.Ensemble
	matrix   []float64
	features int
}

func (*leavesEngine) versions() map[string]string {
	v := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			if d.Path == "github.com/dmitryikh/leaves" {
				v = d.Version
			}
		}
	}
	return map[string]string{"leaves": v}
}

func (l *leavesEngine) width() int { return l.ensemble.NOutputGroups() }

func (l *leavesEngine) load(m *model) (answer map[string]any, err error) {
	defer func() {
		// Its readers panic on files that they do not know.
		if r := recover(); r != nil {
			err = fmt.Errorf("panics: %v", r)
		}
	}()
	*l = leavesEngine{features: m.meta.Features}
	switch m.meta.Library {
	case "lightgbm":
	case "xgboost":
		return nil, errors.New("reads XGBoost's old binary format only, which XGBoost 3 does not write")
	default:
		return nil, errors.New("does not read " + m.meta.Library + "'s " + m.name)
	}
	text, err := os.ReadFile(m.path(m.meta.File))
	if err != nil {
		return nil, err
	}
	// It takes files of version 3 only; for trees with constant leaves version 4 differs in the number alone.
	text = bytes.Replace(text, []byte("\nversion=v4\n"), []byte("\nversion=v3\n"), 1)
	if l.ensemble, err = leaves.LGEnsembleFromReader(bufio.NewReader(bytes.NewReader(text)), true); err != nil {
		return nil, err
	}
	if l.matrix, err = m.matrix(); err != nil {
		return nil, err
	}
	return map[string]any{}, nil
}

func (l *leavesEngine) score(dst []float64, lo, hi, threads int) error {
	rows := l.matrix[lo*l.features : hi*l.features]
	if hi-lo == 1 {
		return l.ensemble.Predict(rows, 0, dst)
	}
	return l.ensemble.PredictDense(rows, hi-lo, l.features, dst, 0, threads)
}
