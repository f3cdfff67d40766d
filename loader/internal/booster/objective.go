package booster

import (
	"math"
	"slices"

	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/internal/libm"
	"github.com/treeline-ml/treeline/loader/internal/fault"
)

// objective says what an XGBoost objective does to margins, and to the base score, which files give as a prediction.
type objective struct {
	link forest.LinkKind
	base baseKind
}

// baseKind is how a base score becomes a margin.
type baseKind uint8

const (
	baseIsMargin baseKind = iota
	baseIsProbability
	baseIsExp
)

// objectives lists what is scored, by the names that XGBoost 0.9 to 3.4 write.
func objectiveOf(name string) (objective, bool) {
	switch name {
	case "reg:squarederror", "reg:linear", "reg:squaredlogerror", "reg:pseudohubererror", "reg:absoluteerror",
		"reg:quantileerror", "reg:expectileerror",
		"rank:pairwise", "rank:ndcg", "rank:map",
		"binary:logitraw":
		return objective{forest.Identity, baseIsMargin}, true
	case "binary:logistic", "reg:logistic":
		return objective{forest.Sigmoid, baseIsProbability}, true
	case "count:poisson", "reg:gamma", "reg:tweedie", "survival:cox", "survival:aft":
		return objective{forest.Exp, baseIsExp}, true
	case "binary:hinge":
		return objective{forest.Hinge, baseIsMargin}, true
	case "multi:softprob":
		return objective{forest.Softmax, baseIsMargin}, true
	case "multi:softmax":
		return objective{forest.ArgMax, baseIsMargin}, true
	}
	return objective{}, false
}

// probabilityEps is XGBoost's kRtEps: since 3.2 a base score of the logistic objectives is kept this far from 0 and 1.
const probabilityEps float32 = 1e-6

// margin is XGBoost's ProbToMargin, in float32 with glibc's logf, as version does it.
func (o objective) margin(b float32, version Version) (float32, error) {
	m := b
	switch o.base {
	case baseIsProbability:
		if b < 0 || b > 1 {
			return 0, fault.Malformed("base_score is %v, a probability is wanted", b)
		}
		if version.AtLeast(3, 2) {
			b = min(max(b, probabilityEps), 1-probabilityEps)
		}
		m = -libm.Log32(1/b - 1)
	case baseIsExp:
		m = libm.Log32(b)
	}
	switch {
	case math.IsNaN(float64(m)):
		return 0, fault.Malformed("base_score is %v", b)
	case math.IsInf(float64(m), 0):
		return 0, fault.NotSupported("base_score %v, whose margin is infinite", b)
	}
	return m, nil
}

// predict is XGBoost's PredTransform of one margin in float32, for the objectives that have a base score other than a
// margin. Files from before 1.0 hold the margin, which the library turns into a prediction and back.
func (o objective) predict(m float32) float32 {
	switch o.base {
	case baseIsProbability:
		return 1 / (libm.Exp32(min(-m, 88.7)) + 1 + 1e-16)
	case baseIsExp:
		return libm.Exp32(m)
	}
	return m
}

// Version is the library's version as a file states it; zero when it does not.
type Version [3]int32

// AtLeast reports whether v is major.minor or later.
func (v Version) AtLeast(major, minor int32) bool { return v.compare(Version{major, minor}) >= 0 }

func (v Version) compare(w Version) int { return slices.Compare(v[:], w[:]) }
