// Package xgboost reads the model files of XGBoost 1.7 to 3.4, JSON and UBJSON, and those of earlier releases that
// have the same schema. The binary format of before is loader/legacy.
//
// What is refused, by name, as not supported: gblinear, vector leaves, reg:expectileerror with several alphas, and any
// objective that is not in the list of package loader/internal/booster. The value that a caller passes to the library
// as `missing` is no part of a model. The best iteration of early stopping is kept as Provenance.BestIteration, but all trees
// are read and scored.
//
// Decoding is one pass in bounded memory: the forest being built, one tree's arrays, and a read buffer. Functions are
// safe for concurrent use.
package xgboost

import (
	"io"

	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/loader/internal/booster"
	"github.com/treeline-ml/treeline/loader/internal/fault"
	"github.com/treeline-ml/treeline/loader/internal/limit"
	"github.com/treeline-ml/treeline/loader/internal/source"
)

// The formats, as Provenance.Format and Error.Format name them.
const (
	FormatJSON   = "xgboost-json"
	FormatUBJSON = "xgboost-ubjson"
)

// DecodeJSON reads one model in JSON (.json) to the end of r. Errors are *loader.Error with a byte offset, and the tree
// and array where there is one. Zero fields of l mean the defaults.
func DecodeJSON(r io.Reader, l limit.Limits) (*forest.Model, error) {
	l = l.OrDefault()
	cur := &jsonCursor{src: source.New(r, l.Bytes), limits: l}
	return decodeWith(FormatJSON, cur, l)
}

// DecodeUBJSON reads one model in UBJSON (.ubj, and what XGBoost 3 writes for any other extension) to the end of r.
// Errors are as those of DecodeJSON.
func DecodeUBJSON(r io.Reader, l limit.Limits) (*forest.Model, error) {
	l = l.OrDefault()
	cur := &ubjCursor{src: source.New(r, l.Bytes), limits: l}
	return decodeWith(FormatUBJSON, cur, l)
}

func decodeWith(format string, cur cursor, l limit.Limits) (*forest.Model, error) {
	d := document{cur: cur, limits: l, head: booster.Header{Format: format}}
	m, err := d.model()
	if err != nil {
		return nil, fault.Complete(format, err)
	}
	return m, nil
}
