package promotion_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/treeline-ml/treeline/lifecycle/audit"
	"github.com/treeline-ml/treeline/lifecycle/outbox"
	"github.com/treeline-ml/treeline/lifecycle/promotion"
	"github.com/treeline-ml/treeline/lifecycle/stage"
	"github.com/treeline-ml/treeline/store"
	"github.com/treeline-ml/treeline/store/sqlite"
	"github.com/treeline-ml/treeline/warehouse"
)

// told is a line of a tellFile.
type told struct {
	Seq int64 `json:"seq"`
}

// tellFile is a system that is told of rows and keeps them in a file, one line each; a line that a kill cut off does not
// count.
type tellFile string

func (m tellFile) tell(seqs ...int64) error {
	f, err := os.OpenFile(string(m), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.WriteString("\n"); err != nil { // ends a cut-off line
		return err
	}
	enc := json.NewEncoder(f)
	for _, seq := range seqs {
		if err := enc.Encode(told{seq}); err != nil {
			return err
		}
	}
	return f.Close()
}

func (m tellFile) MirrorPromotions(_ context.Context, rows []warehouse.PromotionRow) error {
	var seqs []int64
	for _, r := range rows {
		seqs = append(seqs, r.Seq)
	}
	return m.tell(seqs...)
}

// Deliver is told of stage changes.
func (m tellFile) Deliver(_ context.Context, rows []store.OutboxRow) error {
	var seqs []int64
	for _, r := range rows {
		var c audit.StageChange
		if err := json.Unmarshal(r.Payload, &c); err != nil || c.Seq != r.Key || c.Model == "" || c.From == c.To {
			return outbox.Permanent(fmt.Errorf("row %+v: %w", r, err))
		}
		seqs = append(seqs, c.Seq)
	}
	return m.tell(seqs...)
}

// relay tells files in dir, as the daemon tells a warehouse and a registry.
func (w *world) relay(dir string) *outbox.Relay {
	return outbox.New(outbox.Deps{Store: w.store, Handlers: map[string]outbox.Handler{
		promotion.OutboxKind: promotion.NewMirror(tellFile(filepath.Join(dir, promotion.OutboxKind+".told"))),
		audit.OutboxKind:     tellFile(filepath.Join(dir, audit.OutboxKind+".told")),
	}})
}

// seqs are the promotions told, in the order of their first telling.
func (m tellFile) seqs(t *testing.T) (out []int64) {
	t.Helper()
	f, err := os.Open(string(m))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var r told
		if json.Unmarshal(lines.Bytes(), &r) == nil && !slices.Contains(out, r.Seq) {
			out = append(out, r.Seq)
		}
	}
	return out
}

// step does one random operation. What lifecycle refuses is fine, anything else is not.
func (w *world) step(ctx context.Context, rng *rand.Rand, relay *outbox.Relay) error {
	model := []string{"churn", "fraud"}[rng.IntN(2)]
	newest := func() int64 {
		all, err := w.versions.Versions(ctx, model)
		if err != nil || len(all) == 0 {
			return 1
		}
		return max(1, all[0].Version-int64(rng.IntN(3)))
	}
	request := promotion.Request{Model: model, Reason: "chaos", Actor: "c", DryRun: rng.IntN(10) == 0}
	if rng.IntN(3) == 0 {
		request.ExpectedGeneration = ptr(int64(rng.IntN(30)))
	}
	var err error
	switch rng.IntN(9) {
	case 0, 1:
		_, err = w.register(ctx, model, strconv.Itoa(rng.IntN(100)))
	case 2, 3:
		err = w.judge(ctx, model, newest(), stage.Validated)
	case 4:
		err = w.judge(ctx, model, newest(), stage.Rejected)
	case 5, 6:
		_, err = w.Promote(ctx, request)
	case 7:
		_, _, err = w.Rollback(ctx, promotion.RollbackRequest{
			Model: model, Reason: "chaos", Keep: rng.IntN(2) == 0, ExpectedGeneration: request.ExpectedGeneration, DryRun: request.DryRun,
		})
	default:
		err = relay.Drain(ctx)
	}
	for _, fine := range []error{
		stage.ErrWrong, promotion.ErrGeneration, promotion.ErrNoEarlier, store.ErrModelNotFound, store.ErrVersionNotFound,
		store.ErrNoChampion, store.ErrNoEvidence,
	} {
		if errors.Is(err, fine) {
			return nil
		}
	}
	return err
}

// chaosChild does random operations until it is killed, printing a line after each.
func chaosChild(dir, seed string) {
	err := func() error {
		n, err := strconv.ParseUint(seed, 10, 64)
		if err != nil {
			return err
		}
		ctx := context.Background()
		w, err := openWorld(ctx, dir)
		if err != nil {
			return err
		}
		relay := w.relay(dir)
		rng := rand.New(rand.NewPCG(n, 0))
		for {
			if err := w.step(ctx, rng, relay); err != nil {
				return err
			}
			fmt.Println()
		}
	}()
	fmt.Fprintln(os.Stderr, "chaos child:", err)
	os.Exit(1)
}

// TestKilledAtRandom kills a process that works on the lifecycle, again and again, on one directory. After each kill
// everything that must hold holds; at the end every change of Champion has reached the mirror, and every change of a stage
// the registry, each in order.
func TestKilledAtRandom(t *testing.T) {
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(11, 7))
	const kills = 40
	operations := 0
	for round := range kills {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), "TREELINE_TEST_CHAOS_DIR="+dir, "TREELINE_TEST_CHAOS_SEED="+strconv.Itoa(round))
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for range 5 + rng.IntN(10) {
			if !lines.Scan() {
				t.Fatal("the child ended by itself")
			}
			operations++
		}
		timer := time.AfterFunc(time.Duration(rng.IntN(4000))*time.Microsecond, func() { _ = child.Process.Kill() })
		for lines.Scan() {
			operations++
		}
		timer.Stop()
		_ = child.Wait() // killed

		w, err := openWorld(t.Context(), dir)
		if err != nil {
			t.Fatalf("after kill %d: %v", round, err)
		}
		if err := w.consistent(t.Context()); err != nil {
			t.Fatalf("after kill %d: %v", round, err)
		}
		if round == kills-1 {
			if err := w.relay(dir).Drain(t.Context()); err != nil {
				t.Fatal(err)
			}
			want := map[string][]int64{}
			err := w.store.View(t.Context(), func(r store.Reader) error {
				rows, err := r.OutboxAll()
				for _, o := range rows {
					want[o.Kind] = append(want[o.Kind], o.Key)
					if o.DeliveredAt.IsZero() || o.LastError != "" {
						t.Errorf("outbox row %d was not delivered: %s", o.ID, o.LastError)
					}
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			for kind, least := range map[string]int{promotion.OutboxKind: 20, audit.OutboxKind: 60} {
				if got := tellFile(filepath.Join(dir, kind+".told")).seqs(t); !slices.Equal(got, want[kind]) || len(got) < least {
					t.Errorf("%s: told %v, want %v", kind, got, want[kind])
				}
			}
			t.Logf("%d operations and %d kills; %d moves into or out of Champion", operations, kills, len(want[promotion.OutboxKind]))
		}
		if err := w.store.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

var errInjected = errors.New("injected fault")

// faultStore fails the n-th write of an Update, and every write after it.
type faultStore struct {
	store.Store

	n int // writes that still succeed; negative: all
}

func (f *faultStore) Update(ctx context.Context, fn func(store.Tx) error) error {
	return f.Store.Update(ctx, func(tx store.Tx) error { return fn(&faultTx{tx, f}) })
}

type faultTx struct {
	store.Tx

	f *faultStore
}

func (t *faultTx) fail() error {
	if t.f.n < 0 {
		return nil
	}
	if t.f.n == 0 {
		return errInjected
	}
	t.f.n--
	return nil
}

func (t *faultTx) EnsureModel(name string, at time.Time) error {
	return errors.Join(t.fail(), t.Tx.EnsureModel(name, at))
}

func (t *faultTx) InsertVersion(v store.Version) error {
	return errors.Join(t.fail(), t.Tx.InsertVersion(v))
}

func (t *faultTx) SetStage(m string, v int64, from, to string, at time.Time) error {
	return errors.Join(t.fail(), t.Tx.SetStage(m, v, from, to, at))
}

func (t *faultTx) SetGeneration(m string, from, to int64) error {
	return errors.Join(t.fail(), t.Tx.SetGeneration(m, from, to))
}

func (t *faultTx) BeginPeriod(p store.Period) error {
	return errors.Join(t.fail(), t.Tx.BeginPeriod(p))
}

func (t *faultTx) EndPeriod(m string, until time.Time) error {
	return errors.Join(t.fail(), t.Tx.EndPeriod(m, until))
}

func (t *faultTx) AppendAudit(r store.AuditRow) error {
	return errors.Join(t.fail(), t.Tx.AppendAudit(r))
}

func (t *faultTx) PutEvidence(e store.Evidence) error {
	return errors.Join(t.fail(), t.Tx.PutEvidence(e))
}

func (t *faultTx) Enqueue(r store.OutboxRow) (int64, error) {
	id, err := t.Tx.Enqueue(r)
	return id, errors.Join(t.fail(), err)
}

func (t *faultTx) Delivered(ids []int64, at time.Time) error {
	return errors.Join(t.fail(), t.Tx.Delivered(ids, at))
}

// TestFaultAtEachWrite makes each operation fail after each of its writes, the write itself included: nothing of it may
// be visible, and the operation must work afterwards.
func TestFaultAtEachWrite(t *testing.T) {
	dir := t.TempDir()
	ctx := t.Context()
	s, err := sqlite.Open(ctx, filepath.Join(dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	f := &faultStore{Store: s, n: -1}
	w, err := newWorld(f, dir)
	if err != nil {
		t.Fatal(err)
	}
	w.champions(t, 2)
	for name, op := range map[string]func() error{
		"register": func() error {
			_, err := w.register(ctx, "new", "1")
			return err
		},
		"promote": func() error {
			_, err := w.Promote(ctx, promotion.Request{Model: "churn", Reason: "x"})
			return err
		},
		"rollback": func() error {
			_, _, err := w.Rollback(ctx, promotion.RollbackRequest{Model: "churn", Reason: "x", Keep: true})
			return err
		},
	} {
		if name == "promote" {
			f.n = -1
			w.validated(t)
		}
		for n := 0; ; n++ {
			before := dump(t, s)
			f.n = n
			err := op()
			f.n = -1
			if err == nil {
				if n < 3 {
					t.Errorf("%s has %d writes only", name, n)
				}
				break
			}
			if !errors.Is(err, errInjected) {
				t.Fatalf("%s, write %d: %v", name, n, err)
			}
			if after := dump(t, s); after != before {
				t.Errorf("%s failed at write %d and left\n%s\nthere was\n%s", name, n, after, before)
			}
		}
		if err := w.consistent(ctx); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// dump is the whole state that lifecycle changes.
func dump(t *testing.T, s store.Store) string {
	t.Helper()
	out := ""
	err := s.View(t.Context(), func(r store.Reader) error {
		models, err := r.Models()
		out += fmt.Sprintf("%+v\n", models)
		for _, m := range models {
			v, err1 := r.Versions(m.Name)
			p, err2 := r.Periods(m.Name)
			out += fmt.Sprintf("%+v\n%+v\n", v, p)
			err = errors.Join(err, err1, err2)
		}
		h, err1 := r.AuditHead()
		o, err2 := r.OutboxAll()
		out += fmt.Sprintf("%+v\n%+v\n", h, o)
		return errors.Join(err, err1, err2)
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
