// Package sklearn reads scikit-learn's forests and trees, and the scikit-learn wrappers of LightGBM and XGBoost, from
// pickles, cloudpickle, joblib and skops files. Nothing in a file is executed: decoders make inert data of it, and this
// package looks up the few attributes that a model consists of.
//
//	pickle, joblib --pickle--+
//	                         +--> pydata.Value --estimator--> forest.Model
//	skops --------skops------+                \--model text, UBJSON--> loader/lightgbm, loader/xgboost
//
// # Rules
//
// Inputs are rounded to float32 and compared with float64 thresholds: x <= t goes left. t is kept as the largest float32
// that is not above it, which decides the same way. NaN goes where missing_go_to_left says (since 1.3). A classifier's
// leaf holds class fractions: since 1.4 as stored, before as weighted counts divided by their sum. A forest adds the
// trees in order, in float64 from 0, and divides by their number. A binary classifier has one margin, the fraction of
// the second class, a classifier of more classes one each. Which estimators refuse NaN depends on release, criterion and
// splitter (missing.go).
//
// # Concurrency
//
// Functions are safe for concurrent use.
package sklearn

import (
	"errors"
	"strings"

	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/loader/internal/fault"
	"github.com/treeline-ml/treeline/loader/internal/joblib"
	"github.com/treeline-ml/treeline/loader/internal/limit"
	"github.com/treeline-ml/treeline/loader/internal/pickle"
	"github.com/treeline-ml/treeline/loader/internal/pydata"
	"github.com/treeline-ml/treeline/loader/internal/skops"
)

// The formats, as Provenance.Format ends and Error.Format is.
const (
	FormatPickle = "pickle" // joblib's files, too
	FormatSkops  = "skops"
)

// IsPickle reports whether a file begins as a pickle of protocols 2 to 5.
func IsPickle(head []byte) bool {
	return len(head) > 1 && head[0] == 0x80 && head[1] >= 2 && head[1] <= 5
}

// IsSkops reports whether a zip file is one of skops.
func IsSkops(file []byte) bool { return skops.Is(file) }

// IsCompressed reports whether a file is compressed in a way that joblib reads.
func IsCompressed(head []byte) bool { return joblib.Sniff(head) != joblib.None }

// HoldsPickle reports whether a compressed file becomes a pickle; file may be cut off.
func HoldsPickle(file []byte) bool { return IsPickle(joblib.Begins(joblib.Sniff(file), file, 2)) }

// DecodePickle reads one model from a pickle, of joblib.dump too, compressed or not. Errors are *loader.Error with the
// byte, or the attribute and tree. The file must not change; the model does not hold on to it. Zero fields of l mean the
// defaults.
func DecodePickle(file []byte, l limit.Limits) (*forest.Model, error) {
	l = l.OrDefault()
	m, err := decodePickle(file, l)
	return m, complete(FormatPickle, err)
}

func decodePickle(file []byte, l limit.Limits) (*forest.Model, error) {
	if c := joblib.Sniff(file); c != joblib.None {
		var err error
		if file, err = joblib.Expand(c, file, l); err != nil {
			return nil, err
		}
	}
	r := pickle.NewReader(file, pickle.Options{
		Allow: allowed, Built: joblib.Built, Objects: l.Objects, Depth: l.NestingDepth,
	})
	v, err := r.Load()
	if err != nil {
		return nil, err
	}
	if n := r.Rest(); n > 0 {
		return nil, fault.Malformed("%d bytes after the end of the pickle", n)
	}
	d := decoder{limits: l, format: FormatPickle, budget: int64(len(file))}
	return d.model(v)
}

// DecodeSkops reads one model from a file of skops.io.dump. Errors and ownership are as those of DecodePickle.
func DecodeSkops(file []byte, l limit.Limits) (*forest.Model, error) {
	l = l.OrDefault()
	m, err := decodeSkops(file, l)
	return m, complete(FormatSkops, err)
}

func decodeSkops(file []byte, l limit.Limits) (*forest.Model, error) {
	v, expanded, err := skops.Load(file, skops.Options{Allow: allowed, Limits: l})
	if err != nil {
		return nil, err
	}
	d := decoder{limits: l, format: FormatSkops, budget: expanded}
	return d.model(v)
}

// complete adds the format, and the way out where a name was refused.
func complete(format string, err error) error {
	if err == nil {
		return nil
	}
	placed, ok := errors.AsType[*fault.Error](err)
	if errors.Is(err, fault.ErrNotSupported) && (!ok || placed.Hint == "") {
		out := fault.Error{Err: err}
		if ok {
			out = *placed
		}
		out.Hint = wayOut(err.Error())
		return fault.Complete(format, &out)
	}
	return fault.Complete(format, err)
}

// decoder turns the data of one file into a model.
type decoder struct {
	limits limit.Limits
	format string
	// budget is what is left of the file's bytes for the arrays of trees. Arrays can be shared inside a file; trees that
	// share one would cost memory that no byte pays for.
	budget int64
	nodes  int64
}

func (d *decoder) spend(n int64) error {
	if d.budget -= n; d.budget < 0 {
		return fault.Malformed("its trees share arrays: together they have more bytes than the file")
	}
	return nil
}

// model finds out what the file holds.
func (d *decoder) model(v pydata.Value) (*forest.Model, error) {
	o, ok := v.(*pydata.Object)
	if !ok {
		return nil, &fault.Error{Hint: wayOut(""), Err: fault.Unknown("the file holds %s, not a model", pydata.Kind(v))}
	}
	full := o.Class.String()
	e := estimator{o: o, class: o.Class}
	switch {
	case isForest(full), isTree(full):
		return d.sklearn(&e)
	case full == "lightgbm.basic.Booster", strings.HasPrefix(full, "lightgbm.sklearn.LGBM"):
		return d.lightgbm(&e)
	case full == "xgboost.core.Booster", strings.HasPrefix(full, "xgboost.sklearn.XGB"):
		return d.xgboost(&e)
	}
	return nil, fault.NotSupported("%s", full)
}
