package promotion_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/treeline-ml/treeline/lifecycle/audit"
	"github.com/treeline-ml/treeline/lifecycle/promotion"
	"github.com/treeline-ml/treeline/lifecycle/stage"
	"github.com/treeline-ml/treeline/lifecycle/version"
	"github.com/treeline-ml/treeline/registry"
	"github.com/treeline-ml/treeline/registry/local"
	"github.com/treeline-ml/treeline/registry/registrytest"
	"github.com/treeline-ml/treeline/store"
	"github.com/treeline-ml/treeline/store/sqlite"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("TREELINE_TEST_CHAOS_DIR"); dir != "" {
		chaosChild(dir, os.Getenv("TREELINE_TEST_CHAOS_SEED"))
		return
	}
	goleak.VerifyTestMain(m)
}

// verifier stands for the gates where a test decides what they say.
type verifier func(model string, version int64) (string, error)

func (v verifier) Verify(_ context.Context, model string, n int64) (string, error) {
	return v(model, n)
}

// world is the lifecycle on one directory.
type world struct {
	*promotion.Service

	store    store.Store
	registry registry.Registry
	versions *version.Service
	audit    *audit.Service
	ledger   *store.Ledger
	verdict  verifier // settable
	woken    int
	now      func() time.Time
}

// newWorld wires the services over s, which a test may have wrapped.
func newWorld(s store.Store, dir string) (*world, error) {
	r, err := local.Open(filepath.Join(dir, "registry"), local.Options{})
	if err != nil {
		return nil, err
	}
	w := &world{store: s, registry: r, now: time.Now, audit: audit.New(audit.Deps{Store: s}), ledger: store.NewLedger(s)}
	w.verdict = func(string, int64) (string, error) { return "agrees", nil }
	now := func() time.Time { return w.now() }
	w.versions = version.New(version.Deps{Store: s, Registry: r, Now: now})
	w.Service = promotion.New(promotion.Deps{
		Store: s, Registry: r, Now: now, Committed: func() { w.woken++ },
		Verifier: verifier(func(m string, v int64) (string, error) { return w.verdict(m, v) }),
	})
	return w, nil
}

func openWorld(ctx context.Context, dir string) (*world, error) {
	s, err := sqlite.Open(ctx, filepath.Join(dir, "state.db"))
	if err != nil {
		return nil, err
	}
	w, err := newWorld(s, dir)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return w, nil
}

func setup(t *testing.T) *world {
	t.Helper()
	w, err := openWorld(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.store.Close() })
	return w
}

// register adds a version; note tells artifacts of the one model file apart.
func (w *world) register(ctx context.Context, model, note string) (version.Version, error) {
	b, err := os.ReadFile("../../examples/churn/v2/model.txt")
	if err != nil {
		return version.Version{}, err
	}
	a, err := registrytest.Put(ctx, w.registry, []string{"model.txt", "note"}, registrytest.Files{"model.txt": b, "note": []byte(note)})
	if err != nil {
		return version.Version{}, err
	}
	v, _, err := w.versions.Register(ctx, version.RegisterRequest{Model: model, Artifact: a, ModelFile: "model.txt", Actor: "ann"})
	return v, err
}

// judge moves a Trained or Archived version as the gates would: stage, evidence and audit entry in one transaction.
func (w *world) judge(ctx context.Context, model string, n int64, to stage.Stage) error {
	return w.store.Update(ctx, func(tx store.Tx) error {
		v, err := tx.Version(model, n)
		if err != nil {
			return err
		}
		outcome := "pass"
		if to == stage.Rejected {
			outcome = "fail"
		}
		m, ok := stage.Find(stage.Stage(v.Stage), to)
		if !ok || m.Action == "waive" { // no gate does that
			return fmt.Errorf("%s to %s: %w", v.Stage, to, stage.ErrWrong)
		}
		e := store.Evidence{
			Model: model, Version: n, Outcome: outcome, Digest: fmt.Sprintf("sha256:%s-%d", outcome, n), At: w.now(),
			Report: fmt.Appendf(nil, `{"digest":%q}`, v.Digest),
		}
		if v.Stage != string(to) {
			err = tx.SetStage(model, n, v.Stage, string(to), w.now())
		}
		if err = errors.Join(err, tx.PutEvidence(e)); err != nil {
			return err
		}
		_, err = audit.Append(tx, audit.Entry{
			At: w.now(), Actor: "gate", Action: m.Action, Model: model, Version: n, FromStage: v.Stage, ToStage: string(to),
			EvidenceDigest: e.Digest,
		})
		return err
	})
}

// champion makes versions of churn and promotes them one after the other; it returns their numbers.
func (w *world) champions(t *testing.T, n int) {
	t.Helper()
	for range n {
		v := w.validated(t)
		if _, err := w.Promote(t.Context(), promotion.Request{Model: "churn", Version: v, Reason: "better", Actor: "ann"}); err != nil {
			t.Fatal(err)
		}
	}
}

// validated registers another version of churn and validates it.
func (w *world) validated(t *testing.T) int64 {
	t.Helper()
	v := w.trained(t)
	if err := w.judge(t.Context(), "churn", v, stage.Validated); err != nil {
		t.Fatal(err)
	}
	return v
}

func (w *world) trained(t *testing.T) int64 {
	t.Helper()
	all, err := w.versions.Versions(t.Context(), "churn")
	if err != nil && !errors.Is(err, store.ErrModelNotFound) {
		t.Fatal(err)
	}
	v, err := w.register(t.Context(), "churn", fmt.Sprint(len(all)))
	if err != nil {
		t.Fatal(err)
	}
	return v.Version
}

func (w *world) stages(t *testing.T) map[int64]stage.Stage {
	t.Helper()
	all, err := w.versions.Versions(t.Context(), "churn")
	if err != nil {
		t.Fatal(err)
	}
	out := map[int64]stage.Stage{}
	for _, v := range all {
		out[v.Version] = v.Stage
	}
	return out
}

// consistent checks everything that must hold at any moment, by replaying the audit log, which shares no code with the
// changes that wrote it.
func (w *world) consistent(ctx context.Context) error {
	res, err := w.audit.Verify(ctx)
	if err != nil || !res.Valid {
		return fmt.Errorf("audit chain: %+v: %w", res, err)
	}
	return w.store.View(ctx, func(r store.Reader) error {
		log := map[string][]store.AuditRow{}
		var moves, changes []int64 // seq of each move into or out of Champion, and of each change of a stage
		err := r.WalkAudit(func(a store.AuditRow) error {
			log[a.Model] = append(log[a.Model], a)
			if a.FromStage == "champion" || a.ToStage == "champion" {
				moves = append(moves, a.Seq)
			}
			if a.FromStage != a.ToStage {
				changes = append(changes, a.Seq)
			}
			return nil
		})
		if err != nil {
			return err
		}
		models, err := r.Models()
		if err != nil || len(models) != len(log) {
			return fmt.Errorf("%d models, %d in the audit log: %w", len(models), len(log), err)
		}
		for _, m := range models {
			if err := replay(r, m, log[m.Name]); err != nil {
				return fmt.Errorf("%s: %w", m.Name, err)
			}
		}
		rows, err := r.OutboxAll()
		keys := map[string][]int64{}
		for _, o := range rows {
			keys[o.Kind] = append(keys[o.Kind], o.Key)
		}
		if !slices.Equal(keys[promotion.OutboxKind], moves) || !slices.Equal(keys[audit.OutboxKind], changes) || len(keys) > 2 {
			return fmt.Errorf("outbox has %v, the audit log moves %v and changes %v: %w", keys, moves, changes, err)
		}
		return err
	})
}

func replay(r store.Reader, m store.Model, log []store.AuditRow) error {
	stages := map[int64]string{}
	var periods []store.Period
	for _, a := range log {
		if stages[a.Version] != a.FromStage {
			return fmt.Errorf("seq %d moves version %d from %s, it was %s", a.Seq, a.Version, a.FromStage, stages[a.Version])
		}
		if !stage.Allowed(stage.Stage(a.FromStage), stage.Stage(a.ToStage)) {
			return fmt.Errorf("seq %d moves version %d from %s to %s", a.Seq, a.Version, a.FromStage, a.ToStage)
		}
		stages[a.Version] = a.ToStage
		switch {
		case a.FromStage == "champion":
			last := &periods[len(periods)-1]
			if last.Version != a.Version || !last.Until.IsZero() {
				return fmt.Errorf("seq %d ends the reign of version %d, Champion was %d", a.Seq, a.Version, last.Version)
			}
			last.Until = a.At
		case a.ToStage == "champion":
			if n := len(periods); n > 0 && (periods[n-1].Until.IsZero() || !periods[n-1].Until.Equal(a.At)) {
				return fmt.Errorf("seq %d: two Champions, or none for a while", a.Seq)
			}
			periods = append(periods, store.Period{
				Version: a.Version, Generation: int64(len(periods) + 1), Since: a.At, Action: a.Action, AuditSeq: a.Seq,
				Reason: a.Reason, Actor: a.Actor,
			})
			if a.Generation != int64(len(periods)) {
				return fmt.Errorf("seq %d has generation %d, want %d", a.Seq, a.Generation, len(periods))
			}
		}
	}
	if m.Generation != int64(len(periods)) {
		return fmt.Errorf("generation is %d after %d changes", m.Generation, len(periods))
	}
	got, err := r.Periods(m.Name)
	if err != nil || len(got) != len(periods) {
		return fmt.Errorf("%d periods, want %d: %w", len(got), len(periods), err)
	}
	for i, p := range periods {
		g := got[len(got)-1-i]
		p.Model, p.Below = g.Model, g.Below
		if g != p {
			return fmt.Errorf("period %d is %+v, the audit log says %+v", i, g, p)
		}
	}
	versions, err := r.Versions(m.Name)
	if err != nil || len(versions) != len(stages) {
		return fmt.Errorf("%d versions, %d in the audit log: %w", len(versions), len(stages), err)
	}
	champions := 0
	for i, v := range versions {
		if v.Version != int64(len(versions)-i) {
			return fmt.Errorf("version %d at place %d", v.Version, i)
		}
		if v.Stage != stages[v.Version] {
			return fmt.Errorf("version %d is %s, the audit log says %s", v.Version, v.Stage, stages[v.Version])
		}
		if v.Stage == "champion" {
			champions++
		}
	}
	if want := min(len(periods), 1); champions != want {
		return fmt.Errorf("%d Champions, want %d", champions, want)
	}
	return nil
}
