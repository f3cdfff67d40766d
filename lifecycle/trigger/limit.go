package trigger

import (
	"errors"
	"fmt"
	"time"

	"github.com/treeline-ml/treeline/lifecycle/stage"
	"github.com/treeline-ml/treeline/store"
)

// history is what the limits of a policy look back at.
type history struct {
	last    Decision // the latest that fired; the zero Decision before the first
	refused int      // candidates in a row, the latest ones that ended
	// refusedAt is when the latest candidate was refused; zero when refused is 0.
	refusedAt time.Time
	week      []time.Time // when retrainings fired in the last 168 hours, newest first
	// accepted is when a version passed its gates or became Champion last, by whomever it was trained: refusals before
	// it say nothing about the next candidate.
	accepted time.Time
}

// history reads what fired. It goes back as far as the week, and until it knows how many candidates in a row were
// refused or that more of them would not change the cooldown.
func (s *Service) history(r store.Reader, p *Policy, now time.Time) (h history, err error) {
	counting := p.Cooldown > 0
	if h.accepted, err = accepted(r, p.Model); err != nil {
		return h, err
	}
	for token := ""; ; {
		page, next, err := r.Decisions(store.DecisionQuery{Model: p.Model, Outcome: Fired, PageSize: 20, PageToken: token})
		if err != nil {
			return h, err
		}
		for _, d := range page {
			if h.last.Outcome == "" {
				h.last = d
			}
			inWeek := d.At.After(now.Add(-week))
			if inWeek {
				h.week = append(h.week, d.At)
			}
			if counting {
				if counting, err = s.count(r, p, d, &h); err != nil {
					return h, err
				}
			}
			if !inWeek && !counting {
				return h, nil
			}
		}
		if token = next; token == "" {
			return h, nil
		}
	}
}

// accepted is when a version of the model became Validated or Champion last, zero for never.
func accepted(r store.Reader, model string) (at time.Time, err error) {
	p, err := r.OpenPeriod(model)
	switch {
	case err == nil:
		at = p.Since
	case !errors.Is(err, store.ErrNoChampion) && !errors.Is(err, store.ErrModelNotFound):
		return at, err
	}
	v, err := r.NewestVersion(model, string(stage.Validated))
	switch {
	case err == nil && v.StageAt.After(at):
		at = v.StageAt
	case err != nil && !errors.Is(err, store.ErrVersionNotFound) && !errors.Is(err, store.ErrModelNotFound):
		return at, err
	}
	return at, nil
}

// count takes in what became of a retraining and reports whether earlier ones matter.
func (s *Service) count(r store.Reader, p *Policy, d Decision, h *history) (more bool, err error) {
	o, err := s.d.Chain.Outcome(r, d.RunID, d.Model)
	if err != nil {
		return false, fmt.Errorf("what became of run %s: %w", d.RunID, err)
	}
	switch o.Result {
	case ResultRunning:
		return true, nil
	case ResultRefused:
		if !o.At.After(h.accepted) {
			return false, nil
		}
		h.refused++
		if h.refusedAt.IsZero() {
			h.refusedAt = o.At
		}
		return p.backoff(h.refused) < p.MaxCooldown, nil
	default:
		return false, nil
	}
}

// backoff is the cooldown after a number of refused candidates.
func (p *Policy) backoff(refused int) time.Duration {
	d := p.Cooldown
	for range refused {
		if d >= p.MaxCooldown/2 {
			return p.MaxCooldown
		}
		d *= 2
	}
	return d
}

// limited is why a retraining may not fire now; outcome is "" when it may.
type limited struct {
	outcome, reason string
	until           time.Time // when this reason ends
}

// limit looks at the limits of one kind. proposed is when it was proposed last, zero when that does not matter.
func (p *Policy) limit(kind string, h history, proposed, now time.Time) limited {
	for _, b := range p.Blackout {
		if !now.Before(b.From) && now.Before(b.Until) {
			why := ""
			if b.Reason != "" {
				why = " (" + b.Reason + ")"
			}
			return limited{Cooldown, "no retraining until " + moment(b.Until) + " because of a blackout" + why, b.Until}
		}
	}
	if l := p.cooldown(kind, h); now.Before(l.until) {
		return l
	}
	if until := proposed.Add(p.Cooldown); !proposed.IsZero() && now.Before(until) {
		return limited{Cooldown, fmt.Sprintf("proposed at %s, not again before %s", moment(proposed), moment(until)), until}
	}
	if n := len(h.week); p.MaxPerWeek > 0 && n >= p.MaxPerWeek && (kind != Scheduled || p.LimitSchedule) {
		until := h.week[p.MaxPerWeek-1].Add(week)
		return limited{WeeklyLimit, fmt.Sprintf("%d retrainings in the last 7 days, at most %d; the next may fire at %s", n, p.MaxPerWeek, moment(until)), until}
	}
	return limited{}
}

// cooldown is the wait after the latest retraining.
func (p *Policy) cooldown(kind string, h history) limited {
	if h.last.Outcome == "" || kind == Scheduled && h.refused == 0 && !p.LimitSchedule {
		return limited{}
	}
	wait := p.backoff(h.refused)
	since := h.last.At
	if kind == Scheduled {
		wait -= p.Cooldown / 10
	} else if h.refusedAt.After(since) {
		since = h.refusedAt
	}
	until := since.Add(wait)
	reason := fmt.Sprintf("a %s trigger fired at %s and the cooldown is %s", h.last.Kind, moment(h.last.At), span(p.backoff(h.refused)))
	switch {
	case h.refused == 1:
		reason += ", doubled after a refused candidate"
	case h.refused > 1:
		reason += fmt.Sprintf(", doubled for each of %d refused candidates in a row", h.refused)
		if p.backoff(h.refused) == p.MaxCooldown {
			reason += " up to its maximum"
		}
	}
	return limited{Cooldown, reason + "; may fire at " + moment(until), until}
}

// proposedAt is when a kind was proposed last, zero when it never was or that is no matter.
func proposedAt(r store.Reader, p *Policy, kind string) (time.Time, error) {
	if !p.ProposeOnly || kind == Manual {
		return time.Time{}, nil
	}
	proposed, _, err := r.Decisions(store.DecisionQuery{Model: p.Model, Kind: kind, Outcome: Proposed, PageSize: 1})
	if err != nil || len(proposed) == 0 {
		return time.Time{}, err
	}
	return proposed[0].At, nil
}
