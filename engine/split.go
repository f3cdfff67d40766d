package engine

import (
	"math"

	"github.com/treeline-ml/treeline/forest"
)

// split is a node's decision in the kernels' terms. A numeric split sends x right iff x > cut, with both operators and
// LightGBM's flushing of tiny values folded into cut, and NaN and zero treated apart.
type split struct {
	feature   int32
	kind      splitKind
	nanRight  bool
	zero      forest.ZeroRule
	cut       float64 // cutSplit
	set       int32   // setSplit
	inSet     bool    // setSplit: codes of the set go left (else right)
	otherLeft bool    // setSplit: values without a code go left
}

// splitKind tells how a split is decided.
type splitKind uint8

const (
	cutSplit   splitKind = iota
	neverSplit           // every number goes left
	everSplit            // every number goes right
	setSplit
)

// newSplit normalises a node.
func newSplit(n *forest.Node, flush bool) split {
	s := split{feature: n.Feature, nanRight: !n.NaNLeft}
	switch n.Op {
	case forest.InSet, forest.NotInSet:
		s.kind, s.set, s.inSet, s.otherLeft = setSplit, n.Set, n.Op == forest.InSet, n.OtherLeft
		return s
	case forest.Less:
		// x < t goes left, so x >= t goes right: x above t's predecessor.
		if math.IsInf(n.Threshold, -1) {
			s.kind = everSplit
		}
		s.cut = math.Nextafter(n.Threshold, math.Inf(-1))
	default:
		s.cut = n.Threshold
	}
	s.zero = n.Zero
	const tiny = forest.ZeroThreshold
	if flush && s.kind == cutSplit {
		// Values in [-tiny, tiny] compare as 0. For cuts outside that range this changes nothing.
		switch {
		case s.cut >= 0 && s.cut < tiny:
			s.cut = tiny
		case s.cut < 0 && s.cut >= -tiny:
			s.cut = math.Nextafter(-tiny, math.Inf(-1))
		}
	}
	if math.IsInf(s.cut, 1) {
		s.kind = neverSplit
	}
	if s.kind != cutSplit {
		s.cut = 0
	}
	s.cut += 0 // -0 and 0 are one cut
	return s
}

// isZero reports whether zero rules apply to x.
func isZero(x float64, flush bool) bool {
	return x == 0 || flush && x <= forest.ZeroThreshold && x >= -forest.ZeroThreshold
}

// categoryCode returns the code of x, or -1 if it has none; x is not NaN.
func categoryCode(x float64, cast forest.CategoryCast) int {
	if cast == forest.CastNonNegative {
		if x < 0 || x >= 1<<24 {
			return -1
		}
		return int(x)
	}
	if x <= -1 || x >= 1<<31 {
		return -1
	}
	return int(x)
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}
