package gate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/treeline-ml/treeline/internal/stat"
	"github.com/treeline-ml/treeline/lifecycle/version"
	"github.com/treeline-ml/treeline/monitor"
)

// maxDetails bounds the features that a report lists one by one.
const maxDetails = 100

const statisticsHint = "feature statistics come from the rows that a version was trained on; train it with this daemon, or turn " +
	"the gate off"

// featureStability compares the training data with those of the Champion, and looks for features that give the label away.
func (s *Service) featureStability(ctx context.Context, v version.Version, l *loaded, t *trial, champion *rival, p StabilityPolicy) (Result, error) {
	r := Result{Gate: FeatureStability, Outcome: Pass, Evidence: map[string]string{
		"max_psi": exact(p.MaxPSI), "max_null_rise": exact(p.MaxNullRise), "min_rank_correlation": exact(p.MinRankCorrelation),
		"leakage_auc": exact(p.LeakageAUC),
	}}
	c := &stability{r: &r}
	c.leakage(t, p)
	if s.d.Statistics != nil {
		// Its own statistics are kept too: once it is Champion, batches are counted in their bins.
		if _, err := s.d.Statistics.Training(ctx, v.Model, v.Version, nil); err != nil && !errors.Is(err, monitor.ErrNoData) {
			if err := c.absent(ctx, v, err); err != nil {
				return Result{}, err
			}
		}
	}
	if champion == nil {
		c.say("there is no champion yet whose training data could be compared")
	} else if err := s.compareTraining(ctx, v, champion.version, l, p, c); err != nil {
		return Result{}, err
	}
	if champion != nil && champion.problem == "" {
		s.ranks(ctx, l, champion, p, c)
	}
	c.conclude(v)
	return r, nil
}

// stability collects what the parts of the gate found.
type stability struct {
	r       *Result
	bad     []string // that decide
	unknown []string // that could not be judged
	fine    []string
}

func (c *stability) say(format string, args ...any) {
	c.fine = append(c.fine, fmt.Sprintf(format, args...))
}

func (c *stability) fail(format string, args ...any) {
	c.bad = append(c.bad, fmt.Sprintf(format, args...))
}

func (c *stability) doubt(format string, args ...any) {
	c.unknown = append(c.unknown, fmt.Sprintf(format, args...))
}

func (c *stability) conclude(v version.Version) {
	r := c.r
	switch {
	case c.bad != nil:
		r.Outcome = Fail
		r.Summary = fmt.Sprintf("The training data of version %d are not those that models were trained on before: %s.", v.Version,
			strings.Join(c.bad, "; "))
		r.Hint = "look at the features that the report lists and at what changed in their making, then train again"
	case c.unknown != nil:
		r.Outcome, r.Summary, r.Hint = Inconclusive, strings.Join(c.unknown, "; "), statisticsHint
	default:
		r.Summary = sentence(strings.Join(c.fine, "; "))
	}
}

// leakage looks for single features that separate the classes.
func (c *stability) leakage(t *trial, p StabilityPolicy) {
	if t == nil || t.leak == nil {
		return
	}
	found := t.leak.strongest()
	if len(found) == 0 {
		return
	}
	c.r.Evidence["strongest_feature"], c.r.Evidence["strongest_feature_auc"] = found[0].name, exact(found[0].auc)
	c.r.Evidence["leakage_rows"] = strconv.Itoa(len(t.leak.labels))
	for _, f := range found {
		if f.auc <= p.LeakageAUC {
			break
		}
		c.fail("feature %s alone separates the classes with an AUC of %.4f, more than %.4f, so it may hold the label", f.name, f.auc, p.LeakageAUC)
		c.r.Details = append(c.r.Details, Detail{
			Name: f.name, Outcome: Fail, Summary: fmt.Sprintf("AUC %.4f alone", f.auc), Figures: map[string]float64{"auc_alone": f.auc},
		})
	}
	if c.bad == nil {
		c.say("no feature alone separates the classes (the strongest, %s, has AUC %.4f)", found[0].name, found[0].auc)
	}
}

// compareTraining holds the training data of v against those of the Champion, in the Champion's bins.
func (s *Service) compareTraining(ctx context.Context, v, champion version.Version, l *loaded, p StabilityPolicy, c *stability) error {
	if s.d.Statistics == nil {
		c.doubt("no feature statistics are kept")
		return nil
	}
	ref, err := s.d.Statistics.Training(ctx, v.Model, champion.Version, nil)
	if err != nil {
		return c.absent(ctx, champion, err)
	}
	cur, err := s.d.Statistics.Training(ctx, v.Model, v.Version, ref.FrozenBins())
	if err != nil {
		return c.absent(ctx, v, err)
	}
	shares, err := importanceOf(l.model, l.dir, l.files)
	if err != nil {
		c.doubt("%v", err)
		return nil
	}
	report, err := monitor.Detect(ref, cur, monitor.Options{}, shares)
	if err != nil {
		return err
	}
	c.schema(ref, l)
	changed := 0
	for _, f := range report.Features {
		d := Detail{Name: f.Feature, Outcome: Pass, Summary: f.Reason, Figures: driftFigures(f)}
		rise := f.NullRateCur - f.NullRateRef
		switch {
		case f.Verdict == monitor.Inconclusive:
			d.Outcome = Inconclusive
		case p.MaxPSI > 0 && f.PSI > max(p.MaxPSI, f.NoiseFloor):
			d.Outcome = Fail
			d.Summary = fmt.Sprintf("PSI %.3f exceeds %.3f", f.PSI, p.MaxPSI)
		case p.MaxNullRise > 0 && rise > p.MaxNullRise && rise > nullNoise(f, report):
			d.Outcome = Fail
			d.Summary = fmt.Sprintf("nulls rose from %.1f %% to %.1f %%", 100*f.NullRateRef, 100*f.NullRateCur)
		}
		if d.Outcome == Fail {
			if changed++; changed <= 3 {
				c.fail("feature %s: %s", f.Feature, d.Summary)
			}
		}
		if len(c.r.Details) < maxDetails {
			c.r.Details = append(c.r.Details, d)
		}
	}
	if changed > 3 {
		c.fail("and %d more features changed", changed-3)
	}
	c.r.Evidence["compared_with"] = fmt.Sprintf("training of version %d", champion.Version)
	c.r.Evidence["features_changed"] = strconv.Itoa(changed)
	c.r.Evidence["training_rows"], c.r.Evidence["champion_training_rows"] = strconv.FormatInt(cur.Rows, 10), strconv.FormatInt(ref.Rows, 10)
	if changed == 0 && len(report.Features) > 0 {
		c.say("no feature of the training data changed beyond its limits since version %d (the largest PSI is %.3f, of %s)", champion.Version,
			report.Features[0].PSI, report.Features[0].Feature)
	}
	return nil
}

// nullNoise is how much a share of nulls moves by chance once in a thousand.
func nullNoise(f monitor.FeatureDrift, r monitor.Report) float64 {
	n, m := float64(r.ReferenceRows), float64(r.CurrentRows)
	pooled := (f.NullRateRef*n + f.NullRateCur*m) / (n + m)
	return 3.0902 * math.Sqrt(pooled*(1-pooled)*(1/n+1/m))
}

func driftFigures(f monitor.FeatureDrift) map[string]float64 {
	return figures(map[string]float64{
		"psi": f.PSI, "noise_floor": f.NoiseFloor, "p_value": f.PValue, "p_value_corrected": f.PValueCorrected,
		"null_rate_before": f.NullRateRef, "null_rate": f.NullRateCur, "unseen_rate": f.UnseenRate, "mean_before": f.MeanRef,
		"mean": f.MeanCur, "importance": f.Importance,
	})
}

// absent notes that statistics are not there. Only the end of the call is an error.
func (c *stability) absent(ctx context.Context, v version.Version, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, monitor.ErrNoData) {
		c.doubt("the training data of version %d are not known", v.Version)
	} else {
		c.doubt("the training data of version %d cannot be looked at: %v", v.Version, err)
	}
	return nil
}

// schema notes features that came and went; they are reported and decide nothing.
func (c *stability) schema(ref monitor.Profile, l *loaded) {
	before, now := map[string]bool{}, map[string]bool{}
	for i := range ref.Features {
		before[strings.ReplaceAll(ref.Features[i].Name, " ", "_")] = true
	}
	for _, f := range l.model.Features {
		now[strings.ReplaceAll(f.Name, " ", "_")] = true
	}
	for name, pair := range map[string][2]map[string]bool{"features_added": {now, before}, "features_removed": {before, now}} {
		var only []string
		for _, f := range slices.Sorted(maps.Keys(pair[0])) {
			if !pair[1][f] {
				only = append(only, f)
			}
		}
		if only != nil {
			c.r.Evidence[name] = strings.Join(only, ", ")
			c.say("%s: %s", strings.ReplaceAll(name, "_", " "), strings.Join(only, ", "))
		}
	}
}

// ranks compares the order of importance of the features that both versions have.
func (s *Service) ranks(ctx context.Context, l *loaded, champion *rival, p StabilityPolicy, c *stability) {
	mine, err := importanceOf(l.model, l.dir, l.files)
	if err != nil || mine == nil {
		return
	}
	dir, a, err := s.d.Versions.Artifact(ctx, champion.version)
	if err != nil {
		return
	}
	var files []string
	for _, f := range a.Files {
		files = append(files, f.Name)
	}
	theirs, err := importanceOf(champion.model, dir, files)
	if err != nil || theirs == nil {
		return
	}
	var x, y []float64
	for _, name := range slices.Sorted(maps.Keys(mine)) {
		if v, ok := theirs[name]; ok {
			x, y = append(x, mine[name]), append(y, v)
		}
	}
	if len(x) < 3 { // the order of two says nothing
		return
	}
	rho, err := stat.Spearman(x, y)
	if err != nil || math.IsNaN(rho) {
		return
	}
	c.r.Evidence["importance_rank_correlation"] = exact(rho)
	if p.MinRankCorrelation > 0 && rho < p.MinRankCorrelation {
		c.fail("the order of importance of the features correlates with that of version %d only by %.3f, less than %.3f",
			champion.version.Version, rho, p.MinRankCorrelation)
		return
	}
	c.say("the order of importance of the features correlates with that of version %d by %.3f", champion.version.Version, rho)
}

// noDrift compares the training data with the latest batch: a model of yesterday's world is of little use in today's.
func (s *Service) noDrift(ctx context.Context, v version.Version, l *loaded, p NoDriftPolicy) (Result, error) {
	r := Result{Gate: NoDrift, Outcome: Inconclusive, Evidence: map[string]string{}, Hint: statisticsHint}
	if s.d.Statistics == nil {
		r.Summary = "no feature statistics are kept"
		return r, nil
	}
	batch, id, err := s.d.Statistics.LatestBatch(ctx, v.Model)
	if errors.Is(err, monitor.ErrNoData) {
		r.Outcome, r.Hint = Pass, ""
		r.Summary = "No batch with statistics was scored yet, so there is nothing to compare the training data with."
		return r, nil
	}
	var ref monitor.Profile
	if err == nil {
		r.Evidence["score_batch_id"] = id
		ref, err = s.d.Statistics.Training(ctx, v.Model, v.Version, batch.FrozenBins())
	}
	var shares map[string]float64
	if err == nil {
		shares, err = importanceOf(l.model, l.dir, l.files)
	}
	if err != nil {
		c := &stability{r: &r}
		if err := c.absent(ctx, v, err); err != nil {
			return Result{}, err
		}
		r.Summary = c.unknown[0]
		return r, nil
	}
	report, err := monitor.Detect(ref, batch, monitor.Options{Share: p.Share}, shares)
	if err != nil {
		return Result{}, err
	}
	r.Evidence["drift_share"], r.Evidence["share_threshold"] = exact(report.Share), exact(report.ShareThreshold)
	r.Evidence["batch_rows"], r.Evidence["training_rows"] = strconv.FormatInt(batch.Rows, 10), strconv.FormatInt(ref.Rows, 10)
	for _, f := range report.Features[:min(len(report.Features), maxDetails)] {
		outcome := Pass
		switch f.Verdict {
		case monitor.Drift:
			outcome = Fail
		case monitor.Inconclusive:
			outcome = Inconclusive
		case monitor.None, monitor.Warn:
		}
		r.Details = append(r.Details, Detail{Name: f.Feature, Outcome: outcome, Summary: f.Reason, Figures: driftFigures(f)})
	}
	r.Summary = fmt.Sprintf("Between the training data of version %d and batch %s: %s", v.Version, id, report.Summary)
	switch report.Verdict {
	case monitor.Drift:
		r.Outcome, r.Hint = Fail, "train on newer rows"
	case monitor.None, monitor.Warn:
		r.Outcome, r.Hint = Pass, ""
	case monitor.Inconclusive:
	}
	return r, nil
}
