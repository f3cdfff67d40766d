package projection_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/treeline-ml/treeline/internal/mlflowtest"
	"github.com/treeline-ml/treeline/lifecycle/audit"
	"github.com/treeline-ml/treeline/lifecycle/outbox"
	"github.com/treeline-ml/treeline/lifecycle/projection"
	"github.com/treeline-ml/treeline/lifecycle/promotion"
	"github.com/treeline-ml/treeline/lifecycle/stage"
	"github.com/treeline-ml/treeline/lifecycle/version"
	"github.com/treeline-ml/treeline/registry"
	"github.com/treeline-ml/treeline/registry/local"
	"github.com/treeline-ml/treeline/registry/mlflow"
	"github.com/treeline-ml/treeline/registry/registrytest"
	"github.com/treeline-ml/treeline/store"
	"github.com/treeline-ml/treeline/store/sqlite"
)

var shared mlflowtest.Shared

func TestMain(m *testing.M) { goleak.VerifyTestMain(shared.Main(m)) }

var _ projection.Target = (*mlflow.Client)(nil)

// world is the lifecycle on a store of its own, projected to the shared server through a proxy.
type world struct {
	*projection.Service

	store      store.Store
	registry   registry.Registry
	versions   *version.Service
	promotions *promotion.Service
	relay      *outbox.Relay
	proxy      *mlflowtest.Proxy
	peer       *mlflowtest.Peer
	client     *mlflow.Client // direct
	name       string         // of churn's registered model

	mu       sync.Mutex
	settings map[string]projection.Settings // by model
	told     []projection.Divergence        // in order
	gone     []projection.Divergence
	adopted  []string // what the adopter was asked
	passes   func(version int64) (bool, string, error)
}

type passing struct{}

func (passing) Verify(context.Context, string, int64) (string, error) { return "agrees", nil }

// Diverged implements projection.Alerts.
func (w *world) Diverged(_ context.Context, d projection.Divergence) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = append(w.told, d)
	return nil
}

// Converged implements projection.Alerts.
func (w *world) Converged(_ context.Context, d projection.Divergence) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gone = append(w.gone, d)
	return nil
}

// Validate implements projection.Adopter.
func (w *world) Validate(ctx context.Context, model string, v int64) (bool, string, error) {
	w.adopted = append(w.adopted, fmt.Sprintf("validate %d", v))
	ok, why, err := w.passes(v)
	if ok && err == nil {
		err = w.judge(ctx, model, v, stage.Validated)
	}
	return ok, why, err
}

// Promote implements projection.Adopter.
func (w *world) Promote(ctx context.Context, model string, v, generation int64, reason string) error {
	w.adopted = append(w.adopted, fmt.Sprintf("promote %d", v))
	_, err := w.promotions.Promote(ctx, promotion.Request{
		Model: model, Version: v, Reason: reason, ExpectedGeneration: &generation, Actor: "reconciler",
	})
	return err
}

func unique(t testing.TB, what string) string {
	t.Helper()
	s := what + "-" + hex.EncodeToString([]byte(t.Name()))
	return s[:min(len(s), 60)] + fmt.Sprint(time.Now().UnixNano())
}

func setup(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	s, err := sqlite.Open(t.Context(), filepath.Join(dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	r, err := local.Open(filepath.Join(dir, "registry"), local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	server := shared.Server(t)
	w := &world{store: s, registry: r, proxy: mlflowtest.StartProxy(t, server.URL), peer: shared.Peer(t)}
	w.name = unique(t, "churn")
	w.settings = map[string]projection.Settings{"churn": {Name: w.name, Publish: true}}
	w.passes = func(int64) (bool, string, error) { return true, "", nil }
	w.versions = version.New(version.Deps{Store: s, Registry: r})
	w.promotions = promotion.New(promotion.Deps{Store: s, Registry: r, Verifier: passing{}})
	w.client = client(t, server.URL, 3)
	w.Service = projection.New(projection.Deps{
		Store: s, Target: client(t, w.proxy.URL, 1), Registry: r, Adopter: w, Alerts: w,
		Models: func(m string) (projection.Settings, bool) {
			w.mu.Lock()
			defer w.mu.Unlock()
			x, ok := w.settings[m]
			return x, ok
		},
	})
	w.relay = outbox.New(outbox.Deps{
		Store: s, Handlers: map[string]outbox.Handler{audit.OutboxKind: w.Service}, MinRetry: time.Millisecond,
		MaxRetry: 5 * time.Millisecond, MaxAttempts: 1 << 20,
	})
	return w
}

func client(t *testing.T, url string, attempts int) *mlflow.Client {
	t.Helper()
	c, err := mlflow.New(mlflow.Options{
		TrackingURI: url, Attempts: attempts, MinRetry: time.Millisecond, MaxRetry: 10 * time.Millisecond, Experiment: "projection",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func (w *world) policy(p projection.Policy) { w.set(func(s *projection.Settings) { s.Policy = p }) }

func (w *world) set(f func(*projection.Settings)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.settings["churn"]
	f(&s)
	w.settings["churn"] = s
}

// register adds a version; note tells the artifacts of the one model file apart, others are names of more files.
func (w *world) register(ctx context.Context, model, note string, others ...string) (int64, error) {
	b, err := os.ReadFile("../../internal/testmodels/corpus/lightgbm-4.7.0/tiny/model.txt")
	if err != nil {
		return 0, err
	}
	a, err := registrytest.Put(ctx, w.registry, append([]string{"model.txt", "note"}, others...), registrytest.Files{"model.txt": b, "note": []byte(note)})
	if err != nil {
		return 0, err
	}
	v, _, err := w.versions.Register(ctx, version.RegisterRequest{Model: model, Artifact: a, ModelFile: "model.txt", Actor: "ann", GitSHA: "abc"})
	return v.Version, err
}

// judge moves a version as the gates would.
func (w *world) judge(ctx context.Context, model string, n int64, to stage.Stage) error {
	return w.store.Update(ctx, func(tx store.Tx) error {
		v, err := tx.Version(model, n)
		if err != nil {
			return err
		}
		m, ok := stage.Find(stage.Stage(v.Stage), to)
		if !ok {
			return fmt.Errorf("%s to %s: %w", v.Stage, to, stage.ErrWrong)
		}
		champion, err := tx.OpenPeriod(model)
		if err != nil && !errors.Is(err, store.ErrNoChampion) {
			return err
		}
		e := store.Evidence{Model: model, Version: n, Outcome: "pass", Digest: fmt.Sprintf("sha256:%d", n), At: time.Now()}
		e.Report = fmt.Appendf(nil, `{"digest":%q}`, v.Digest)
		if champion.Version != 0 {
			e.Report = fmt.Appendf(nil, `{"digest":%q,"champion":{"version":%d}}`, v.Digest, champion.Version)
		}
		if to == stage.Rejected {
			e.Outcome = "fail"
		}
		if v.Stage != string(to) {
			err = tx.SetStage(model, n, v.Stage, string(to), time.Now())
		}
		if err = errors.Join(err, tx.PutEvidence(e)); err != nil {
			return err
		}
		_, err = audit.Append(tx, audit.Entry{
			At: time.Now(), Actor: "gate", Action: m.Action, Model: model, Version: n, FromStage: v.Stage, ToStage: string(to),
			EvidenceDigest: e.Digest,
		})
		return err
	})
}

// trained registers a version of churn.
func (w *world) trained(t *testing.T) int64 {
	t.Helper()
	v, err := w.register(t.Context(), "churn", fmt.Sprint(time.Now().UnixNano()))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (w *world) validate(t *testing.T, v int64) {
	t.Helper()
	if err := w.judge(t.Context(), "churn", v, stage.Validated); err != nil {
		t.Fatal(err)
	}
}

func (w *world) promote(t *testing.T, v int64) {
	t.Helper()
	if _, err := w.promotions.Promote(t.Context(), promotion.Request{Model: "churn", Version: v, Reason: "better", Actor: "ann"}); err != nil {
		t.Fatal(err)
	}
}

// champion registers, validates and promotes a version of churn and delivers the outbox.
func (w *world) champion(t *testing.T) int64 {
	t.Helper()
	v := w.trained(t)
	w.validate(t, v)
	w.promote(t, v)
	w.drain(t)
	return v
}

func (w *world) drain(t *testing.T) {
	t.Helper()
	if err := w.relay.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// number is the registry's number of a version of churn.
func (w *world) number(t *testing.T, v int64) string {
	t.Helper()
	row, err := w.version(t, v)
	if err != nil || row.RegistryVersion == "" {
		t.Fatalf("version %d has no number (%v)", v, err)
	}
	return row.RegistryVersion
}

func (w *world) version(t *testing.T, v int64) (row store.Version, err error) {
	t.Helper()
	err = w.store.View(t.Context(), func(r store.Reader) error {
		row, err = r.Version("churn", v)
		return err
	})
	return row, err
}

// picture is a registered model as people see it, in our version numbers.
type picture struct {
	Champion   string            // version that the alias names, "" for none
	Challenger string            //
	Versions   map[string]string // tags treeline.* of each version, as one text
}

// seen is the picture that MLflow's own client has, with the user's own calls.
func (w *world) seen(t testing.TB, name string) picture {
	t.Helper()
	var p picture
	w.peer.Do(t, &p, `
		def by_alias(alias):
		    try:
		        return client.get_model_version_by_alias(args[0], alias).version
		    except mlflow.exceptions.MlflowException:
		        return None
		found = {str(v.version): v.tags for v in client.search_model_versions(f"name='{args[0]}'")}
		ours = lambda v: None if v is None else found[str(v)].get("treeline.version", "unknown " + str(v))
		keys = ["treeline.stage", "treeline.model_digest", "treeline.generation", "treeline.checkpoint"]
		versions = [(tags.get("treeline.version", "unknown " + v), " ".join(tags.get(k, "-") for k in keys)) for v, tags in found.items()]
		assert len(versions) == len(dict(versions)), "a version was published twice: %s" % versions
		out = {"Champion": ours(by_alias("Champion")) or "", "Challenger": ours(by_alias("Challenger")) or "", "Versions": dict(versions)}`, name)
	return p
}

// wanted is the picture that the store gives, worked out from the audit log alone.
func (w *world) wanted(t testing.TB, model string) picture {
	t.Helper()
	p := picture{Versions: map[string]string{}}
	err := w.store.View(context.Background(), func(r store.Reader) error {
		stages, digests := map[int64]string{}, map[int64]string{}
		marks := map[int64]string{}
		err := r.WalkAudit(func(a store.AuditRow) error {
			if a.Model != model {
				return nil
			}
			stages[a.Version] = a.ToStage
			if a.ToStage == "champion" {
				marks[a.Version] = fmt.Sprintf("%d %d:%s", a.Generation, a.Seq, a.Hash)
			}
			return nil
		})
		rows, err1 := r.Versions(model)
		for _, v := range rows {
			if v.RegistryVersion != "" {
				digests[v.Version] = v.Digest
			}
		}
		for v, s := range stages {
			mark := marks[v]
			if mark == "" {
				mark = "- -"
			}
			n := strconv.FormatInt(v, 10)
			if digests[v] != "" {
				p.Versions[n] = strings.ToUpper(s[:1]) + s[1:] + " " + digests[v] + " " + mark
			}
			if s == "champion" {
				p.Champion = n
			}
		}
		for _, v := range slices.Backward(slices.Sorted(maps.Keys(stages))) {
			if stages[v] == "validated" {
				p.Challenger = strconv.FormatInt(v, 10)
				break
			}
		}
		return errors.Join(err, err1)
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// converged checks that MLflow shows what the store says, whatever else it has.
func (w *world) converged(t testing.TB, when string) {
	t.Helper()
	seen := w.seen(t, w.name)
	maps.DeleteFunc(seen.Versions, func(v, _ string) bool { return strings.HasPrefix(v, "unknown ") })
	if d := cmp.Diff(w.wanted(t, "churn"), seen); d != "" {
		t.Errorf("%s (-store +MLflow)\n%s", when, d)
	}
}

// writes are the requests since the last call that change something.
func (w *world) writes() []string {
	return slices.DeleteFunc(w.proxy.Requests(), func(r string) bool {
		return strings.HasPrefix(r, "GET ") || strings.HasSuffix(r, "/search")
	})
}
