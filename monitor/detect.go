package monitor

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/treeline-ml/treeline/internal/stat"
)

// Mode is a rule of drift.
type Mode string

// The modes.
const (
	ModePSI    Mode = "psi"     // population stability above the noise floor, weighted by gain
	ModePValue Mode = "p_value" // a two-sample test a feature; any small p-value is drift
)

// Verdict is what a comparison found.
type Verdict string

// The verdicts.
const (
	None         Verdict = "none"
	Warn         Verdict = "warn"
	Drift        Verdict = "drift"
	Inconclusive Verdict = "inconclusive" // too few rows, or no reference
)

// The thresholds of the PSI mode.
const (
	WarnPSI      = 0.10
	ActPSI       = 0.25
	NullRise     = 0.02 // of the share of nulls
	UnseenRate   = 0.01 // of rows in categories that the reference does not have
	DefaultShare = 0.3  // of the gain in drifting features
	DefaultP     = 0.05
	// MinRows on either side, below which a comparison says nothing.
	MinRows = 50
)

// sure is the normal quantile that a change of a rate must exceed besides its threshold: once in a thousand by chance.
const sure = 3.0902

// missed is -ln(.001).
const missed = 6.9078

// Options are the thresholds of Detect; zero fields mean the defaults.
type Options struct {
	Mode       Mode
	PThreshold float64
	Share      float64
}

func (o Options) withDefaults() (Options, error) {
	if o.Mode == "" {
		o.Mode = ModePSI
	}
	if o.PThreshold == 0 {
		o.PThreshold = DefaultP
	}
	if o.Share == 0 {
		o.Share = DefaultShare
	}
	switch {
	case o.Mode != ModePSI && o.Mode != ModePValue:
		return o, fmt.Errorf("mode %q, want %s or %s: %w", o.Mode, ModePSI, ModePValue, ErrInput)
	case !(o.PThreshold > 0 && o.PThreshold < 1):
		return o, fmt.Errorf("p threshold %v, want one in (0, 1): %w", o.PThreshold, ErrInput)
	case !(o.Share > 0 && o.Share <= 1):
		return o, fmt.Errorf("share %v, want one in (0, 1]: %w", o.Share, ErrInput)
	}
	return o, nil
}

// FeatureDrift is the comparison of one feature.
type FeatureDrift struct {
	Feature         string  `json:"feature"`
	Categorical     bool    `json:"categorical"`
	PSI             float64 `json:"psi"`
	NoiseFloor      float64 `json:"noise_floor"`
	Statistic       float64 `json:"statistic"` // Kolmogorov-Smirnov at the edges of the bins, or chi-square
	PValue          float64 `json:"p_value"`
	PValueCorrected float64 `json:"p_value_corrected"` // Benjamini-Hochberg
	NullRateRef     float64 `json:"null_rate_reference"`
	NullRateCur     float64 `json:"null_rate_current"`
	UnseenRate      float64 `json:"unseen_rate"`
	MeanRef         float64 `json:"mean_reference"`
	MeanCur         float64 `json:"mean_current"`
	Importance      float64 `json:"importance"` // share of the gain
	Verdict         Verdict `json:"verdict"`
	Reason          string  `json:"reason"`
}

// Detect compares two profiles in the same bins. importance are the features' shares of the gain, in any unit; nil, or
// nothing for any of them, weighs them equally. In the default mode a feature drifts when its PSI exceeds ActPSI and the noise floor,
// when its share of nulls rises by more than NullRise or its unseen categories exceed UnseenRate (both beyond chance), and
// the whole drifts when drifting features hold Options.Share of the gain. The p-value mode is that of DriftDetector on
// counts: Kolmogorov-Smirnov at the edges of the bins, which is at most the exact statistic.
//
// Features come with the largest PSI first. Features in one profile only are inconclusive, as are those in other bins. It
// fails with ErrInput for options out of range.
func Detect(ref, cur Profile, o Options, importance map[string]float64) (Report, error) {
	o, err := o.withDefaults()
	if err != nil {
		return Report{}, err
	}
	r := Report{
		Mode: o.Mode, ShareThreshold: o.Share, PThreshold: o.PThreshold, ReferenceRows: ref.Rows, CurrentRows: cur.Rows,
	}
	var tested []int
	var p []float64
	for i := range ref.Features {
		a := &ref.Features[i]
		f := FeatureDrift{Feature: a.Name, Categorical: a.Categorical, Verdict: Inconclusive, NullRateRef: a.NullRate(), MeanRef: a.Mean, PValue: 1}
		b := cur.Feature(a.Name)
		switch {
		case b == nil:
			f.Reason = "the current rows lack it"
		case !sameBins(a, b):
			f.Reason = "the current rows were counted in other bins"
		case ref.Binned < MinRows || cur.Binned < MinRows:
			f.Reason = fmt.Sprintf("%d and %d rows, want %d on both sides", ref.Binned, cur.Binned, MinRows)
		default:
			f.NullRateCur, f.MeanCur = b.NullRate(), b.Mean
			if err := f.compare(a, b, ref.Binned, cur.Binned); err != nil {
				return Report{}, err
			}
			tested, p = append(tested, len(r.Features)), append(p, f.PValue)
		}
		r.Features = append(r.Features, f)
	}
	corrected, err := stat.BH(p)
	if err != nil {
		return Report{}, err
	}
	for k, i := range tested {
		r.Features[i].PValueCorrected = corrected[k]
	}
	weigh(r.Features, importance)
	r.conclude(o)
	slices.SortStableFunc(r.Features, func(a, b FeatureDrift) int {
		switch {
		case a.PSI > b.PSI:
			return -1
		case a.PSI < b.PSI:
			return 1
		}
		return strings.Compare(a.Feature, b.Feature)
	})
	return r, nil
}

func sameBins(a, b *FeatureProfile) bool {
	x, y := a.frozen(), b.frozen()
	return x.equal(&y)
}

// compare fills in the figures of a feature of n and m binned rows.
func (f *FeatureDrift) compare(a, b *FeatureProfile, n, m int64) error {
	psi, bins, err := stat.PSI(a.counts(), b.counts())
	if err != nil {
		return err
	}
	f.PSI, f.NoiseFloor = psi, stat.PSINoiseFloor(n, m, bins)
	f.UnseenRate = float64(b.Unseen) / float64(m)
	if f.Categorical {
		f.Statistic, _, f.PValue, err = stat.ChiSquare([][]int64{a.counts(), b.counts()})
		if err != nil {
			return err
		}
	} else {
		f.Statistic, f.PValue = binnedKS(a, b)
	}
	rise := f.NullRateCur - f.NullRateRef
	pooled := float64(a.Nulls+b.Nulls) / float64(a.Count+b.Count)
	noise := sure * math.Sqrt(pooled*(1-pooled)*(1/float64(a.Count)+1/float64(b.Count)))
	// n rows miss categories that together hold missed/n of all rows once in a thousand cases, and about as many rows will
	// be in further ones as there were in categories met once (Good 1953, Biometrika 40).
	expected := UnseenRate + (float64(a.Single)+missed)/float64(n)
	unseen := f.Categorical && !a.Open && f.UnseenRate > expected+sure*math.Sqrt(expected*(1-min(expected, 1))/float64(m))
	f.Verdict = None
	switch {
	case f.PSI > max(ActPSI, f.NoiseFloor):
		f.Verdict, f.Reason = Drift, fmt.Sprintf("PSI %.3f exceeds %.2f and the noise floor %.3f", f.PSI, ActPSI, f.NoiseFloor)
	case rise > NullRise && rise > noise:
		f.Verdict, f.Reason = Drift, fmt.Sprintf("nulls rose from %.1f %% to %.1f %%", 100*f.NullRateRef, 100*f.NullRateCur)
	case unseen:
		f.Verdict, f.Reason = Drift, fmt.Sprintf("%.1f %% of the rows are in categories that the reference does not have", 100*f.UnseenRate)
	case f.PSI > max(WarnPSI, f.NoiseFloor):
		f.Verdict, f.Reason = Warn, fmt.Sprintf("PSI %.3f exceeds %.2f and the noise floor %.3f", f.PSI, WarnPSI, f.NoiseFloor)
	case f.PSI > WarnPSI:
		f.Reason = fmt.Sprintf("PSI %.3f is within the noise floor %.3f of so few rows", f.PSI, f.NoiseFloor)
	default:
		f.Reason = fmt.Sprintf("PSI %.3f", f.PSI)
	}
	return nil
}

// binnedKS is the test of KS2 on counts, at the edges of the bins; infinities order as usual, nulls are left out.
func binnedKS(a, b *FeatureProfile) (d, p float64) {
	x := append(append([]int64{a.NegInf}, a.Bins...), a.PosInf)
	y := append(append([]int64{b.NegInf}, b.Bins...), b.PosInf)
	var n, m, i, j int64
	for k := range x {
		n, m = n+x[k], m+y[k]
	}
	switch {
	case n == 0 && m == 0:
		return 0, 1
	case n == 0 || m == 0:
		return 1, 0
	}
	for k := range x {
		i, j = i+x[k], j+y[k]
		d = max(d, math.Abs(float64(i)/float64(n)-float64(j)/float64(m)))
	}
	return d, stat.KSPValue(d, n, m)
}

// weigh sets the importance of all features so that they add up to 1. Names are those of columns, or of features with
// underscores for spaces.
func weigh(features []FeatureDrift, importance map[string]float64) {
	total := 0.0
	for i := range features {
		v, ok := importance[features[i].Feature]
		if !ok {
			v = importance[strings.ReplaceAll(features[i].Feature, " ", "_")]
		}
		if v > 0 && !math.IsInf(v, 0) {
			features[i].Importance = v
			total += v
		}
	}
	for i := range features {
		if total > 0 && !math.IsInf(total, 0) {
			features[i].Importance /= total
		} else {
			features[i].Importance = 1 / float64(len(features))
		}
	}
}

// conclude derives the verdict of the whole.
func (r *Report) conclude(o Options) {
	var drifting, warned []string
	judged, blind := 0.0, 0.0
	for i := range r.Features {
		f := &r.Features[i]
		if f.Verdict == Inconclusive {
			continue
		}
		judged += f.Importance
		if o.Mode == ModePValue {
			f.Verdict = None
			if f.PValue < o.PThreshold {
				f.Verdict = Drift
			}
			f.Reason = fmt.Sprintf("p = %.4g against %.4g", f.PValue, o.PThreshold)
		}
		switch f.Verdict {
		case Drift:
			drifting = append(drifting, f.Feature)
			r.Share += f.Importance
		case Warn:
			warned = append(warned, f.Feature)
		case None:
			if o.Mode == ModePSI && f.NoiseFloor > ActPSI {
				blind += f.Importance
			}
		case Inconclusive:
		}
	}
	const epsilon = 1e-9 // shares are sums of quotients
	switch {
	case len(r.Features) == 0:
		r.Verdict, r.Summary = Inconclusive, "The reference has no features."
		return
	case judged == 0:
		r.Verdict = Inconclusive
		r.Summary = fmt.Sprintf("None of the %d features can be compared: %s.", len(r.Features), r.Features[0].Reason)
		return
	}
	tested := fmt.Sprintf("%d of %d features drift", len(drifting), len(r.Features))
	if len(drifting) > 0 {
		tested += " (" + list(drifting) + ")"
	}
	rows := fmt.Sprintf("over %d current and %d reference rows", r.CurrentRows, r.ReferenceRows)
	switch {
	case o.Mode == ModePValue:
		r.OverallDrift, r.Verdict = len(drifting) > 0, None
		if r.OverallDrift {
			r.Verdict = Drift
		}
		r.Summary = fmt.Sprintf("%s at p < %v %s.", tested, o.PThreshold, rows)
	case r.Share >= o.Share-epsilon && len(drifting) > 0:
		r.OverallDrift, r.Verdict = true, Drift
		r.Summary = fmt.Sprintf("%s, with %.0f %% of the model's gain, from %.0f %% on it counts as drift, %s.", tested,
			100*r.Share, 100*o.Share, rows)
	case blind > judged/2:
		r.Verdict = Inconclusive
		r.Summary = fmt.Sprintf("Too few rows to tell: by chance alone most features can reach a PSI above %.2f %s.", ActPSI, rows)
	case len(drifting)+len(warned) > 0:
		r.Verdict = Warn
		r.Summary = fmt.Sprintf("%s, with %.0f %% of the model's gain, below the %.0f %% that count as drift, %s.", tested,
			100*r.Share, 100*o.Share, rows)
		if len(drifting) == 0 {
			r.Summary = fmt.Sprintf("No feature drifts, but %s changed somewhat, %s.", list(warned), rows)
		}
	default:
		r.Verdict, r.Summary = None, fmt.Sprintf("No feature drifts %s.", rows)
	}
}

// list names up to five features.
func list(names []string) string {
	if len(names) > 5 {
		return strings.Join(names[:5], ", ") + fmt.Sprintf(" and %d more", len(names)-5)
	}
	return strings.Join(names, ", ")
}
