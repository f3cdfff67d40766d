package gate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/internal/stat"
	"github.com/treeline-ml/treeline/lifecycle/version"
	"github.com/treeline-ml/treeline/store"
)

// bootstrapSeed fixes the resamples, so that a comparison can be repeated.
const bootstrapSeed = 0x7265656c696e65

// present loads the model's Champion; nil when there is none. One that does not load has a problem.
func (s *Service) present(ctx context.Context, v version.Version) (*rival, error) {
	var row store.Version
	err := s.d.Store.View(ctx, func(tx store.Reader) error {
		period, err := tx.OpenPeriod(v.Model)
		if err != nil {
			return err
		}
		row, err = tx.Version(v.Model, period.Version)
		return err
	})
	switch {
	case errors.Is(err, store.ErrNoChampion):
		return nil, nil
	case err != nil:
		return nil, err
	}
	r := &rival{version: version.FromRow(row)}
	m, err := s.d.Versions.Load(ctx, r.version)
	if err == nil {
		r.model = m
		r.program, err = engine.Compile(m, engine.Options{})
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		r.problem = fmt.Sprintf("champion version %d does not load: %v", r.version.Version, err)
	}
	return r, nil
}

// contest is a comparison of two models on the same rows, so that larger is better for the challenger.
type contest struct {
	figure        string // "AUC", "RMSE", "log loss"
	own, champion float64
	delta, se     float64 // how much better the challenger is
	lower, upper  float64
	p             float64 // NaN for a bootstrap
	allowed       float64
	rows          int
}

// championChallenger compares the version with the Champion on its holdout rows.
func championChallenger(t *trial, p ChampionPolicy, spent, budget int) Result {
	r := Result{Gate: ChampionChallenger, Evidence: map[string]string{"test": NonInferior, "delta": exact(p.Delta), "holdout": t.digest}}
	t.rowsEvidence(&r)
	if p.Test == Superior {
		r.Evidence["test"] = Superior
	}
	if t.rival == nil {
		r.Outcome, r.Summary = Pass, "There is no champion yet to compare with."
		return r
	}
	r.Evidence["champion_version"] = strconv.FormatInt(t.rival.version.Version, 10)
	r.Evidence["champion_digest"] = t.rival.version.Digest
	r.Evidence["holdout_comparisons"] = strconv.Itoa(spent)
	if budget > 0 && spent >= budget {
		r.Outcome = Inconclusive
		r.Summary = fmt.Sprintf("%d versions were compared with a champion on these very holdout rows, and %d are allowed: the best of "+
			"so many looks better than it is.", spent, budget)
		r.Hint = "train on newer rows, which gives new holdout rows, or raise gates.holdout_budget"
		return r
	}
	if t.rival.problem != "" {
		r.Outcome, r.Summary = Inconclusive, t.rival.problem
		r.Hint = "write the champion's features to the holdout rows too, or accept the version in your own name: " + waiveHint
		return r
	}
	c, err := t.contest(p.Delta)
	if err != nil {
		r.Outcome, r.Summary = Inconclusive, "the comparison with the champion cannot be computed: "+err.Error()
		r.Hint = "see to the holdout rows and validate again"
		return r
	}
	c.evidence(&r)
	c.decide(&r, t.version, t.rival.version.Version, p.Test == Superior)
	return r
}

const waiveHint = "ctl validate --waive"

// contest is the paired comparison: DeLong's for the AUC, a bootstrap for what is a mean over rows.
func (t *trial) contest(delta float64) (contest, error) {
	own, champion, labels := t.pairs()
	c := contest{rows: len(own), p: math.NaN(), allowed: delta}
	if t.task == binaryTask {
		d, err := stat.DeLong(own, champion, labels, stat.Level)
		c.figure, c.own, c.champion, c.delta, c.se = "AUC", d.A, d.B, d.Delta, d.SE
		c.lower, c.upper, c.p = d.Lower, d.Upper, d.P
		return c, err
	}
	root := func(v float64) float64 { return v }
	c.figure = "log loss"
	switch {
	case t.task == regressionTask:
		c.figure, root = "RMSE", math.Sqrt
		k := 0
		for i, s := range t.rival.scores {
			if math.IsNaN(s) {
				continue
			}
			a, b := own[k]-t.truth[i], champion[k]-t.truth[i]
			own[k], champion[k] = a*a, b*b
			k++
		}
	case t.width == 1:
		c.figure = "error rate"
	}
	iv, err := stat.PairedBootstrap(own, champion, func(a, b float64) float64 { return root(b) - root(a) },
		stat.Bootstrap{Seed: bootstrapSeed})
	if err != nil {
		return c, err
	}
	c.own, c.champion = root(average(own)), root(average(champion))
	c.delta, c.se, c.lower, c.upper = iv.Value, iv.SE, iv.Lower, iv.Upper
	c.allowed = delta * c.champion // of an error there is no common unit: a share of the champion's
	return c, nil
}

func average(v []float64) float64 {
	s := 0.0
	for _, x := range v {
		s += x
	}
	return s / float64(len(v))
}

func (c *contest) evidence(r *Result) {
	r.Evidence["figure"] = c.figure
	r.Evidence["challenger"], r.Evidence["champion"] = exact(c.own), exact(c.champion)
	r.Evidence["difference"], r.Evidence["difference_se"] = exact(c.delta), exact(c.se)
	r.Evidence["difference_lower"], r.Evidence["difference_upper"] = exact(c.lower), exact(c.upper)
	r.Evidence["compared_rows"] = strconv.Itoa(c.rows)
	if !math.IsNaN(c.p) {
		r.Evidence["p_value"] = exact(c.p)
	}
}

// decide sets the verdict: pass when the interval lies above the bound, fail when it lies below, and otherwise neither,
// because there are too few rows to tell.
func (c *contest) decide(r *Result, v, champion int64, superior bool) {
	bound, verb := -c.allowed, "is not worse than"
	if superior {
		bound, verb = 0, "is better than"
	}
	switch {
	case c.lower > bound, !superior && c.lower == bound && c.se == 0:
		r.Outcome = Pass
	case c.upper <= bound:
		r.Outcome, verb = Fail, "is worse than"
		if superior {
			verb = "is not better than"
		}
		r.Hint = "train a better version; the champion stays. To have this one all the same: ctl promote --force with a reason"
	default:
		r.Outcome = Inconclusive
		verb = "is not shown to be as good as"
		if superior {
			verb = "is not shown to be better than"
		}
		r.Hint = c.needs(bound)
	}
	unit := " by " + c.figure
	allowed := fmt.Sprintf("allowed %+.4f", bound)
	if superior {
		allowed = "wanted above 0"
	}
	if c.figure == "AUC" {
		unit = ""
	}
	r.Summary = fmt.Sprintf("Version %d %s champion version %d%s: %s %.4f against %.4f on the same %s holdout rows, difference "+
		"%+.4f (%s), %s.", v, verb, champion, unit, c.figure, c.own, c.champion, thousands(c.rows), c.delta,
		band("%+.4f", c.lower, c.upper), allowed)
}

// needs says how many rows would tell, were the difference what it seems.
func (c *contest) needs(bound float64) string {
	hint := "keep more rows from training (training.holdout_fraction), raise gates.champion_challenger.delta, or promote by " +
		"name with ctl promote --force"
	if margin := math.Abs(c.delta - bound); margin > 0 && c.se > 0 {
		half := stat.Quantile(0.5+stat.Level/2) * c.se / margin
		if rows := float64(c.rows) * half * half; rows < 1e9 {
			return fmt.Sprintf("about %s holdout rows would tell: %s", thousands(int64(math.Ceil(rows/100)*100)), hint)
		}
	}
	return hint
}

// spent counts the other versions whose latest validation compared them with a Champion on the same holdout rows.
func (s *Service) spent(ctx context.Context, v version.Version, digest string) (n int, err error) {
	err = s.d.Store.View(ctx, func(tx store.Reader) error {
		rows, err := tx.Versions(v.Model)
		if err != nil {
			return err
		}
		for _, row := range rows {
			if row.Version == v.Version {
				continue
			}
			ev, err := tx.Evidence(v.Model, row.Version)
			if errors.Is(err, store.ErrNoEvidence) {
				continue
			}
			if err != nil {
				return err
			}
			var e evidence
			if json.Unmarshal(ev.Report, &e) == nil && e.Holdout == digest && e.Champion != nil && e.Champion.Version != 0 {
				n++
			}
		}
		return nil
	})
	return n, err
}
