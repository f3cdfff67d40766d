package projection_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/treeline-ml/treeline/internal/mlflowtest"
	"github.com/treeline-ml/treeline/lifecycle/projection"
	"github.com/treeline-ml/treeline/lifecycle/stage"
	"github.com/treeline-ml/treeline/registry"
	"github.com/treeline-ml/treeline/registry/mlflow"
	"github.com/treeline-ml/treeline/store"
)

// what is a divergence in short.
type what struct{ Subject, Expected, Found, Action string }

func short(found []projection.Divergence) []what {
	out := []what{}
	for _, d := range found {
		out = append(out, what{d.Subject, d.Expected, d.Found, d.Action})
	}
	return out
}

func (w *world) check(t *testing.T, dryRun bool) []projection.Divergence {
	t.Helper()
	found, err := w.Check(t.Context(), "churn", dryRun)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// python does something in MLflow that is none of ours; args[0] is the registered model's name.
func (w *world) python(t *testing.T, code string, args ...any) {
	t.Helper()
	w.peer.Do(t, nil, code, append([]any{w.name}, args...)...)
}

const setAlias = `client.set_registered_model_alias(*args)`

// someone is a change in MLflow by someone else. Our versions 1 (Archived), 2 (Champion) and 3 (Validated) have the same
// numbers there; version 4 there is not ours.
var someone = map[string]struct {
	do   func(*testing.T, *world)
	want what
	says []string // in the message
}{
	"alias to the archived version": {
		func(t *testing.T, w *world) { w.python(t, setAlias, "Champion", "1") },
		what{"Champion", "2", "1", ""},
		[]string{"our version 1 (Archived)", "ctl validate churn --version 1", `"Champion", "2")`},
	},
	"alias to the validated version": {
		func(t *testing.T, w *world) { w.python(t, setAlias, "Champion", "3") },
		what{"Champion", "2", "3", ""},
		[]string{"our version 3 (Validated)", "ctl promote churn --version 3"},
	},
	"alias to a version that is not ours": {
		func(t *testing.T, w *world) { w.python(t, setAlias, "Champion", "4") },
		what{"Champion", "2", "4", ""},
		[]string{"names version 4, which is not registered here"},
	},
	"alias removed": {
		func(t *testing.T, w *world) { w.python(t, `client.delete_registered_model_alias(*args)`, "Champion") },
		what{"Champion", "2", "", ""},
		[]string{"somebody removed the alias Champion", "here it is version 2"},
	},
	"challenger moved": {
		func(t *testing.T, w *world) { w.python(t, setAlias, "Challenger", "1") },
		what{"Challenger", "3", "1", ""},
		[]string{"alias Challenger"},
	},
	"tag changed": {
		func(t *testing.T, w *world) {
			w.python(t, `client.set_model_version_tag(*args)`, "1", "treeline.stage", "Champion")
		},
		what{"version 1: treeline.stage", "Archived", "Champion", ""},
		[]string{"the store here decides"},
	},
	"tag removed": {
		func(t *testing.T, w *world) {
			w.python(t, `client.delete_model_version_tag(*args)`, "2", "treeline.checkpoint")
		},
		what{"version 2: treeline.checkpoint", "", "", ""},
		nil,
	},
	"champion deleted": {
		func(t *testing.T, w *world) { w.python(t, `client.delete_model_version(*args)`, "2") },
		what{"version 2", "2", "", ""},
		[]string{"was deleted there", "version 2, Champion"},
	},
	"archived version deleted": {
		func(t *testing.T, w *world) { w.python(t, `client.delete_model_version(*args)`, "1") },
		what{"version 1", "1", "", ""},
		[]string{"version 1, Archived"},
	},
	"everything deleted": {
		func(t *testing.T, w *world) {
			w.python(t, `
				client.delete_registered_model_alias(args[0], "Champion")
				client.delete_registered_model_alias(args[0], "Challenger")
				for v in client.search_model_versions(f"name='{args[0]}'"):
				    client.delete_model_version(args[0], v.version)
				client.delete_registered_model(args[0])`)
		},
		what{"registered model", "", "", ""},
		[]string{"with 3 versions that are known here"},
	},
}

// diverging is a world with versions 1 to 3 and a foreign version 4 there, converged. Versions were published, or logged
// by a trainer, which takes fewer requests.
func diverging(t *testing.T, publish bool) *world {
	t.Helper()
	w := setup(t)
	ctx := t.Context()
	w.set(func(s *projection.Settings) { s.Publish = publish })
	if err := w.client.EnsureModel(ctx, w.name); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		v := w.trained(t)
		if publish {
			w.drain(t)
		} else {
			w.logged(t, v)
		}
		w.validate(t, v)
		if v < 3 {
			w.promote(t, v)
		}
	}
	w.drain(t)
	w.foreign(t, "4")
	if found := w.check(t, true); len(found) > 0 {
		t.Fatalf("diverged already: %+v", found)
	}
	w.proxy.Requests()
	return w
}

// logged makes version v there, as a trainer does that logs to MLflow.
func (w *world) logged(t *testing.T, v int64) {
	t.Helper()
	there, err := w.client.CreateVersion(t.Context(), mlflow.NewVersion{Name: w.name, Source: "s3://bucket/key"})
	if err != nil {
		t.Fatal(err)
	}
	err = w.store.Update(t.Context(), func(tx store.Tx) error { return tx.SetRegistryVersion("churn", v, there.Version) })
	if err != nil {
		t.Fatal(err)
	}
}

// foreign makes a version there that we know nothing of.
func (w *world) foreign(t *testing.T, want string) {
	t.Helper()
	v, err := w.client.CreateVersion(t.Context(), mlflow.NewVersion{Name: w.name, Source: "s3://bucket/key"})
	if err != nil || v.Version != want {
		t.Fatalf("the foreign version is %s, want %s (%v)", v.Version, want, err)
	}
}

func expect(t *testing.T, w *world, name string, found []projection.Divergence, action string) projection.Divergence {
	t.Helper()
	x := someone[name]
	if len(found) != 1 {
		t.Fatalf("found %+v", found)
	}
	d := found[0]
	if x.want.Subject == "registered model" {
		x.want.Expected = w.name
	}
	if x.want.Expected == "" {
		x.want.Expected = d.Expected // a hash
	}
	x.want.Action = action
	if diff := cmp.Diff([]what{x.want}, short(found)); diff != "" {
		t.Errorf("divergence (-want +got)\n%s", diff)
	}
	for _, s := range x.says {
		if !strings.Contains(strings.ToLower(d.Message), strings.ToLower(s)) {
			t.Errorf("the message does not say %q: %s", s, d.Message)
		}
	}
	if d.Model != "churn" || d.RegisteredName != w.name || d.Expected == d.Found {
		t.Errorf("divergence %+v", d)
	}
	return d
}

// TestAlertAndRevert: under Alert, what somebody else did is told once and left as it is; under Revert it is undone.
func TestAlertAndRevert(t *testing.T) {
	together := diverging(t, false)
	for _, name := range slices.Sorted(maps.Keys(someone)) {
		x := someone[name]
		t.Run(name, func(t *testing.T) {
			w := together
			if strings.Contains(name, "deleted") {
				w = diverging(t, true)
			}
			w.told, w.gone = nil, nil
			w.policy(projection.Alert)
			x.do(t, w)
			before := w.seen(t, w.name)
			w.proxy.Requests()
			d := expect(t, w, name, w.check(t, true), projection.Reported)
			if len(w.told) > 0 {
				t.Error("a dry run told somebody")
			}
			for range 2 {
				expect(t, w, name, w.check(t, false), projection.Alerted)
			}
			if len(w.told) != 1 || w.told[0].Key() != d.Key() || len(w.gone) > 0 {
				t.Errorf("told of %+v and of the end of %+v", w.told, w.gone)
			}
			if writes := w.writes(); len(writes) > 0 {
				t.Errorf("wrote %v", writes)
			}
			if diff := cmp.Diff(before, w.seen(t, w.name)); diff != "" {
				t.Errorf("MLflow changed\n%s", diff)
			}
			w.policy(projection.Revert)
			expect(t, w, name, w.check(t, true), projection.Reported)
			expect(t, w, name, w.check(t, false), projection.Reverted)
			w.converged(t, "reverted")
			if found := w.check(t, false); len(found) > 0 || len(w.told) != 1 || len(w.gone) != 1 || w.gone[0].Key() != d.Key() {
				t.Errorf("found %+v, told of %+v and of the end of %+v", found, w.told, w.gone)
			}
		})
	}
}

// TestOursIsNewer: an unrelated change leaves an alias where somebody put it; a promotion is a newer decision.
func TestOursIsNewer(t *testing.T) {
	w := diverging(t, false)
	w.python(t, setAlias, "Champion", "1")
	if found := w.check(t, false); len(found) != 1 {
		t.Fatalf("found %+v", found)
	}
	w.logged(t, w.trained(t))
	w.drain(t)
	if p := w.seen(t, w.name); p.Champion != "1" || p.Versions["4"] == "" {
		t.Errorf("when a version was registered, MLflow had %+v", p)
	}
	w.promote(t, 3)
	w.drain(t)
	w.converged(t, "promoted")
	if found := w.check(t, false); len(found) > 0 || len(w.gone) != 1 {
		t.Errorf("found %+v, told of the end of %+v", found, w.gone)
	}
}

// TestAnotherDivergence: a divergence that becomes another one is told again.
func TestAnotherDivergence(t *testing.T) {
	w := diverging(t, false)
	for i, to := range []string{"1", "3", "1"} {
		w.python(t, setAlias, "Champion", to)
		w.check(t, false)
		w.check(t, false)
		if len(w.told) != i+1 || w.told[i].Found != to || len(w.gone) != i {
			t.Errorf("moved %d times, told of %+v, of the end of %+v", i+1, w.told, w.gone)
		}
	}
	w.python(t, setAlias, "Champion", "2")
	if found := w.check(t, false); len(found) > 0 || len(w.gone) != 3 {
		t.Errorf("found %+v, told of the end of %+v", found, w.gone)
	}
}

// TestRevertWithoutPublishing: what cannot be set back is told.
func TestRevertWithoutPublishing(t *testing.T) {
	w := diverging(t, false)
	w.policy(projection.Revert)
	w.python(t, `client.delete_model_version(*args)`, "2")
	expect(t, w, "champion deleted", w.check(t, false), projection.Alerted)
	if len(w.told) != 1 {
		t.Errorf("told of %+v", w.told)
	}
}

// TestAdoptPolicy: the version that somebody made Champion there becomes ours through the gates, or is told of.
func TestAdoptPolicy(t *testing.T) {
	together := diverging(t, false)
	for name, x := range map[string]struct {
		do     func(*testing.T, *world)
		passes bool
		action string
		asked  []string
		end    string // our Champion
		says   string
	}{
		"validated":      {func(t *testing.T, w *world) { w.python(t, setAlias, "Champion", "3") }, true, projection.Adopted, []string{"validate 3", "promote 3"}, "3", ""},
		"archived":       {func(t *testing.T, w *world) { w.python(t, setAlias, "Champion", "1") }, true, projection.Adopted, []string{"validate 1", "promote 1"}, "1", ""},
		"gates say no":   {func(t *testing.T, w *world) { w.python(t, setAlias, "Champion", "3") }, false, projection.Alerted, []string{"validate 3"}, "2", "AUC is too low"},
		"rejected":       {rejected, true, projection.Alerted, nil, "2", "was not adopted"},
		"not ours":       {func(t *testing.T, w *world) { w.python(t, setAlias, "Champion", "4") }, true, projection.Alerted, nil, "2", "not registered here"},
		"removed":        {someone["alias removed"].do, true, projection.Alerted, nil, "2", "removed"},
		"the challenger": {someone["challenger moved"].do, true, projection.Reverted, nil, "2", ""},
		"a tag":          {someone["tag changed"].do, true, projection.Reverted, nil, "2", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := together
			if x.asked != nil || name == "rejected" {
				w = diverging(t, false)
			}
			w.told, w.gone, w.adopted = nil, nil, nil
			defer func() { // as it was, for the next one
				w.policy(projection.Revert)
				w.check(t, false)
			}()
			w.policy(projection.Adopt)
			w.passes = func(int64) (bool, string, error) { return x.passes, "AUC is too low", nil }
			x.do(t, w)
			if found := w.check(t, true); len(found) != 1 || found[0].Action != projection.Reported || w.adopted != nil {
				t.Errorf("a dry run found %+v and asked %v", found, w.adopted)
			}
			found := w.check(t, false)
			if len(found) != 1 || found[0].Action != x.action || !strings.Contains(found[0].Message, x.says) {
				t.Fatalf("found %+v", found)
			}
			w.drain(t)
			again := w.check(t, false)
			if x.action == projection.Alerted {
				if len(again) != 1 || len(w.told) != 1 || !strings.Contains(w.told[0].Message, x.says) {
					t.Errorf("then %+v, told of %+v", again, w.told)
				}
			} else if len(again) > 0 || len(w.told) > 0 {
				t.Errorf("then %+v, told of %+v", again, w.told)
			}
			// What was refused is not judged again and again.
			if !slices.Equal(w.adopted, x.asked) {
				t.Errorf("asked %v, want %v", w.adopted, x.asked)
			}
			if p := w.wanted(t, "churn"); p.Champion != x.end {
				t.Errorf("our Champion is %q, want %q", p.Champion, x.end)
			}
			if p := w.seen(t, w.name); x.action != projection.Alerted && p.Champion != x.end {
				t.Errorf("MLflow has %+v", p)
			}
		})
	}
}

func rejected(t *testing.T, w *world) {
	if err := w.judge(t.Context(), "churn", 3, stage.Rejected); err != nil {
		t.Fatal(err)
	}
	w.drain(t)
	w.python(t, setAlias, "Champion", "3")
}

// TestAdoptFails: an error is no verdict; the next check asks again.
func TestAdoptFails(t *testing.T) {
	w := diverging(t, false)
	w.policy(projection.Adopt)
	w.passes = func(int64) (bool, string, error) { return false, "", errors.New("disk full") }
	w.python(t, setAlias, "Champion", "3")
	if _, err := w.Check(t.Context(), "churn", false); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("error is %v", err)
	}
	w.passes = func(int64) (bool, string, error) { return true, "", nil }
	if found := w.check(t, false); len(found) != 1 || found[0].Action != projection.Adopted {
		t.Errorf("found %+v", found)
	}
}

// TestLagIsNoDivergence: what our outbox has not told yet is nobody's fault, and a check tells it.
func TestLagIsNoDivergence(t *testing.T) {
	w := diverging(t, false)
	w.promote(t, 3)
	w.trained(t)
	if found, writes := w.check(t, true), w.writes(); len(found) > 0 || len(writes) > 0 {
		t.Errorf("found %+v, wrote %v", found, writes)
	}
	if p := w.seen(t, w.name); p.Champion != "2" {
		t.Errorf("a dry run wrote: %+v", p)
	}
	if found := w.check(t, false); len(found) > 0 || len(w.told) > 0 {
		t.Errorf("found %+v, told of %+v", found, w.told)
	}
	if p := w.seen(t, w.name); p.Champion != "3" {
		t.Errorf("MLflow has %+v", p)
	}
}

// TestBothChanged: somebody moves the alias while our promotion is on its way: ours is the newer decision.
func TestBothChanged(t *testing.T) {
	w := diverging(t, false)
	w.promote(t, 3)
	w.python(t, setAlias, "Champion", "1")
	w.drain(t)
	if p := w.seen(t, w.name); p.Champion != "3" {
		t.Errorf("MLflow has %+v", p)
	}
	if found := w.check(t, false); len(found) > 0 {
		t.Errorf("found %+v", found)
	}
}

// TestFirstContact: an alias that was there before us is somebody's, until somebody here promotes.
func TestFirstContact(t *testing.T) {
	w := setup(t)
	w.python(t, `client.create_registered_model(args[0])`)
	const foreign = "1"
	w.foreign(t, foreign)
	w.python(t, setAlias, "Champion", foreign)
	v := w.trained(t)
	w.drain(t)
	found := w.check(t, false)
	if diff := cmp.Diff([]what{{"Champion", "", foreign, projection.Alerted}}, short(found)); diff != "" || !strings.Contains(found[0].Message, "delete_registered_model_alias") {
		t.Errorf("found %+v\n%s", found, diff)
	}
	// A store that has a Champion already is connected: nobody promoted since.
	w.set(func(s *projection.Settings) { s.Publish = false })
	w.validate(t, v)
	w.promote(t, v)
	if found := w.check(t, false); len(found) != 1 || found[0].Found != foreign || found[0].Action != projection.Alerted {
		t.Errorf("found %+v", found)
	}
	if got, err := w.client.Alias(t.Context(), w.name, "Champion"); err != nil || got.Version != foreign {
		t.Errorf("the alias names %s (%v)", got.Version, err)
	}
	w.drain(t)
	if got, err := w.client.Alias(t.Context(), w.name, "Champion"); err != nil || got.Version != w.number(t, v) {
		t.Errorf("the alias names %s (%v)", got.Version, err)
	}
}

// TestSpoiledNote: a note that somebody spoiled costs a note.
func TestSpoiledNote(t *testing.T) {
	w := diverging(t, false)
	for _, text := range []string{"x", `{"format":2}`, strings.Repeat("x", 5000)} {
		if err := w.client.SetModelTag(t.Context(), w.name, projection.NoteTag, text); err != nil {
			t.Fatal(err)
		}
		if found := w.check(t, false); len(found) > 0 {
			t.Errorf("%.20q: found %+v", text, found)
		}
		m, err := w.client.Model(t.Context(), w.name)
		if err != nil || !strings.Contains(m.Tags[projection.NoteTag], `"Champion":"2"`) {
			t.Errorf("%.20q: the note is %q (%v)", text, m.Tags[projection.NoteTag], err)
		}
	}
}

// TestCheckAll checks what is projected, and stops where nothing can be reached.
func TestCheckAll(t *testing.T) {
	w := diverging(t, false)
	ctx := t.Context()
	if _, err := w.register(ctx, "plain", "x"); err != nil {
		t.Fatal(err)
	}
	w.python(t, setAlias, "Champion", "1")
	if found, n, err := w.CheckAll(ctx, true); err != nil || n != 1 || len(found) != 1 {
		t.Errorf("%d models, %+v (%v)", n, found, err)
	}
	w.proxy.Down()
	if _, n, err := w.CheckAll(ctx, true); !errors.Is(err, registry.ErrUnavailable) || n != 0 {
		t.Errorf("%d models (%v)", n, err)
	}
	w.proxy.Up(t)
	if _, err := w.Check(ctx, "nope", true); err != nil {
		t.Errorf("a model that is not projected: %v", err)
	}
	w.settings["nope"] = projection.Settings{Name: "nope"}
	if _, err := w.Check(ctx, "nope", true); !errors.Is(err, store.ErrModelNotFound) {
		t.Errorf("an unknown model: %v", err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := w.Check(ended, "churn", true); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}

// TestReconcilerRuns: the background check finds what somebody did, and goes on after an outage.
func TestReconcilerRuns(t *testing.T) {
	w := diverging(t, false)
	w.policy(projection.Revert)
	w.proxy.Always(mlflowtest.HTML(503))
	if err := w.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.python(t, setAlias, "Champion", "1")
	w.proxy.Always(mlflowtest.Pass())
	w.Wake()
	await(t, func() bool {
		v, err := w.client.Alias(t.Context(), w.name, "Champion")
		return err == nil && v.Version == "2"
	})
	if err := w.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.python(t, setAlias, "Champion", "1")
	w.Wake()
	if v, err := w.client.Alias(t.Context(), w.name, "Champion"); err != nil || v.Version != "1" {
		t.Errorf("version %s (%v)", v.Version, err)
	}
}

// TestReadBack: an alias that does not stay where it was put is an error, and tried again.
func TestReadBack(t *testing.T) {
	w := diverging(t, false)
	w.promote(t, 3)
	// The server says yes and does nothing.
	w.proxy.When(func(r *http.Request) mlflowtest.Fault {
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/registered-models/alias") {
			return mlflowtest.Status(200, "application/json", "{}")
		}
		return nil
	})
	if err := w.relay.Drain(t.Context()); err == nil || !strings.Contains(err.Error(), `was set to version "3" and reads "2"`) {
		t.Errorf("error is %v", err)
	}
	w.proxy.Always(mlflowtest.Pass())
	w.drain(t)
	if p := w.seen(t, w.name); p.Champion != "3" {
		t.Errorf("MLflow has %+v", p)
	}
}

func FuzzNote(f *testing.F) {
	for _, s := range []string{"", `{"format":1,"aliases":{"Champion":"7"},"tags":"0123"}`, `{"format":1}`, `{"format":"1"}`, `{"format":1,"aliases":null}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		aliases := projection.NoteAliases(text)
		if aliases == nil {
			t.Errorf("%q: no map", text)
		}
		if len(text) > 4096 && len(aliases) > 0 {
			t.Errorf("a note of %d bytes was read", len(text))
		}
		_ = fmt.Sprint(aliases)
	})
}
