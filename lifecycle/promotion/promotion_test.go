package promotion_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/treeline-ml/treeline/lifecycle/audit"
	"github.com/treeline-ml/treeline/lifecycle/promotion"
	"github.com/treeline-ml/treeline/lifecycle/stage"
	"github.com/treeline-ml/treeline/registry"
	"github.com/treeline-ml/treeline/store"
)

func ptr(n int64) *int64 { return &n }

func TestPromote(t *testing.T) {
	w := setup(t)
	ctx := t.Context()
	clock := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	w.now = func() time.Time { return clock }
	w.validated(t)
	w.validated(t)
	if _, _, err := w.Champion(ctx, "churn"); !errors.Is(err, store.ErrNoChampion) {
		t.Errorf("error is %v", err)
	}
	dry, err := w.Promote(ctx, promotion.Request{Model: "churn", Version: 1, Reason: "first", DryRun: true})
	if err != nil || dry.Generation != 1 || !dry.DryRun || dry.AuditSeq != 0 || len(dry.Effects) < 3 {
		t.Fatalf("%+v (%v)", dry, err)
	}
	if d := cmp.Diff(map[int64]stage.Stage{1: "validated", 2: "validated"}, w.stages(t)); d != "" || w.woken != 0 {
		t.Errorf("the dry run changed something\n%s", d)
	}

	first, err := w.Promote(ctx, promotion.Request{Model: "churn", Version: 1, Reason: "first", Actor: "ann", RequestID: "r1"})
	if err != nil {
		t.Fatal(err)
	}
	want := promotion.Change{
		Model: "churn", ToVersion: 1, Generation: 1, At: clock, AuditSeq: 5, AuditHash: first.AuditHash, Effects: first.Effects,
	}
	if d := cmp.Diff(want, first); d != "" {
		t.Error(d)
	}
	clock = clock.Add(time.Hour)
	second, err := w.Promote(ctx, promotion.Request{Model: "churn", Reason: "better", ExpectedGeneration: ptr(1), Actor: "bob"})
	if err != nil {
		t.Fatal(err)
	}
	want = promotion.Change{
		Model: "churn", FromVersion: 1, FromVersionStage: stage.Archived, ToVersion: 2, Generation: 2, At: clock, AuditSeq: 7,
		AuditHash: second.AuditHash, Effects: second.Effects,
	}
	if d := cmp.Diff(want, second); d != "" || w.woken != 2 {
		t.Error(d, w.woken)
	}
	if d := cmp.Diff(map[int64]stage.Stage{1: "archived", 2: "champion"}, w.stages(t)); d != "" {
		t.Error(d)
	}
	v, generation, err := w.Champion(ctx, "churn")
	if err != nil || v.Version != 2 || generation != 2 || v.Stage != stage.Champion {
		t.Error(v.Version, generation, err)
	}
	history, err := w.History(ctx, "churn")
	wantHistory := []promotion.Period{
		{Version: 2, Generation: 2, Since: clock, Actor: "bob", Reason: "better", Action: "promote"},
		{Version: 1, Generation: 1, Since: clock.Add(-time.Hour), Until: clock, Actor: "ann", Reason: "first", Action: "promote"},
	}
	if d := cmp.Diff(wantHistory, history); d != "" || err != nil {
		t.Error(d, err)
	}
	entries, _, err := w.audit.List(ctx, audit.Filter{PageSize: 2})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []audit.Entry{
		{Seq: 7, Action: "promote", Version: 2, FromStage: "validated", ToStage: "champion", EvidenceDigest: "sha256:pass-2"},
		{Seq: 6, Action: "archive", Version: 1, FromStage: "champion", ToStage: "archived"},
	} {
		want.At, want.Actor, want.AuthMethod, want.Model, want.Generation = clock, "bob", "none", "churn", 2
		want.Reason, want.PrevHash, want.Hash = "better", entries[i].PrevHash, entries[i].Hash
		if d := cmp.Diff(want, entries[i]); d != "" {
			t.Error(d)
		}
	}
	if second.AuditHash != entries[0].Hash {
		t.Error("the change has another hash than its entry")
	}
	if err := w.consistent(ctx); err != nil {
		t.Error(err)
	}
}

func TestPromoteRefuses(t *testing.T) {
	w := setup(t)
	ctx := t.Context()
	for range 6 {
		w.trained(t)
	}
	move := func(n int64, to stage.Stage) {
		t.Helper()
		if err := w.judge(ctx, "churn", n, to); err != nil {
			t.Fatal(err)
		}
	}
	promote := func(n int64) error {
		_, err := w.Promote(ctx, promotion.Request{Model: "churn", Version: n, Reason: "x"})
		return err
	}
	move(1, stage.Validated)
	move(2, stage.Validated)
	move(3, stage.Rejected)
	move(5, stage.Validated)
	if err := errors.Join(promote(1), promote(2), promote(5)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.Rollback(ctx, promotion.RollbackRequest{Model: "churn", Reason: "bad"}); err != nil {
		t.Fatal(err) // 2 is Champion again, 5 is quarantined
	}
	before := w.stages(t)
	for n, text := range map[int64]string{
		1: "Archived", 2: "is Champion", 3: "Rejected", 4: "ctl validate churn --version 4", 5: "Quarantined", 0: "no version is Validated",
	} {
		if err := promote(n); !errors.Is(err, promotion.ErrWrongStage) || !errors.Is(err, stage.ErrWrong) || !strings.Contains(err.Error(), text) {
			t.Errorf("version %d: error is %v, want %q", n, err, text)
		}
	}
	for name, c := range map[string]struct {
		r    promotion.Request
		want error
	}{
		"no reason":       {promotion.Request{Model: "churn", Version: 4}, promotion.ErrInvalid},
		"blank reason":    {promotion.Request{Model: "churn", Version: 4, Reason: " \n"}, promotion.ErrInvalid},
		"model":           {promotion.Request{Model: "x", Version: 4, Reason: "x"}, store.ErrModelNotFound},
		"version":         {promotion.Request{Model: "churn", Version: 7, Reason: "x"}, store.ErrVersionNotFound},
		"generation":      {promotion.Request{Model: "churn", Version: 4, Reason: "x", ExpectedGeneration: ptr(1)}, promotion.ErrGeneration},
		"generation, dry": {promotion.Request{Model: "churn", Version: 4, Reason: "x", ExpectedGeneration: ptr(9), DryRun: true}, promotion.ErrGeneration},
	} {
		if _, err := w.Promote(ctx, c.r); !errors.Is(err, c.want) {
			t.Errorf("%s: error is %v, want %v", name, err, c.want)
		}
	}
	move(6, stage.Validated)
	if _, err := w.Promote(ctx, promotion.Request{Model: "churn", Reason: strings.Repeat("x", 5000)}); !errors.Is(err, audit.ErrInvalid) {
		t.Errorf("long reason: error is %v", err)
	}
	before[6] = stage.Validated
	if d := cmp.Diff(before, w.stages(t)); d != "" {
		t.Errorf("a refusal changed something\n%s", d)
	}
	if err := w.consistent(ctx); err != nil {
		t.Error(err)
	}
}

// TestPromoteNeedsPassingEvidence: a Validated version that was looked at again without a clear result stays Validated,
// but is not promoted on the strength of the older report.
func TestPromoteNeedsPassingEvidence(t *testing.T) {
	w := setup(t)
	v := w.validated(t)
	err := w.store.Update(t.Context(), func(tx store.Tx) error {
		return tx.PutEvidence(store.Evidence{Model: "churn", Version: v, Outcome: "inconclusive", At: w.now()})
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Promote(t.Context(), promotion.Request{Model: "churn", Reason: "x"})
	if !errors.Is(err, promotion.ErrWrongStage) || !strings.Contains(err.Error(), "inconclusive") {
		t.Fatalf("error is %v", err)
	}
}

func TestPromoteChecksTheBytes(t *testing.T) {
	w := setup(t)
	v := w.validated(t)
	w.damage(t, v)
	_, err := w.Promote(t.Context(), promotion.Request{Model: "churn", Reason: "x"})
	if !errors.Is(err, registry.ErrDigest) {
		t.Fatalf("error is %v", err)
	}
	if s := w.stages(t)[v]; s != stage.Validated {
		t.Errorf("version is %s", s)
	}
}

// damage alters a stored file of a version.
func (w *world) damage(t *testing.T, n int64) {
	t.Helper()
	v, err := w.versions.Get(t.Context(), "churn", n)
	if err != nil {
		t.Fatal(err)
	}
	dir, _, err := w.registry.Fetch(t.Context(), v.Digest)
	if err != nil {
		t.Fatal(err)
	}
	note := filepath.Join(dir, "note")
	if err := errors.Join(os.Remove(note), os.WriteFile(note, []byte("changed"), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func TestConcurrentPromoters(t *testing.T) {
	w := setup(t)
	ctx := t.Context()
	w.champions(t, 1)
	const promoters = 64
	for range promoters / 4 {
		w.validated(t)
	}
	type answer struct {
		who string
		c   promotion.Change
		err error
	}
	answers := make(chan answer, promoters)
	begin := make(chan struct{})
	// Committed is not safe for concurrent use in this world; the promoters get services of their own.
	for i := range promoters {
		svc := promotion.New(promotion.Deps{Store: w.store, Registry: w.registry})
		go func() {
			<-begin
			who := fmt.Sprintf("promoter-%d", i)
			c, err := svc.Promote(ctx, promotion.Request{
				Model: "churn", Version: int64(2 + i%(promoters/4)), Reason: "mine", ExpectedGeneration: ptr(1), Actor: who,
			})
			answers <- answer{who, c, err}
		}()
	}
	close(begin)
	var winner string
	var losers []error
	for range promoters {
		a := <-answers
		if a.err == nil {
			if winner != "" {
				t.Errorf("both %s and %s won", winner, a.who)
			}
			winner = a.who
			if a.c.Generation != 2 {
				t.Errorf("generation is %d, want 2", a.c.Generation)
			}
		} else {
			losers = append(losers, a.err)
		}
	}
	if winner == "" || len(losers) != promoters-1 {
		t.Fatalf("winner %q, %d losers", winner, len(losers))
	}
	for _, err := range losers {
		if !errors.Is(err, promotion.ErrGeneration) || !strings.Contains(err.Error(), winner) || !strings.Contains(err.Error(), "generation 2, expected 1") {
			t.Errorf("error is %v, want %v with the name of %s", err, promotion.ErrGeneration, winner)
		}
	}
	if err := w.consistent(ctx); err != nil {
		t.Error(err)
	}
}

func TestRollbackWalksTheHistory(t *testing.T) {
	for _, keep := range []bool{false, true} {
		t.Run(fmt.Sprint("keep ", keep), func(t *testing.T) {
			w := setup(t)
			ctx := t.Context()
			w.champions(t, 3)
			gone := stage.Quarantined
			if keep {
				gone = stage.Archived
			}
			for _, want := range []map[int64]stage.Stage{
				{1: "archived", 2: "champion", 3: gone},
				{1: "champion", 2: gone, 3: gone},
			} {
				c, _, err := w.Rollback(ctx, promotion.RollbackRequest{Model: "churn", Reason: "bad", Keep: keep, Actor: "ann"})
				if err != nil {
					t.Fatal(err)
				}
				if c.FromVersionStage != gone || !slices.ContainsFunc(c.Effects, func(s string) bool { return strings.Contains(s, "agrees") }) {
					t.Errorf("change is %+v", c)
				}
				if d := cmp.Diff(want, w.stages(t)); d != "" {
					t.Fatal(d)
				}
			}
			_, _, err := w.Rollback(ctx, promotion.RollbackRequest{Model: "churn", Reason: "bad", Keep: keep})
			if !errors.Is(err, promotion.ErrNoEarlier) {
				t.Errorf("error is %v, want %v", err, promotion.ErrNoEarlier)
			}
			// A new version goes on top of where the rollbacks ended.
			v := w.validated(t)
			if _, err := w.Promote(ctx, promotion.Request{Model: "churn", Reason: "good"}); err != nil {
				t.Fatal(err)
			}
			c, _, err := w.Rollback(ctx, promotion.RollbackRequest{Model: "churn", Reason: "no"})
			if err != nil || c.FromVersion != v || c.ToVersion != 1 || c.Generation != 7 {
				t.Errorf("%+v (%v)", c, err)
			}
			if err := w.consistent(ctx); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRollbackPassesOver(t *testing.T) {
	w := setup(t)
	ctx := t.Context()
	w.champions(t, 4)
	// 4 -> 2 by name quarantines 4. From 2 the way down is 1; 3 was never below it.
	c, _, err := w.Rollback(ctx, promotion.RollbackRequest{Model: "churn", To: 2, Reason: "x", Keep: true})
	if err != nil || c.ToVersion != 2 || c.FromVersion != 4 {
		t.Fatalf("%+v (%v)", c, err)
	}
	// Forward again to 4, which was kept: its old place has 3 below it, and 3 is rejected meanwhile.
	if c, _, err = w.Rollback(ctx, promotion.RollbackRequest{Model: "churn", To: 4, Reason: "x", Keep: true}); err != nil || c.ToVersion != 4 {
		t.Fatalf("%+v (%v)", c, err)
	}
	if err := w.judge(ctx, "churn", 3, stage.Rejected); err != nil {
		t.Fatal(err)
	}
	c, _, err = w.Rollback(ctx, promotion.RollbackRequest{Model: "churn", Reason: "x", DryRun: true})
	if err != nil || c.ToVersion != 2 || !slices.Contains(c.Effects, "version 3 is Rejected and is passed over") {
		t.Fatalf("%+v (%v)", c, err)
	}
	for n, text := range map[int64]string{3: "Rejected", 4: "is Champion", 5: "", 6: ""} {
		want := promotion.ErrWrongStage
		if n == 5 {
			w.trained(t)
			text = "never Champion"
		}
		if n == 6 {
			want = store.ErrVersionNotFound
		}
		if _, _, err := w.Rollback(ctx, promotion.RollbackRequest{Model: "churn", To: n, Reason: "x"}); !errors.Is(err, want) || !strings.Contains(err.Error(), text) {
			t.Errorf("to %d: error is %v, want %v with %q", n, err, want, text)
		}
	}
	if err := w.consistent(ctx); err != nil {
		t.Error(err)
	}
}

func TestRollbackRefuses(t *testing.T) {
	w := setup(t)
	ctx := t.Context()
	roll := func(r promotion.RollbackRequest) error {
		r.Model = "churn"
		_, _, err := w.Rollback(ctx, r)
		return err
	}
	if err := roll(promotion.RollbackRequest{Reason: "x"}); !errors.Is(err, store.ErrModelNotFound) {
		t.Error(err)
	}
	w.validated(t)
	if err := roll(promotion.RollbackRequest{Reason: "x"}); !errors.Is(err, store.ErrNoChampion) {
		t.Error(err)
	}
	w.champions(t, 2)
	if err := roll(promotion.RollbackRequest{}); !errors.Is(err, promotion.ErrInvalid) {
		t.Error(err)
	}
	if err := roll(promotion.RollbackRequest{Reason: "x", ExpectedGeneration: ptr(1)}); !errors.Is(err, promotion.ErrGeneration) {
		t.Error(err)
	}
	doubt := errors.New("margins differ")
	w.verdict = func(string, int64) (string, error) { return "", doubt }
	if err := roll(promotion.RollbackRequest{Reason: "x"}); !errors.Is(err, doubt) {
		t.Error(err)
	}
	// Someone promotes while the target is being checked.
	w.verdict = func(string, int64) (string, error) {
		w.champions(t, 1)
		return "agrees", nil
	}
	if err := roll(promotion.RollbackRequest{Reason: "x"}); !errors.Is(err, promotion.ErrGeneration) || !strings.Contains(err.Error(), "ann promoted version 4") {
		t.Error(err)
	}
	w.verdict = func(string, int64) (string, error) { return "agrees", nil }
	w.damage(t, 3)
	if err := roll(promotion.RollbackRequest{Reason: "x"}); !errors.Is(err, registry.ErrDigest) {
		t.Error(err)
	}
	if d := cmp.Diff(map[int64]stage.Stage{1: "validated", 2: "archived", 3: "archived", 4: "champion"}, w.stages(t)); d != "" {
		t.Error(d)
	}
	if err := w.consistent(ctx); err != nil {
		t.Error(err)
	}
}

func TestRollbackListsAffectedBatches(t *testing.T) {
	w := setup(t)
	ctx := t.Context()
	clock := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	w.now = func() time.Time { clock = clock.Add(time.Minute); return clock }
	batch := func(id string, v, generation int64, state, phase string) {
		t.Helper()
		b, err := w.ledger.BeginBatch(ctx, store.BatchRow{
			ID: id, StartedAt: w.now(), Lineage: store.Lineage{ModelName: "churn", ModelVersion: v, Generation: generation},
		})
		if err != nil {
			t.Fatal(err)
		}
		b.State, b.Phase = state, phase
		if err := w.ledger.FinishBatch(ctx, b); err != nil {
			t.Fatal(err)
		}
	}
	w.champions(t, 1)
	v2 := w.validated(t)
	batch("b0", v2, 1, store.BatchSucceeded, store.PhaseDone) // by number, before its promotion
	batch("b1", 1, 1, store.BatchSucceeded, store.PhaseDone)
	if _, err := w.Promote(ctx, promotion.Request{Model: "churn", Reason: "x"}); err != nil {
		t.Fatal(err)
	}
	batch("b2", v2, 2, store.BatchSucceeded, store.PhaseDone)
	batch("b3", v2, 2, store.BatchFailed, store.PhaseScore)
	batch("b4", 1, 2, store.BatchSucceeded, store.PhaseDone)
	w.champions(t, 1)
	if _, _, err := w.Rollback(ctx, promotion.RollbackRequest{Model: "churn", Reason: "x"}); err != nil {
		t.Fatal(err)
	}
	batch("b5", v2, 4, store.BatchInterrupted, store.PhaseCommit)
	want := []string{"b2", "b5"} // of both its reigns
	for _, dry := range []bool{true, false} {
		c, affected, err := w.Rollback(ctx, promotion.RollbackRequest{Model: "churn", Reason: "x", DryRun: dry})
		if err != nil || c.FromVersion != v2 || !slices.Equal(affected, want) {
			t.Errorf("affected %v, want %v; %+v (%v)", affected, want, c, err)
		}
	}
}

// TestClockGoesBack: periods stay in order whatever the clock does.
func TestClockGoesBack(t *testing.T) {
	w := setup(t)
	clock := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	w.now = func() time.Time { clock = clock.Add(-time.Hour); return clock }
	w.champions(t, 3)
	history, err := w.History(t.Context(), "churn")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range history {
		if !p.Until.IsZero() && p.Until.Before(p.Since) {
			t.Errorf("period from %s to %s", p.Since, p.Until)
		}
	}
	if err := w.consistent(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestCancelled(t *testing.T) {
	w := setup(t)
	v := w.validated(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Promote(ctx, promotion.Request{Model: "churn", Reason: "x"}); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	if s := w.stages(t)[v]; s != stage.Validated {
		t.Errorf("version is %s", s)
	}
}

// TestDryRunOfAWaiver: what forcing a version would do is told without doing it, and refused where forcing would be.
func TestDryRunOfAWaiver(t *testing.T) {
	w := setup(t)
	ctx := t.Context()
	w.champions(t, 1)
	v := w.trained(t)
	row, err := w.versions.Get(ctx, "churn", v)
	if err != nil {
		t.Fatal(err)
	}
	put := func(digest string) {
		t.Helper()
		err := w.store.Update(ctx, func(tx store.Tx) error {
			return tx.PutEvidence(store.Evidence{
				Model: "churn", Version: v, Outcome: "fail", At: w.now(), Report: fmt.Appendf(nil, `{"digest":%q}`, digest),
			})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	ask := promotion.Request{Model: "churn", Version: v, Reason: "x", DryRun: true, Waived: true}
	put(row.Digest)
	before := w.stages(t)
	c, err := w.Promote(ctx, ask)
	if err != nil || c.FromVersion != 1 || c.ToVersion != v || c.Generation != 2 || !strings.Contains(c.Effects[0], "now Trained") {
		t.Errorf("%+v (%v)", c, err)
	}
	lost := ask
	lost.ExpectedGeneration = ptr(7)
	if _, err := w.Promote(ctx, lost); !errors.Is(err, promotion.ErrGeneration) {
		t.Errorf("with another generation the error is %v", err)
	}
	wet := ask
	wet.DryRun = false
	if _, err := w.Promote(ctx, wet); !errors.Is(err, promotion.ErrWrongStage) {
		t.Errorf("without a dry run the error is %v", err)
	}
	champion := ask
	champion.Version = 1
	if _, err := w.Promote(ctx, champion); !errors.Is(err, promotion.ErrWrongStage) {
		t.Errorf("for the Champion the error is %v", err)
	}
	put("sha256:other")
	if _, err := w.Promote(ctx, ask); !errors.Is(err, promotion.ErrWrongStage) || !strings.Contains(err.Error(), "is about the files") {
		t.Errorf("with evidence about other files the error is %v", err)
	}
	if d := cmp.Diff(before, w.stages(t)); d != "" {
		t.Error(d)
	}
}

// Evidence proves what the configuration asked for when it was made, and the files that were there.
func TestPromoteRefusesOldEvidence(t *testing.T) {
	w := setup(t)
	v := w.validated(t)
	policy := "sha256:today"
	s := promotion.New(promotion.Deps{
		Store: w.store, Registry: w.registry, Verifier: w.verdict, Now: w.now, Policy: func(string) string { return policy },
	})
	put := func(report string) {
		t.Helper()
		err := w.store.Update(t.Context(), func(tx store.Tx) error {
			return tx.PutEvidence(store.Evidence{Model: "churn", Version: v, Outcome: "pass", Digest: "sha256:e", Report: []byte(report), At: w.now()})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	row, err := w.versions.Get(t.Context(), "churn", v)
	if err != nil {
		t.Fatal(err)
	}
	promote := func() error {
		_, err := s.Promote(t.Context(), promotion.Request{Model: "churn", Version: v, Reason: "x"})
		return err
	}
	for _, c := range []struct{ report, want string }{
		{fmt.Sprintf(`{"digest":%q,"policy":"sha256:yesterday"}`, row.Digest), "the model's configuration changed since"},
		{`{"digest":"sha256:other","policy":"sha256:today"}`, "it is about the files"},
	} {
		put(c.report)
		if err := promote(); !errors.Is(err, promotion.ErrWrongStage) || !strings.Contains(err.Error(), c.want) ||
			!strings.Contains(err.Error(), "ctl validate churn --version 1") {
			t.Errorf("evidence %s: %v, want %q", c.report, err, c.want)
		}
	}
	put(fmt.Sprintf(`{"digest":%q,"policy":"sha256:today"}`, row.Digest))
	if err := promote(); err != nil {
		t.Error(err)
	}
}
