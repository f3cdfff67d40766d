package projection

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/treeline-ml/treeline/lifecycle/stage"
	"github.com/treeline-ml/treeline/registry"
	"github.com/treeline-ml/treeline/store"
)

// Start begins to check all models in the background, at once and then at each interval.
func (s *Service) Start(ctx context.Context) error { return s.loop.Start(ctx) }

// Stop ends the background work and waits for it.
func (s *Service) Stop(ctx context.Context) error { return s.loop.Stop(ctx) }

// Wake asks for a check now: somebody heard that something changed there. It does not block.
func (s *Service) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Service) run(ctx context.Context, started func()) error {
	started()
	tick := time.NewTicker(s.d.Interval)
	defer tick.Stop()
	failures := 0
	for {
		_, _, err := s.CheckAll(ctx, false)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			if failures++; failures == 1 { // the outbox tells about an outage that lasts
				s.d.Logger.WarnContext(ctx, "registry not checked", "error", err)
			}
		case failures > 0:
			s.d.Logger.InfoContext(ctx, "registry checked again", "failures", failures)
			failures = 0
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		case <-tick.C:
		}
	}
}

// CheckAll checks every model that is projected and returns their number. A model that cannot be checked does not stop
// the others, unless the registry cannot be reached.
func (s *Service) CheckAll(ctx context.Context, dryRun bool) (found []Divergence, checked int, err error) {
	var models []store.Model
	if err := s.d.Store.View(ctx, func(r store.Reader) (err error) {
		models, err = r.Models()
		return err
	}); err != nil {
		return nil, 0, err
	}
	var failed error
	for _, m := range models {
		if _, ok := s.d.Models(m.Name); !ok {
			continue
		}
		d, err := s.Check(ctx, m.Name, dryRun)
		found = append(found, d...)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", m.Name, err))
			if errors.Is(err, registry.ErrUnavailable) || ctx.Err() != nil {
				return found, checked, failed
			}
			continue
		}
		checked++
	}
	return found, checked, failed
}

// Check compares the registry with the store. What is merely late is written; what somebody else changed is returned,
// and dealt with by the model's policy. A dry run writes nothing anywhere and tells nobody. It fails with
// store.ErrModelNotFound, or with registry.ErrUnavailable; a model that is not projected has no divergences.
func (s *Service) Check(ctx context.Context, model string, dryRun bool) ([]Divergence, error) {
	set, ok := s.d.Models(model)
	if !ok {
		return nil, nil
	}
	st, unlock, err := s.lock(ctx, model)
	if err != nil {
		return nil, err
	}
	defer unlock()
	d, err := s.desired(ctx, model)
	if err != nil {
		return nil, err
	}
	if !dryRun {
		if d, _, err = s.publishMissing(ctx, set, st, d, false); err != nil {
			return nil, err // what was refused becomes a divergence
		}
	}
	there, err := s.d.Target.State(ctx, set.Name)
	var found []Divergence
	switch {
	case errors.Is(err, registry.ErrNotFound):
		found = append(lost(set, d), unpublished(set, d, registry.State{}, st.unpublish)...)
	case err != nil:
		return nil, err
	default:
		if found, err = compare(set, d, there, readNote(there), st.unpublish); err != nil {
			return nil, err
		}
	}
	if dryRun {
		for i := range found {
			found[i].Action = Reported
		}
		return found, nil
	}
	if err == nil {
		if err := s.catchUp(ctx, set, d, there, found); err != nil {
			return nil, err
		}
	}
	if err := s.act(ctx, set, d, st, found); err != nil {
		return found, err
	}
	return found, s.tell(ctx, st, found)
}

// lost is the divergence of a registered model that is gone with all its versions.
func lost(set Settings, d desired) []Divergence {
	if len(d.known) == 0 {
		return nil
	}
	return []Divergence{{
		Model: d.model.Name, RegisteredName: set.Name, Subject: "registered model", Expected: set.Name, kind: kindVersion,
		Message: fmt.Sprintf("the registered model %s was deleted there, with %d versions that are known here. Their files are still "+
			"here. To have it there again, set registry.divergence to revert", set.Name, len(d.known)),
	}}
}

// catchUp writes what the outbox has not, or not yet, delivered, and leaves what diverged alone.
func (s *Service) catchUp(ctx context.Context, set Settings, d desired, there registry.State, found []Divergence) error {
	for _, x := range found {
		if x.kind == kindTag {
			return nil // sync would set it back; and where tags can be compared, nothing is late
		}
	}
	return s.sync(ctx, set, d, there, func(alias string, n note) bool { return ours(d, n, alias, there.Aliases[alias], false) })
}

// act does what the policy says and fills the actions in.
func (s *Service) act(ctx context.Context, set Settings, d desired, st *state, found []Divergence) error {
	if len(found) == 0 {
		return nil
	}
	revert := false
	for i := range found {
		x := &found[i]
		x.Action = Alerted
		if x.kind == kindUnpublished || set.Policy == Alert || set.Policy == "" {
			continue
		}
		if set.Policy == Adopt && x.Subject == Champion {
			if err := s.adopt(ctx, d, st, x); err != nil {
				return err
			}
			continue
		}
		if x.kind == kindVersion {
			if err := s.restore(ctx, set, d, x); err != nil {
				return err
			}
			if x.Action != Reverted {
				continue
			}
		}
		x.Action = Reverted
		revert = true
		s.d.Logger.WarnContext(ctx, "registry set back", "model", x.Model, "subject", x.Subject, "expected", x.Expected, "found", x.Found)
	}
	if !revert {
		return nil
	}
	d, err := s.desired(ctx, d.model.Name)
	if err != nil {
		return err
	}
	there, err := s.d.Target.State(ctx, set.Name)
	if errors.Is(err, registry.ErrNotFound) {
		return nil // it was deleted, and none of its versions is wanted back
	}
	if err != nil {
		return err
	}
	return s.sync(ctx, set, d, there, func(alias string, n note) bool {
		return set.Policy == Revert || alias != Champion || ours(d, n, alias, there.Aliases[alias], false)
	})
}

// restore publishes a version that was deleted there, or all of a registered model's. Versions that nobody can promote
// any more are given up: they are just not there.
func (s *Service) restore(ctx context.Context, set Settings, d desired, x *Divergence) error {
	if !set.Publish {
		return nil
	}
	gone := []store.Version{x.version}
	if x.version.Version == 0 {
		gone = slices.SortedFunc(maps.Values(d.known), func(a, b store.Version) int { return int(a.Version - b.Version) })
	}
	for _, v := range gone {
		forgotten := v
		forgotten.RegistryVersion = ""
		if !publishable(forgotten) {
			if err := s.number(ctx, v, ""); err != nil {
				return err
			}
			continue
		}
		if err := s.publish(ctx, set, v); err != nil {
			return err
		}
	}
	x.Action = Reverted
	return nil
}

// adopt makes the version that was found as Champion ours, through the gates and a promotion. Where that is not possible
// the divergence stays, with the reason.
func (s *Service) adopt(ctx context.Context, d desired, st *state, x *Divergence) error {
	if s.d.Adopter == nil || x.version.Version == 0 || st.refused == x.Key() {
		return nil
	}
	v := x.version
	refuse := func(reason string) {
		st.refused = x.Key()
		x.Message += "; it was not adopted: " + reason
	}
	switch stage.Stage(v.Stage) { //nolint:exhaustive // those that can be validated
	case stage.Trained, stage.Archived, stage.Validated:
	default:
		refuse("it is " + stage.Stage(v.Stage).Title())
		return nil
	}
	promotable, reason, err := s.d.Adopter.Validate(ctx, v.Model, v.Version)
	if err != nil {
		return fmt.Errorf("adopt version %d: %w", v.Version, err)
	}
	if !promotable {
		refuse(reason)
		return nil
	}
	reason = fmt.Sprintf("adopted: the alias %s of %s was moved to version %s", x.Subject, x.RegisteredName, x.Found)
	if err := s.d.Adopter.Promote(ctx, v.Model, v.Version, d.model.Generation, reason); err != nil {
		return fmt.Errorf("adopt version %d: %w", v.Version, err)
	}
	x.Action = Adopted
	return nil
}

// tell raises what is new and takes back what is gone (R4).
func (s *Service) tell(ctx context.Context, st *state, found []Divergence) error {
	now := map[string]Divergence{}
	for _, x := range found {
		if x.Action == Alerted {
			now[x.Key()] = x
		}
	}
	if len(now) == 0 {
		st.refused = ""
	}
	var failed error
	for _, key := range slices.Sorted(maps.Keys(now)) {
		x := now[key]
		if _, told := st.alerted[key]; told {
			continue
		}
		s.d.Logger.WarnContext(ctx, "registry diverged", "model", x.Model, "subject", x.Subject, "expected", x.Expected,
			"found", x.Found, "message", x.Message)
		if s.d.Alerts != nil {
			if err := s.d.Alerts.Diverged(ctx, x); err != nil {
				failed = errors.Join(failed, err)
				continue
			}
		}
		st.alerted[key] = x
	}
	for _, key := range slices.Sorted(maps.Keys(st.alerted)) {
		if _, still := now[key]; still {
			continue
		}
		if s.d.Alerts != nil {
			if err := s.d.Alerts.Converged(ctx, st.alerted[key]); err != nil {
				failed = errors.Join(failed, err)
				continue
			}
		}
		delete(st.alerted, key)
	}
	return failed
}
