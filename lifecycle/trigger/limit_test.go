package trigger

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

const (
	hour = time.Hour
	day  = 24 * time.Hour
)

// always is a policy with a condition that holds.
func always(p Policy) Policy {
	p.Model, p.NewData = "churn", &NewDataPolicy{MinRows: 0}
	return p
}

func due(t *testing.T, p Policy) *world {
	w := newWorld(t, always(p))
	w.change = DataChange{Rows: 5, Known: true}
	return w
}

func TestCooldownEdges(t *testing.T) {
	w := due(t, Policy{Cooldown: day, MaxCooldown: 5 * day})
	w.end(w.evaluate(Fired), ResultAccepted)
	w.clock = start.Add(day - time.Microsecond)
	d := w.evaluate(Cooldown)
	if want := "a new_data trigger fired at 2026-11-02 03:00:00 UTC and the cooldown is 24h; may fire at 2026-11-03 03:00:00 UTC"; !strings.Contains(d.Reason, want) {
		t.Errorf("reason %q does not say %q", d.Reason, want)
	}
	w.clock = start.Add(day)
	w.clock = start.Add(day)
	second := w.evaluate(Fired)

	// Refused two hours later: twice the cooldown from then on.
	w.clock = w.clock.Add(2 * hour)
	refused := w.clock
	w.end(second, ResultRefused)
	w.clock = refused.Add(2*day - time.Microsecond)
	if d := w.evaluate(Cooldown); !strings.Contains(d.Reason, "doubled after a refused candidate") {
		t.Error(d.Reason)
	}
	w.clock = refused.Add(2 * day)
	third := w.evaluate(Fired)
	w.end(third, ResultRefused)
	refused = w.clock
	w.clock = refused.Add(4*day - time.Microsecond)
	if d := w.evaluate(Cooldown); !strings.Contains(d.Reason, "each of 2 refused candidates in a row") {
		t.Error(d.Reason)
	}
	w.clock = refused.Add(4 * day)
	w.end(w.evaluate(Fired), ResultRefused)
	refused = w.clock

	// 8 days are cut to 5.
	w.clock = refused.Add(5*day - time.Microsecond)
	if d := w.evaluate(Cooldown); !strings.Contains(d.Reason, "5 days") || !strings.Contains(d.Reason, "maximum") {
		t.Error(d.Reason)
	}
	w.clock = refused.Add(5 * day)
	w.end(w.evaluate(Fired), ResultAccepted)
	accepted := w.clock

	// An accepted one ends the row.
	w.clock = accepted.Add(day)
	w.evaluate(Fired)
}

// A failed training ends the row of refusals: the base cooldown holds.
func TestFailedTrainingIsNoRefusal(t *testing.T) {
	w := due(t, Policy{Cooldown: day})
	w.end(w.evaluate(Fired), ResultRefused)
	w.clock = start.Add(2 * day)
	w.end(w.evaluate(Fired), ResultFailed)
	w.clock = start.Add(3*day - 1000)
	w.evaluate(Cooldown)
	w.clock = start.Add(3 * day)
	w.evaluate(Fired)
}

// A Champion that came from elsewhere, say from ctl run, ends the row of refusals too.
func TestAcceptedElsewhere(t *testing.T) {
	w := due(t, Policy{Cooldown: day})
	w.end(w.evaluate(Fired), ResultRefused)
	w.clock = start.Add(2 * day)
	w.end(w.evaluate(Fired), ResultRefused) // from now on it is four days
	w.clock = start.Add(3 * day)
	w.evaluate(Cooldown)
	w.champion(1, w.clock, w.clock)
	w.evaluate(Fired) // a day after the latest firing
}

func TestWeeklyLimitEdges(t *testing.T) {
	w := due(t, Policy{MaxPerWeek: 2})
	w.end(w.evaluate(Fired), ResultAccepted)
	w.clock = start.Add(day)
	w.end(w.fire(Request{Actor: "ann"}, Fired), ResultAccepted)
	w.clock = start.Add(week - time.Microsecond)
	d := w.evaluate(WeeklyLimit)
	if want := "2 retrainings in the last 7 days, at most 2; the next may fire at 2026-11-09 03:00:00 UTC"; !strings.Contains(d.Reason, want) {
		t.Errorf("reason %q does not say %q", d.Reason, want)
	}
	w.fire(Request{Actor: "ann"}, WeeklyLimit)
	states, err := w.List(t.Context(), "churn")
	if err != nil || states[0].FiredThisWeek != 2 || !states[0].CooldownUntil.Equal(start.Add(week)) {
		t.Errorf("%+v, %v", states, err)
	}
	w.end(w.fire(Request{Actor: "ann", IgnoreCooldown: true}, Fired), ResultAccepted)
	w.clock = start.Add(week) // two are left in the week
	w.evaluate(WeeklyLimit)
	w.clock = start.Add(week + day)
	w.evaluate(Fired)
}

func TestBlackoutEdges(t *testing.T) {
	w := due(t, Policy{Blackout: []Blackout{{From: start.Add(hour), Until: start.Add(2 * hour), Reason: "year end"}}})
	w.clock = start.Add(hour)
	if d := w.evaluate(Cooldown); !strings.Contains(d.Reason, "until 2026-11-02 05:00:00 UTC because of a blackout (year end)") {
		t.Error(d.Reason)
	}
	w.fire(Request{Kind: Scheduled}, Cooldown)
	w.fire(Request{}, Cooldown)
	w.clock = start.Add(hour - time.Microsecond)
	w.end(w.evaluate(Fired), ResultAccepted)
	w.clock = start.Add(2*hour - time.Microsecond)
	w.evaluate(Cooldown)
	w.clock = start.Add(2 * hour)
	w.evaluate(Fired)
}

func TestManual(t *testing.T) {
	w := due(t, Policy{Cooldown: day})
	w.end(w.fire(Request{Actor: "ann", Reason: "new code", GitSHA: "abc", ComputeDate: "2026-11-01"}, Fired), ResultAccepted)
	got := w.chain.begun[0]
	if got.Trigger != Manual || got.GitSHA != "abc" || got.ComputeDate != "2026-11-01" || got.Actor != "ann" || got.Reason != "asked for by ann: new code" {
		t.Errorf("%+v", got)
	}
	w.clock = start.Add(hour)
	w.fire(Request{Actor: "ann"}, Cooldown)
	d := w.fire(Request{Actor: "ann", IgnoreCooldown: true}, Fired)
	if !strings.Contains(d.Reason, "in spite of a limit") {
		t.Error(d.Reason)
	}
	joined := w.fire(Request{Actor: "bob"}, Coalesced)
	if joined.RunID != d.RunID || joined.RunID == "" {
		t.Errorf("joined %q, want %q", joined.RunID, d.RunID)
	}
}

// A daily schedule is its own spacing; a refused candidate makes it leave out one day, two make it three.
func TestSchedule(t *testing.T) {
	w := due(t, Policy{Cooldown: day, MaxPerWeek: 1, Schedule: true})
	n := 0
	at := func() { // each a little early or late
		w.clock = start.Add(time.Duration(n)*day + time.Duration(n%3-1)*time.Second)
		n++
	}
	tick := func(result Result) {
		t.Helper()
		at()
		d := w.fire(Request{Kind: Scheduled, Actor: "schedule"}, Fired)
		w.clock = w.clock.Add(20 * time.Minute)
		w.end(d, result)
	}
	quiet := func(days int) {
		t.Helper()
		for range days {
			at()
			w.fire(Request{Kind: Scheduled, Actor: "schedule"}, Cooldown)
		}
	}
	tick(ResultAccepted)
	tick(ResultAccepted)
	w.evaluate(Cooldown) // of a condition
	tick(ResultRefused)
	quiet(1)
	tick(ResultRefused)
	quiet(3)
	tick(ResultAccepted)
	tick(ResultAccepted)
	w.clock = w.clock.Add(2 * day)
	w.evaluate(WeeklyLimit)

	w = due(t, Policy{Cooldown: day, MaxPerWeek: 1, Schedule: true, LimitSchedule: true})
	w.end(w.fire(Request{Kind: Scheduled}, Fired), ResultAccepted)
	w.clock = start.Add(hour)
	w.fire(Request{Kind: Scheduled}, Cooldown)
	w.clock = start.Add(2 * day)
	w.fire(Request{Kind: Scheduled}, WeeklyLimit)
}

func TestProposeOnly(t *testing.T) {
	w := due(t, Policy{Cooldown: day, ProposeOnly: true, Owner: "team"})
	d := w.evaluate(Proposed)
	if a := w.alert(); a.Owner != "team" || a.Command != "ctl trigger fire churn --reason WHY" || !strings.Contains(a.Text, "moved by +5 rows") {
		t.Errorf("%+v", a)
	}
	if !strings.Contains(d.Reason, "ctl trigger fire churn --reason WHY") || d.RunID != "" || len(w.chain.begun) != 0 {
		t.Errorf("%+v, begun %v", d, w.chain.begun)
	}
	w.clock = start.Add(day - time.Microsecond)
	if d := w.evaluate(Cooldown); !strings.Contains(d.Reason, "proposed at 2026-11-02 03:00:00 UTC") {
		t.Error(d.Reason)
	}
	w.clock = start.Add(day)
	w.evaluate(Proposed)
	w.fire(Request{Kind: Scheduled}, Proposed)
	// A proposal does not hold back the person that it asks.
	w.fire(Request{Actor: "ann"}, Fired)
	if a := w.alert(); !a.Resolved {
		t.Errorf("%+v", a)
	}
}

// event is what happened to one retraining, for an oracle that knows nothing of the code.
type event struct {
	at, refusedAt time.Time // refusedAt is zero unless it was refused
	accepted      bool
}

// TestLimitsAgainstOracle plays random histories and asks at each hour whether a condition may fire.
func TestLimitsAgainstOracle(t *testing.T) {
	seeds := uint64(6)
	if testing.Short() { // under the race detector
		seeds = 1
	}
	for seed := range seeds {
		rng := rand.New(rand.NewPCG(seed, 5))
		p := Policy{
			Cooldown: time.Duration(rng.IntN(30)) * hour, MaxCooldown: time.Duration(30+rng.IntN(100)) * hour,
			MaxPerWeek: rng.IntN(5),
		}
		w := due(t, p)
		var (
			events  []event
			running *Decision
			counts  = map[string]int{}
		)
		for h := range 400 {
			w.clock = start.Add(time.Duration(h) * hour)
			if running != nil && rng.IntN(3) == 0 {
				result := []Result{ResultAccepted, ResultRefused, ResultRefused, ResultFailed}[rng.IntN(4)]
				w.end(*running, result)
				running = nil
				if result == ResultRefused {
					events[len(events)-1].refusedAt = w.clock
				} else {
					events[len(events)-1].accepted = true
				}
			}
			var want string
			if running != nil {
				want = Coalesced
			} else {
				want = oracle(p, events, w.clock)
			}
			d := w.evaluate(want)
			counts[want]++
			if want == Fired {
				events = append(events, event{at: w.clock})
				running = &d
			}
		}
		t.Log(fmt.Sprintf("cooldown %s, at most %s, %d a week:", p.Cooldown, p.MaxCooldown, p.MaxPerWeek), counts)
	}
}

// oracle says in the plainest way what the rules of the package comment come to.
func oracle(p Policy, events []event, now time.Time) string {
	if len(events) == 0 {
		return Fired
	}
	from, wait := events[len(events)-1].at, p.Cooldown
	for i := len(events) - 1; i >= 0 && !events[i].refusedAt.IsZero(); i-- {
		if i == len(events)-1 {
			from = events[i].refusedAt
		}
		wait = min(2*wait, p.MaxCooldown)
	}
	if now.Sub(from) < wait {
		return Cooldown
	}
	inWeek := 0
	for _, e := range events {
		if now.Sub(e.at) < 168*hour {
			inWeek++
		}
	}
	if p.MaxPerWeek > 0 && inWeek >= p.MaxPerWeek {
		return WeeklyLimit
	}
	return Fired
}
