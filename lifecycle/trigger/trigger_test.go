package trigger

import (
	"context"
	"errors"
	"math"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/treeline-ml/treeline/lifecycle/audit"
	"github.com/treeline-ml/treeline/store"
	"github.com/treeline-ml/treeline/store/sqlite"
)

func TestConditions(t *testing.T) {
	drift := Policy{Model: "churn", Drift: &DriftPolicy{Windows: 3, Agree: 2, Share: 0.3}}
	data := Policy{Model: "churn", NewData: &NewDataPolicy{MinRows: 1000}}
	perf := Policy{Model: "churn", Performance: &PerformancePolicy{MinRows: 500}}
	measured := func(lower, upper float64, rows int64) *sources {
		return &sources{matured: Measurement{Metric: "auc", Value: (lower + upper) / 2, Lower: lower, Upper: upper, Rows: rows, Baseline: 0.8, Detail: "3 batches"}}
	}
	for name, c := range map[string]struct {
		policy Policy
		from   *sources
		want   string
		words  string
	}{
		"drift, two of three":      {drift, &sources{reports: shares(0.3, 0.1, 0.5)}, Fired, "2 of 3 drift reports, 0.300, 0.100, 0.500 (newest first), have a share of at least 0.3; 2 are needed, the latest among them"},
		"drift, not the latest":    {drift, &sources{reports: shares(0.29, 0.4, 0.5)}, NotDue, "but the latest has not"},
		"drift, one of three":      {drift, &sources{reports: shares(0.9, 0.1, 0.2)}, NotDue, "1 of 3"},
		"drift, only windows":      {drift, &sources{reports: shares(0.9, 0.1, 0.2, 0.9)}, NotDue, "1 of 3"},
		"drift, two reports":       {drift, &sources{reports: shares(0.9, 0.9)}, Fired, "2 of 2"},
		"drift, one report":        {drift, &sources{reports: shares(0.9)}, Inconclusive, "1 of 1 drift reports, 0.900 (newest first), have a share of at least 0.3; 2 reports are needed"},
		"drift, none":              {drift, &sources{}, Inconclusive, "no drift report of the present Champion yet; 2 are needed"},
		"drift, no source answers": {drift, &sources{err: errors.New("disk on fire")}, Inconclusive, "drift could not be judged: disk on fire"},

		"data, enough":   {data, &sources{change: DataChange{Rows: 1000, Known: true}}, Fired, "moved by +1000 rows since the Champion's training; 1000 are needed"},
		"data, shrunk":   {data, &sources{change: DataChange{Rows: -1500, Known: true, Detail: "500 of 2000"}}, Fired, "-1500 rows since the Champion's training (500 of 2000)"},
		"data, too few":  {data, &sources{change: DataChange{Rows: 999, Known: true}}, NotDue, "+999"},
		"data, unknown":  {data, &sources{change: DataChange{Detail: "the training kept no count"}}, Inconclusive, "not known (the training kept no count)"},
		"data, an error": {data, &sources{err: errors.New("no table")}, Inconclusive, "new_data could not be judged: no table"},

		"performance, wholly below": {perf, measured(0.7, 0.7999, 500), Fired, "[0.7000, 0.7999] on 500 labelled rows (3 batches) and the baseline is 0.8000: the whole interval is below it"},
		"performance, touching":     {perf, measured(0.7, 0.8, 500), NotDue, "not wholly below it"},
		"performance, better":       {perf, measured(0.9, 0.95, 500), NotDue, "not wholly below it"},
		"performance, few labels":   {perf, measured(0.1, 0.2, 499), Inconclusive, "499 rows have labels (3 batches), too few to judge; 500 are needed"},
		"performance, no labels":    {perf, &sources{}, Inconclusive, "0 rows have labels, too few to judge"},
		"performance, no interval":  {perf, measured(math.NaN(), math.NaN(), 500), Inconclusive, "cannot be compared"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, c.policy)
			*w.sources = *c.from
			d := w.evaluate(c.want)
			if !strings.Contains(d.Reason, c.words) {
				t.Errorf("reason %q does not say %q", d.Reason, c.words)
			}
			if (c.want == Fired) != (d.RunID != "") || len(w.stored()) != 1 {
				t.Errorf("%+v, stored %d", d, len(w.stored()))
			}
		})
	}
	// Without a source a condition is inconclusive, not quiet.
	for _, p := range []Policy{drift, data, perf} {
		w := newWorld(t, p)
		w.d.Drift, w.d.Data, w.d.Performance = nil, nil, nil
		w.evaluate(Inconclusive)
	}
}

// champion makes a version Champion.
func (w *world) champion(version int64, trained, since time.Time) {
	w.t.Helper()
	err := w.store.Update(w.t.Context(), func(tx store.Tx) error {
		if version == 1 {
			if err := tx.EnsureModel("churn", since); err != nil {
				return err
			}
		} else if err := tx.EndPeriod("churn", since); err != nil {
			return err
		}
		entry, err := audit.Append(tx, audit.Entry{Action: "promote", Model: "churn", Version: version, ToStage: "champion", At: since})
		if err != nil {
			return err
		}
		return errors.Join(
			tx.InsertVersion(store.Version{
				Model: "churn", Version: version, Stage: "validated", StageAt: since, TrainedAt: trained, RegisteredAt: since,
				Digest: "sha256:" + strings.Repeat("a", int(version)), ModelFile: "model.txt",
			}),
			tx.SetGeneration("churn", version-1, version),
			tx.BeginPeriod(store.Period{
				Model: "churn", Generation: version, Version: version, Since: since, Action: "promote", AuditSeq: entry.Seq,
			}),
		)
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestMaxAge(t *testing.T) {
	w := newWorld(t, Policy{Model: "churn", MaxAge: 30 * day})
	if d := w.evaluate(NotDue); d.Reason != "there is no Champion yet" {
		t.Error(d.Reason)
	}
	w.champion(1, start.Add(-30*day), start)
	w.evaluate(NotDue)
	w.clock = start.Add(time.Second)
	d := w.evaluate(Fired)
	if want := "the Champion, version 1, was trained at 2026-10-03 03:00:00 UTC, 720h0m1s ago; at most 30 days"; d.Reason != want {
		t.Errorf("%q, want %q", d.Reason, want)
	}
}

// TestStoredOnce: T3.
func TestStoredOnce(t *testing.T) {
	w := due(t, Policy{Cooldown: day})
	w.change.Rows, w.policyOf().NewData.MinRows = 5, 10
	step := func(d time.Duration) { w.clock = w.clock.Add(d) }
	for range 5 {
		if d := w.evaluate(NotDue); (d.ID != 0) != w.clock.Equal(start) {
			t.Error(w.clock, d)
		}
		step(time.Minute)
	}
	w.change.Rows = 20
	first := w.evaluate(Fired)
	for range 3 {
		step(time.Minute)
		w.evaluate(Coalesced)
	}
	w.end(first, ResultAccepted)
	for range 3 {
		step(time.Minute)
		w.evaluate(Cooldown)
	}
	w.sources.err = errors.New("first")
	w.evaluate(Inconclusive)
	w.sources.err = errors.New("second")
	w.evaluate(Inconclusive)
	w.sources.err = nil
	step(day)
	second := w.evaluate(Fired)
	w.evaluate(Coalesced)
	w.fire(Request{Actor: "ann"}, Coalesced)
	w.fire(Request{Actor: "ann"}, Coalesced)
	var got []string
	for _, d := range w.stored() {
		got = append(got, d.Kind+" "+d.Outcome+" "+d.RunID)
		if d.Reason == "" || d.At.Before(start) {
			t.Errorf("%+v", d)
		}
	}
	want := []string{
		"new_data not_due ", "new_data fired " + first.RunID, "new_data coalesced " + first.RunID, "new_data cooldown ", "new_data inconclusive ",
		"new_data fired " + second.RunID, "new_data coalesced " + second.RunID, "manual coalesced " + second.RunID, "manual coalesced " + second.RunID,
	}
	if strings.Join(got, "; ") != strings.Join(want, "; ") {
		t.Errorf("stored\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func (w *world) policyOf() *Policy { return &w.d.Policies[0] }

func TestDryRun(t *testing.T) {
	w := due(t, Policy{Drift: &DriftPolicy{Windows: 1, Agree: 1, Share: 0.1}})
	w.reports = shares(0.5)
	dry, err := w.Evaluate(t.Context(), "churn", "ann", true)
	if err != nil || len(dry) != 2 || dry[0].Outcome != Fired || dry[1].Outcome != Coalesced {
		t.Errorf("%+v, %v", dry, err)
	}
	if len(w.stored()) != 0 || len(w.chain.begun) != 0 || w.chain.woken != 0 {
		t.Error("a dry run did something")
	}
	wet, err := w.Evaluate(t.Context(), "churn", "ann", false)
	if err != nil || wet[0].Outcome != Fired || wet[1].Outcome != Coalesced || wet[1].RunID != wet[0].RunID || len(w.chain.begun) != 1 || w.chain.woken != 1 {
		t.Errorf("%+v, %v", wet, err)
	}
}

// TestAtOnce: T2, from many goroutines and two services on one store.
func TestAtOnce(t *testing.T) {
	w := due(t, Policy{})
	other := newWorldOn(t, w.store, always(Policy{}))
	other.chain, other.Service.d.Chain = w.chain, w.chain
	other.change = w.change
	outcomes := make(chan string, 16)
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			s := []*world{w, other}[i%2]
			if i%4 == 0 {
				d, err := s.Fire(t.Context(), Request{Model: "churn", Actor: "ann"})
				outcomes <- d.Outcome
				if err != nil {
					t.Error(err)
				}
				return
			}
			d, err := s.Evaluate(t.Context(), "churn", "", false)
			if err != nil {
				t.Error(err)
			}
			outcomes <- d[0].Outcome
		})
	}
	all.Wait()
	close(outcomes)
	n := map[string]int{}
	for o := range outcomes {
		n[o]++
	}
	if n[Fired] != 1 || n[Coalesced] != 15 || len(w.chain.begun) != 1 {
		t.Errorf("%v, begun %d", n, len(w.chain.begun))
	}
}

// TestTogether: T1. What fails leaves neither a decision nor a run.
func TestTogether(t *testing.T) {
	w := due(t, Policy{})
	w.chain.err = errors.New("no trainer")
	if _, err := w.Evaluate(t.Context(), "churn", "", false); !errors.Is(err, w.chain.err) {
		t.Error(err)
	}
	w.chain.err = nil
	whole := w.d.Store
	w.d.Store = noDecisions{whole}
	if _, err := w.Fire(t.Context(), Request{Model: "churn"}); !errors.Is(err, errNoDecisions) {
		t.Error(err)
	}
	w.d.Store = whole
	if len(w.stored()) != 0 || w.chain.woken != 0 {
		t.Error("there is a decision")
	}
	err := whole.View(t.Context(), func(r store.Reader) error {
		rows, _, err := r.Workflows(store.WorkflowQuery{})
		if len(rows) != 0 {
			t.Errorf("there is a run: %+v", rows)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	w.fire(Request{}, Fired)
}

var errNoDecisions = errors.New("no decisions")

// noDecisions refuses decisions.
type noDecisions struct{ store.Store }

func (s noDecisions) Update(ctx context.Context, f func(store.Tx) error) error {
	return s.Store.Update(ctx, func(tx store.Tx) error { return f(noDecisionsTx{tx}) })
}

type noDecisionsTx struct{ store.Tx }

func (noDecisionsTx) PutDecision(store.Decision) (int64, error) { return 0, errNoDecisions }

func TestBadRequests(t *testing.T) {
	w := newWorld(t, Policy{Model: "churn"})
	for _, c := range []struct {
		r     Request
		want  error
		words string
	}{
		{Request{Model: "fraud"}, ErrUnknownModel, `"fraud" has no trigger policy; those with one: churn`},
		{Request{Model: "churn", Kind: Drift}, ErrInvalid, `kind "drift"`},
		{Request{Model: "churn", ComputeDate: "yesterday"}, ErrInvalid, `"yesterday"`},
		{Request{Model: "churn", Reason: strings.Repeat("a", 1001)}, ErrInvalid, "reason has 1001 bytes"},
		{Request{Model: "churn", Actor: "a\x00"}, ErrInvalid, "actor has a NUL"},
	} {
		if _, err := w.Fire(t.Context(), c.r); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%+v: %v", c.r, err)
		}
	}
	if _, err := w.Evaluate(t.Context(), "fraud", "", true); !errors.Is(err, ErrUnknownModel) {
		t.Error(err)
	}
	if _, err := w.List(t.Context(), "fraud"); !errors.Is(err, ErrUnknownModel) {
		t.Error(err)
	}
	if d, err := w.Evaluate(t.Context(), "churn", "", false); len(d) != 0 || err != nil {
		t.Error(d, err)
	}
}

func TestList(t *testing.T) {
	w := newWorld(t, Policy{
		Model: "churn", Cooldown: day, MaxPerWeek: 3, ProposeOnly: true, Schedule: true, MaxAge: 48 * hour,
		Drift: &DriftPolicy{Windows: 3, Agree: 2, Share: 0.3}, NewData: &NewDataPolicy{MinRows: 10}, Performance: &PerformancePolicy{MinRows: 7},
	}, Policy{Model: "fraud"})
	w.end(w.fire(Request{}, Fired), ResultAccepted)
	w.clock = start.Add(hour)
	all, err := w.List(t.Context(), "")
	if err != nil || len(all) != 12 {
		t.Fatal(len(all), err)
	}
	for i, kind := range []string{Manual, Scheduled, Drift, NewData, Performance, MaxAge} {
		c, f := all[i], all[i+6]
		if c.Kind != kind || !c.Enabled || c.Description == "off" || c.MaxPerWeek != 3 || c.FiredThisWeek != 1 || c.ProposeOnly != (kind != Manual) {
			t.Errorf("%+v", c)
		}
		if kind == Scheduled != c.CooldownUntil.IsZero() || !c.CooldownUntil.IsZero() && !c.CooldownUntil.Equal(start.Add(day)) {
			t.Errorf("%s may fire at %s", kind, c.CooldownUntil)
		}
		if (kind == Manual) != c.LastFiredAt.Equal(start) {
			t.Errorf("%+v", c)
		}
		if f.Model != "fraud" || f.Enabled != (kind == Manual) || f.FiredThisWeek != 0 {
			t.Errorf("%+v", f)
		}
	}
	if want := "when the drift share is at least 0.3 in 2 of the latest 3 batches of the Champion, the latest among them"; all[2].Description != want {
		t.Error(all[2].Description)
	}
	if want := "when the Champion's training is more than 2 days ago"; all[5].Description != want {
		t.Error(all[5].Description)
	}
}

// TestBackground runs the service against the clock of a bubble.
func TestBackground(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	synctest.Test(t, func(t *testing.T) {
		s, err := sqlite.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		src := &counting{}
		chain := &runs{ends: map[string]Outcome{}}
		service := New(Deps{
			Store: s, Chain: chain, Data: src, Interval: time.Minute,
			Policies: []Policy{{Model: "churn", NewData: &NewDataPolicy{MinRows: 1}}, {Model: "fraud", NewData: &NewDataPolicy{MinRows: 1}}},
		})
		if err := service.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := service.Start(t.Context()); err == nil {
			t.Error("started twice")
		}
		look := func(churn, fraud int) {
			t.Helper()
			synctest.Wait()
			src.mu.Lock()
			defer src.mu.Unlock()
			if src.n["churn"] != churn || src.n["fraud"] != fraud {
				t.Errorf("looked %v times, want %d and %d", src.n, churn, fraud)
			}
		}
		look(1, 1)
		time.Sleep(time.Minute - time.Second)
		look(1, 1)
		service.Wake("fraud")
		service.Wake("weather")
		look(1, 2)
		time.Sleep(2 * time.Second)
		look(2, 3)
		src.mu.Lock()
		src.due = true
		src.mu.Unlock()
		service.Wake("churn")
		look(3, 3)
		if len(chain.begun) != 1 || chain.begun[0].Model != "churn" || chain.begun[0].Actor != "trigger" || chain.begun[0].Trigger != NewData {
			t.Errorf("%+v", chain.begun)
		}
		if err := service.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		look(3, 3)
		if err := service.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

// counting is a DataSource that counts how often it is asked, by model.
type counting struct {
	mu  sync.Mutex
	n   map[string]int
	due bool
}

func (c *counting) Change(_ context.Context, model string) (DataChange, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int{}
	}
	c.n[model]++
	rows := int64(0)
	if c.due && model == "churn" {
		rows = 5
	}
	return DataChange{Rows: rows, Known: true}, nil
}
