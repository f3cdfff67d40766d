package trigger

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/treeline-ml/treeline/store"
)

// DefaultMaxCooldown caps cooldowns that double.
const DefaultMaxCooldown = 30 * 24 * time.Hour

// week is what MaxPerWeek counts in.
const week = 7 * 24 * time.Hour

// Policy says when a model is trained again. A condition that is nil is off.
type Policy struct {
	Model string
	Owner string // named in alerts
	// Cooldown is the least time between two retrainings.
	Cooldown time.Duration
	// MaxCooldown caps the cooldown, which doubles with each refused candidate in a row. DefaultMaxCooldown when 0, and
	// never less than Cooldown.
	MaxCooldown time.Duration
	MaxPerWeek  int // in seven days; 0 means no bound
	// ProposeOnly: conditions and the schedule alert a person, who starts the training.
	ProposeOnly bool
	Blackout    []Blackout

	// Schedule: the model has a training schedule.
	Schedule bool
	// LimitSchedule holds the schedule to Cooldown and MaxPerWeek, too.
	LimitSchedule bool

	Drift       *DriftPolicy
	NewData     *NewDataPolicy
	Performance *PerformancePolicy
	MaxAge      time.Duration // of the Champion's training; 0 is off
}

// Blackout is a time without retraining, From included, Until not.
type Blackout struct {
	From, Until time.Time
	Reason      string
}

// DriftPolicy is due when Agree of the latest Windows drift reports of the present Champion, the latest among them, have
// a drift share of at least Share.
type DriftPolicy struct {
	Windows, Agree int
	Share          float64 // 0 to 1, of the Champion's gain
}

// NewDataPolicy is due when the feature table has grown or shrunk by at least MinRows since the Champion's training.
type NewDataPolicy struct{ MinRows int64 }

// PerformancePolicy is due when the whole interval of the metric is below the baseline, on at least MinRows labelled rows.
type PerformancePolicy struct{ MinRows int64 }

// conditions are the kinds that Evaluate looks at, in its order.
func (p *Policy) conditions() (out []string) {
	if p.Drift != nil {
		out = append(out, Drift)
	}
	if p.NewData != nil {
		out = append(out, NewData)
	}
	if p.Performance != nil {
		out = append(out, Performance)
	}
	if p.MaxAge > 0 {
		out = append(out, MaxAge)
	}
	return out
}

// describe is the policy of one kind in words; enabled is false when it is off.
func (p *Policy) describe(kind string) (text string, enabled bool) {
	switch {
	case kind == Manual:
		return "when somebody asks", true
	case kind == Scheduled && p.Schedule:
		return "by the schedule of the model's training", true
	case kind == Drift && p.Drift != nil:
		return fmt.Sprintf("when the drift share is at least %g in %d of the latest %d batches of the Champion, the latest among them",
			p.Drift.Share, p.Drift.Agree, p.Drift.Windows), true
	case kind == NewData && p.NewData != nil:
		return fmt.Sprintf("when the feature table has moved by at least %d rows since the Champion's training", p.NewData.MinRows), true
	case kind == Performance && p.Performance != nil:
		return fmt.Sprintf("when the whole interval of the matured metric is below its baseline, on at least %d labelled rows",
			p.Performance.MinRows), true
	case kind == MaxAge && p.MaxAge > 0:
		return "when the Champion's training is more than " + span(p.MaxAge) + " ago", true
	default:
		return "off", false
	}
}

// List lists the triggers of a model, those that are off included, or of all models when model is empty. It fails with
// ErrUnknownModel.
func (s *Service) List(ctx context.Context, model string) ([]State, error) {
	policies := s.d.Policies
	if model != "" {
		p, err := s.policy(model)
		if err != nil {
			return nil, err
		}
		policies = []Policy{p}
	}
	var out []State
	now := s.now()
	err := s.d.Store.View(ctx, func(r store.Reader) error {
		out = nil
		for _, p := range policies {
			h, err := s.history(r, &p, now)
			if err != nil {
				return err
			}
			for _, kind := range []string{Manual, Scheduled, Drift, NewData, Performance, MaxAge} {
				st := State{Model: p.Model, Kind: kind, FiredThisWeek: len(h.week), MaxPerWeek: p.MaxPerWeek, ProposeOnly: p.ProposeOnly && kind != Manual}
				st.Description, st.Enabled = p.describe(kind)
				last, _, err := r.Decisions(store.DecisionQuery{Model: p.Model, Kind: kind, Outcome: Fired, PageSize: 1})
				if err != nil {
					return err
				}
				if len(last) > 0 {
					st.LastFiredAt = last[0].At
				}
				proposed, err := proposedAt(r, &p, kind)
				if err != nil {
					return err
				}
				if l := p.limit(kind, h, proposed, now); l.outcome != "" {
					st.CooldownUntil = l.until
				}
				out = append(out, st)
			}
		}
		return nil
	})
	return out, err
}

// span is a duration for people: "36h", "30 days", "90s".
func span(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= 2*day && d%day == 0 {
		return fmt.Sprintf("%d days", d/day)
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// moment is an instant for people.
func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
