package batch

import (
	"fmt"
	"io"
	"slices"

	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/render"
	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
)

// plot draws the histogram of the scores.
func plot(w io.Writer, b *scoringv1.Batch) error {
	counts := b.GetScoreHistogram()
	if len(counts) == 0 {
		return nil
	}
	lo, hi := b.GetScoreMin(), b.GetScoreMax()
	if areProbabilities(b) {
		lo, hi = 0, 1
	}
	if _, err := fmt.Fprintln(w, "\nscores"); err != nil {
		return err
	}
	const lines, width = 20, 50
	return render.Histogram(w, counts, lo, hi, lines, width)
}

// areProbabilities tells over which range the bins are, which the ledger does not say: bins over [0, 1] begin and end
// where the smallest and the largest score fall, bins over the range of the scores at the first and the last bin.
func areProbabilities(b *scoringv1.Batch) bool {
	counts := b.GetScoreHistogram()
	lo, hi := b.GetScoreMin(), b.GetScoreMax()
	if len(counts) == 0 || lo < 0 || hi > 1 {
		return false
	}
	nonZero := func(n int64) bool { return n != 0 }
	first := slices.IndexFunc(counts, nonZero)
	last := len(counts) - 1
	for last > first && counts[last] == 0 {
		last--
	}
	bin := func(v float64) int { return min(int(v*float64(len(counts))), len(counts)-1) }
	return first == bin(lo) && last == bin(hi)
}

// isBinary reports whether the positive rate means anything: it is 0 for other models, whatever their scores.
func isBinary(b *scoringv1.Batch) bool {
	return areProbabilities(b) && (b.GetPositiveRate() > 0 || b.GetScoreMax() < b.GetDecisionThreshold())
}
