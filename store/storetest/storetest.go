// Package storetest is the suite that every store.Store passes.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/treeline-ml/treeline/store"
)

// Open opens the store that belongs to dir. Opening the same dir again, after Close, shows the same state.
type Open func(t testing.TB, dir string) store.Store

// Run runs the suite.
func Run(t *testing.T, open Open) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, Open){
		"models and versions":        testVersions,
		"stages compare and set":     testStages,
		"one champion":               testOneChampion,
		"periods":                    testPeriods,
		"audit continues":            testAudit,
		"evidence":                   testEvidence,
		"outbox":                     testOutbox,
		"dead letters":               testDeadLetters,
		"alerts":                     testAlerts,
		"created versions":           testCreated,
		"trainings":                  testTrainings,
		"training pages":             testTrainingPages,
		"workflows":                  testWorkflows,
		"workflow journal":           testWorkflowJournal,
		"decisions":                  testDecisions,
		"schedules":                  testSchedules,
		"statistics and drift":       testStatistics,
		"rollback":                   testRollback,
		"view is a snapshot":         testSnapshot,
		"concurrent updates":         testConcurrent,
		"reopen":                     testReopen,
		"batch round trip":           testBatch,
		"batch attempts":             testBatchAttempts,
		"batch pages":                testBatchPages,
		"batches of a version":       testBatchesOf,
		"running batches at restart": testInterrupted,
		"page tokens":                testPageTokens,
		"times":                      testTimes,
		"cancelled context":          testCancelled,
		"closed":                     testClosed,
	} {
		t.Run(name, func(t *testing.T) { test(t, open) })
	}
}

// What most rows of the suite name.
const (
	model   = "churn"
	actor   = "ann"
	promote = "promote"
)

// t0 is the time at which the suite's rows happen.
var t0 = time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)

func start(t *testing.T, open Open) store.Store {
	t.Helper()
	s := open(t, t.TempDir())
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func update(t *testing.T, s store.Store, f func(store.Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), f); err != nil {
		t.Fatalf("update: %v", err)
	}
}

func view(t *testing.T, s store.Store, f func(store.Reader) error) {
	t.Helper()
	if err := s.View(t.Context(), f); err != nil {
		t.Fatalf("view: %v", err)
	}
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error is %v, want %v", err, want)
	}
}

func same(t *testing.T, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.EquateNaNs()); d != "" {
		t.Fatalf("(-want +got)\n%s", d)
	}
}

func newVersion(model string, n int64) store.Version {
	return store.Version{
		Model: model, Version: n, Stage: "trained", StageAt: t0, Digest: fmt.Sprintf("sha256:%064x", n),
		ModelFile: "model.txt", GoldenFile: "golden.parquet", Format: "lightgbm-text", Library: "lightgbm",
		LibraryVersion: "v4", Objective: "binary sigmoid:1", Features: 11, Trees: 200, RunID: "run-1", GitSHA: "abc",
		TrainedAt: t0.Add(-time.Hour), RegisteredAt: t0, RegisteredBy: actor, TrainingID: "t-1", HoldoutFile: "h.parquet",
		Metrics: map[string]float64{"auc": .8}, RegistryVersion: "12",
		Tags: map[string]string{"team": "growth", "ö": "\"quoted\"\n"},
	}
}

func insert(tx store.Tx, v store.Version) error {
	if err := tx.EnsureModel(v.Model, t0); err != nil {
		return err
	}
	return tx.InsertVersion(v)
}

// link makes an audit row that continues the chain. The store does not compute hashes; any 64 digits do.
func link(tx store.Tx, r store.AuditRow) (store.AuditRow, error) {
	head, err := tx.AuditHead()
	if err != nil {
		return r, err
	}
	r.Seq, r.PrevHash, r.Hash = head.Seq+1, head.Hash, fmt.Sprintf("%064x", head.Seq+1)
	return r, tx.AppendAudit(r)
}

func testVersions(t *testing.T, open Open) {
	s := start(t, open)
	view(t, s, func(r store.Reader) error {
		models, err := r.Models()
		same(t, models, []store.Model(nil))
		_, missing := r.Model(model)
		wantErr(t, missing, store.ErrModelNotFound)
		_, missing = r.Versions(model)
		wantErr(t, missing, store.ErrModelNotFound)
		_, missing = r.Version(model, 1)
		wantErr(t, missing, store.ErrModelNotFound)
		_, missing = r.NewestVersion(model, "trained")
		wantErr(t, missing, store.ErrModelNotFound)
		return err
	})
	v1, v2, other := newVersion(model, 1), newVersion(model, 2), newVersion("alpha", 1)
	v2.Tags, v2.TrainedAt, v2.GoldenFile = nil, time.Time{}, ""
	update(t, s, func(tx store.Tx) error {
		for _, v := range []store.Version{v1, v2, other} {
			if err := insert(tx, v); err != nil {
				return err
			}
		}
		n, err := tx.NextVersion(model)
		same(t, n, int64(3))
		return err
	})
	view(t, s, func(r store.Reader) error {
		got, err := r.Versions(model)
		same(t, got, []store.Version{v2, v1})
		one, err1 := r.Version(model, 1)
		same(t, one, v1)
		newest, err2 := r.NewestVersion(model, "trained")
		same(t, newest, v2)
		file, err4 := r.ModelFile(v1.Digest)
		same(t, file, v1.ModelFile)
		_, missing := r.ModelFile("sha256:other")
		wantErr(t, missing, store.ErrVersionNotFound)
		_, missing = r.NewestVersion(model, "validated")
		wantErr(t, missing, store.ErrVersionNotFound)
		_, missing = r.Version(model, 9)
		wantErr(t, missing, store.ErrVersionNotFound)
		models, err3 := r.Models()
		same(t, models, []store.Model{
			{Name: "alpha", CreatedAt: t0, Versions: 1, Latest: 1},
			{Name: model, CreatedAt: t0, Versions: 2, Latest: 2},
		})
		return errors.Join(err, err1, err2, err3, err4)
	})

	// A number is never given twice and none is left out; equal bytes are one version unless it was of no use.
	for _, bad := range []int64{1, 2, 4} {
		v := newVersion(model, bad)
		v.Digest = "sha256:new"
		wantErr(t, s.Update(t.Context(), func(tx store.Tx) error { return insert(tx, v) }), store.ErrConflict)
	}
	again := newVersion(model, 3)
	again.Digest = v1.Digest
	wantErr(t, s.Update(t.Context(), func(tx store.Tx) error { return insert(tx, again) }), store.ErrConflict)
	update(t, s, func(tx store.Tx) error {
		if err := tx.SetStage(model, 1, "trained", "rejected", t0); err != nil {
			return err
		}
		_, missing := tx.VersionByDigest(model, v1.Digest, "rejected", "failed")
		wantErr(t, missing, store.ErrVersionNotFound)
		if err := insert(tx, again); err != nil {
			return err
		}
		got, err := tx.VersionByDigest(model, v1.Digest)
		same(t, got, again)
		return err
	})
}

func testStages(t *testing.T, open Open) {
	s := start(t, open)
	later := t0.Add(time.Minute)
	update(t, s, func(tx store.Tx) error { return insert(tx, newVersion(model, 1)) })
	update(t, s, func(tx store.Tx) error {
		if err := tx.SetStage(model, 1, "trained", "validated", later); err != nil {
			return err
		}
		wantErr(t, tx.SetStage(model, 1, "trained", "rejected", later), store.ErrConflict)
		wantErr(t, tx.SetStage(model, 2, "trained", "rejected", later), store.ErrVersionNotFound)
		wantErr(t, tx.SetStage("x", 2, "trained", "rejected", later), store.ErrModelNotFound)
		v, err := tx.Version(model, 1)
		same(t, v.Stage, "validated")
		same(t, v.StageAt, later)
		return err
	})
	wantErr(t, s.Update(t.Context(), func(tx store.Tx) error {
		return tx.SetStage(model, 1, "validated", "no such stage", later)
	}), store.ErrConflict)
	update(t, s, func(tx store.Tx) error {
		if err := tx.SetGeneration(model, 0, 1); err != nil {
			return err
		}
		wantErr(t, tx.SetGeneration(model, 0, 1), store.ErrConflict)
		wantErr(t, tx.SetGeneration("x", 0, 1), store.ErrModelNotFound)
		m, err := tx.Model(model)
		same(t, m.Generation, int64(1))
		return err
	})
}

func testOneChampion(t *testing.T, open Open) {
	s := start(t, open)
	update(t, s, func(tx store.Tx) error {
		for n := int64(1); n <= 2; n++ {
			if err := insert(tx, newVersion(model, n)); err != nil {
				return err
			}
		}
		if err := insert(tx, newVersion("other", 1)); err != nil {
			return err
		}
		return errors.Join(tx.SetStage(model, 1, "trained", "champion", t0),
			tx.SetStage("other", 1, "trained", "champion", t0))
	})
	wantErr(t, s.Update(t.Context(), func(tx store.Tx) error {
		return tx.SetStage(model, 2, "trained", "champion", t0)
	}), store.ErrConflict)
	view(t, s, func(r store.Reader) error {
		m, err := r.Model(model)
		same(t, m.Champion, int64(1))
		return err
	})
}

func testPeriods(t *testing.T, open Open) {
	s := start(t, open)
	var p1, p2 store.Period
	update(t, s, func(tx store.Tx) error {
		for n := int64(1); n <= 2; n++ {
			if err := insert(tx, newVersion(model, n)); err != nil {
				return err
			}
		}
		_, missing := tx.OpenPeriod("x")
		wantErr(t, missing, store.ErrModelNotFound)
		_, missing = tx.OpenPeriod(model)
		wantErr(t, missing, store.ErrNoChampion)
		wantErr(t, tx.EndPeriod(model, t0), store.ErrNoChampion)
		a, err := link(tx, store.AuditRow{At: t0, Action: promote, Model: model, Version: 1})
		if err != nil {
			return err
		}
		p1 = store.Period{
			Model: model, Generation: 1, Version: 1, Since: t0, Action: promote, Actor: actor,
			Reason: "first", AuditSeq: a.Seq,
		}
		return tx.BeginPeriod(p1)
	})
	p2 = store.Period{
		Model: model, Generation: 2, Version: 2, Below: 1, Since: t0.Add(time.Hour), Action: "rollback",
		Actor: "bob", Reason: "second", AuditSeq: p1.AuditSeq,
	}
	wantErr(t, s.Update(t.Context(), func(tx store.Tx) error { return tx.BeginPeriod(p2) }), store.ErrConflict)
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tx.EndPeriod(model, p2.Since), tx.BeginPeriod(p2))
	})
	view(t, s, func(r store.Reader) error {
		closed := p1
		closed.Until = p2.Since
		got, err := r.Periods(model)
		same(t, got, []store.Period{p2, closed})
		open, err2 := r.OpenPeriod(model)
		same(t, open, p2)
		_, missing := r.Periods("x")
		wantErr(t, missing, store.ErrModelNotFound)
		return errors.Join(err, err2)
	})
}

func testAudit(t *testing.T, open Open) {
	s := start(t, open)
	var rows []store.AuditRow
	for i := range 7 {
		update(t, s, func(tx store.Tx) error {
			r, err := link(tx, store.AuditRow{
				At: t0.Add(time.Duration(i) * time.Second), Actor: actor, AuthMethod: "none", Action: []string{"register", promote}[i%2],
				Model: []string{"a", "b"}[i/4], Version: int64(i), FromStage: "x", ToStage: "y", Generation: 4,
				Reason: "be\"cause\n", EvidenceDigest: "sha256:e", RequestID: "r",
			})
			rows = append([]store.AuditRow{r}, rows...)
			return err
		})
	}
	for what, bad := range map[string]store.AuditRow{
		"number taken":   {Seq: 7, PrevHash: rows[0].PrevHash, Hash: strings.Repeat("a", 64)},
		"number skipped": {Seq: 9, PrevHash: rows[0].Hash, Hash: strings.Repeat("a", 64)},
		"other link":     {Seq: 8, PrevHash: rows[1].Hash, Hash: strings.Repeat("a", 64)},
	} {
		err := s.Update(t.Context(), func(tx store.Tx) error { return tx.AppendAudit(bad) })
		if !errors.Is(err, store.ErrConflict) {
			t.Errorf("%s: error is %v, want %v", what, err, store.ErrConflict)
		}
	}
	view(t, s, func(r store.Reader) error {
		head, err := r.AuditHead()
		same(t, head, store.AuditHead{Seq: 7, Hash: rows[0].Hash})
		all, next, err2 := r.Audit(store.AuditQuery{})
		same(t, all, rows)
		same(t, next, "")
		b, _, err3 := r.Audit(store.AuditQuery{Model: "b"})
		same(t, b, rows[:3])
		p, _, err4 := r.Audit(store.AuditQuery{Model: "a", Action: promote})
		same(t, p, []store.AuditRow{rows[3], rows[5]})
		v, _, err5 := r.Audit(store.AuditQuery{Version: 2})
		same(t, v, []store.AuditRow{rows[4]})
		var paged []store.AuditRow
		token := ""
		for {
			page, next, err := r.Audit(store.AuditQuery{PageSize: 3, PageToken: token})
			if err != nil {
				return err
			}
			paged = append(paged, page...)
			if token = next; token == "" {
				break
			}
		}
		same(t, paged, rows)
		var walked []store.AuditRow
		err6 := r.WalkAudit(func(a store.AuditRow) error {
			walked = append([]store.AuditRow{a}, walked...)
			return nil
		})
		same(t, walked, rows)
		stop := errors.New("stop")
		wantErr(t, r.WalkAudit(func(store.AuditRow) error { return stop }), stop)
		return errors.Join(err, err2, err3, err4, err5, err6)
	})
}

func testEvidence(t *testing.T, open Open) {
	s := start(t, open)
	update(t, s, func(tx store.Tx) error {
		return errors.Join(insert(tx, newVersion(model, 1)), insert(tx, newVersion(model, 2)))
	})
	e := store.Evidence{
		Model: model, Version: 1, Outcome: "inconclusive", Digest: "sha256:1", Report: []byte(`{"a":1}`), At: t0,
		Actor: actor,
	}
	later := e
	later.Outcome, later.Report = "pass", []byte(`{"a":2}`)
	update(t, s, func(tx store.Tx) error {
		_, missing := tx.Evidence(model, 0)
		wantErr(t, missing, store.ErrNoEvidence)
		return errors.Join(tx.PutEvidence(e), tx.PutEvidence(later))
	})
	view(t, s, func(r store.Reader) error {
		for _, n := range []int64{0, 1} {
			got, err := r.Evidence(model, n)
			if err != nil {
				return err
			}
			got.ID = 0
			same(t, got, later)
		}
		_, missing := r.Evidence(model, 2)
		wantErr(t, missing, store.ErrNoEvidence)
		_, missing = r.Evidence(model, 3)
		wantErr(t, missing, store.ErrVersionNotFound)
		_, missing = r.Evidence("x", 0)
		wantErr(t, missing, store.ErrModelNotFound)
		return nil
	})
}

func testOutbox(t *testing.T, open Open) {
	s := start(t, open)
	var ids []int64
	for i := range 5 {
		update(t, s, func(tx store.Tx) error {
			id, err := tx.Enqueue(store.OutboxRow{Kind: "k", Key: int64(i), Payload: []byte{byte(i)}, CreatedAt: t0})
			ids = append(ids, id)
			return err
		})
	}
	wantErr(t, s.Update(t.Context(), func(tx store.Tx) error {
		_, err := tx.Enqueue(store.OutboxRow{Kind: "k", Key: 4, CreatedAt: t0})
		return err
	}), store.ErrConflict)
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tx.Delivered(ids[:2], t0.Add(time.Second)), tx.Undelivered(ids[2:3], "no route", t0, false))
	})
	wantErr(t, s.Update(t.Context(), func(tx store.Tx) error { return tx.Delivered([]int64{99}, t0) }), store.ErrConflict)
	view(t, s, func(r store.Reader) error {
		other, err := r.Outbox("other", t0, 2)
		same(t, other, []store.OutboxRow(nil))
		if err != nil {
			return err
		}
		got, err := r.Outbox("k", t0, 2)
		same(t, got, []store.OutboxRow{
			{ID: ids[2], Kind: "k", Key: 2, Payload: []byte{2}, CreatedAt: t0, Attempts: 1, LastError: "no route", NextAttemptAt: t0},
			{ID: ids[3], Kind: "k", Key: 3, Payload: []byte{3}, CreatedAt: t0},
		})
		all, err2 := r.OutboxAll()
		same(t, len(all), 5)
		same(t, all[0].DeliveredAt, t0.Add(time.Second))
		same(t, all[0].Attempts, 1)
		return errors.Join(err, err2)
	})
}

func testRollback(t *testing.T, open Open) {
	s := start(t, open)
	boom := errors.New("boom")
	wantErr(t, s.Update(t.Context(), func(tx store.Tx) error {
		if err := insert(tx, newVersion(model, 1)); err != nil {
			return err
		}
		return boom
	}), boom)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = s.Update(t.Context(), func(tx store.Tx) error {
			if err := insert(tx, newVersion(model, 1)); err != nil {
				return err
			}
			panic("boom")
		})
	}()
	view(t, s, func(r store.Reader) error {
		models, err := r.Models()
		same(t, models, []store.Model(nil))
		return err
	})
	update(t, s, func(tx store.Tx) error { return insert(tx, newVersion(model, 1)) })
}

func testSnapshot(t *testing.T, open Open) {
	s := start(t, open)
	update(t, s, func(tx store.Tx) error { return insert(tx, newVersion(model, 1)) })
	view(t, s, func(r store.Reader) error {
		before, err := r.Versions(model)
		if err != nil {
			return err
		}
		done := make(chan error, 1)
		go func() {
			done <- s.Update(context.Background(), func(tx store.Tx) error { return insert(tx, newVersion(model, 2)) })
		}()
		if err := <-done; err != nil {
			return err
		}
		after, err := r.Versions(model)
		same(t, after, before)
		return err
	})
}

func testConcurrent(t *testing.T, open Open) {
	s := start(t, open)
	const workers, each = 8, 20
	update(t, s, func(tx store.Tx) error { return tx.EnsureModel(model, t0) })
	errs := make(chan error, workers)
	for range workers {
		go func() {
			var err error
			for range each {
				err = errors.Join(err, s.Update(context.Background(), func(tx store.Tx) error {
					n, err := tx.NextVersion(model)
					if err != nil {
						return err
					}
					return tx.InsertVersion(newVersion(model, n))
				}))
			}
			errs <- err
		}()
	}
	for range workers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	view(t, s, func(r store.Reader) error {
		m, err := r.Model(model)
		same(t, m.Latest, int64(workers*each))
		same(t, m.Versions, int64(workers*each))
		return err
	})
}

func testReopen(t *testing.T, open Open) {
	dir := t.TempDir()
	v := newVersion(model, 1)
	for i := range 3 {
		s := open(t, dir)
		if i == 0 {
			update(t, s, func(tx store.Tx) error {
				_, err := link(tx, store.AuditRow{At: t0, Action: "register", Model: model})
				return errors.Join(insert(tx, v), err)
			})
		}
		view(t, s, func(r store.Reader) error {
			got, err := r.Version(model, 1)
			same(t, got, v)
			head, err2 := r.AuditHead()
			same(t, head.Seq, int64(1))
			return errors.Join(err, err2)
		})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func testTimes(t *testing.T, open Open) {
	s := start(t, open)
	v := newVersion(model, 1)
	zone := time.FixedZone("somewhere", 2*3600)
	v.RegisteredAt = time.Date(2026, 1, 1, 1, 0, 0, 999999999, zone)
	update(t, s, func(tx store.Tx) error { return insert(tx, v) })
	view(t, s, func(r store.Reader) error {
		got, err := r.Version(model, 1)
		same(t, got.RegisteredAt, time.Date(2025, 12, 31, 23, 0, 0, 999999000, time.UTC))
		return err
	})
	v = newVersion(model, 2)
	v.TrainedAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := s.Update(t.Context(), func(tx store.Tx) error { return insert(tx, v) }); err == nil {
		t.Fatal("a year of five digits was stored")
	}
}

func testCancelled(t *testing.T, open Open) {
	s := start(t, open)
	ctx, cancel := context.WithCancel(t.Context())
	err := s.Update(ctx, func(tx store.Tx) error {
		if err := insert(tx, newVersion(model, 1)); err != nil {
			return err
		}
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("commit after cancel: %v", err)
	}
	wantErr(t, s.View(ctx, func(store.Reader) error { return nil }), context.Canceled)
	update(t, s, func(tx store.Tx) error { return insert(tx, newVersion(model, 1)) })
}

func testClosed(t *testing.T, open Open) {
	s := open(t, t.TempDir())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantErr(t, s.View(t.Context(), func(store.Reader) error { return nil }), store.ErrClosed)
	wantErr(t, s.Update(t.Context(), func(store.Tx) error { return nil }), store.ErrClosed)
}
