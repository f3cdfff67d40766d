package projection

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/treeline-ml/treeline/lifecycle/audit"
	"github.com/treeline-ml/treeline/lifecycle/outbox"
	"github.com/treeline-ml/treeline/lifecycle/stage"
	"github.com/treeline-ml/treeline/registry"
	"github.com/treeline-ml/treeline/store"
)

// Deliver brings the registry up to date for the models of the rows. It is the outbox's handler of audit.OutboxKind. Rows of
// models that are not projected count as told; the rows of a model that failed are in an outbox.Partial.
func (s *Service) Deliver(ctx context.Context, rows []store.OutboxRow) error {
	var (
		models  []string
		ids     = map[string][]int64{}
		decided = map[string]map[string]bool{}
		failed  = &outbox.Partial{Failed: map[int64]error{}}
	)
	for _, row := range rows {
		var p audit.StageChange
		if err := json.Unmarshal(row.Payload, &p); err != nil {
			failed.Failed[row.ID] = outbox.Permanent(fmt.Errorf("projection: payload: %w", err))
			continue
		}
		if decided[p.Model] == nil {
			decided[p.Model] = map[string]bool{}
			models = append(models, p.Model)
		}
		ids[p.Model] = append(ids[p.Model], row.ID)
		for _, at := range []string{p.From, p.To} {
			switch stage.Stage(at) { //nolint:exhaustive // the two that have an alias
			case stage.Champion:
				decided[p.Model][Champion] = true
			case stage.Validated:
				decided[p.Model][Challenger] = true
			}
		}
	}
	var away error
	for _, model := range models {
		err := away // the other models would wait for the same
		if err == nil {
			err = s.project(ctx, model, decided[model])
		}
		if errors.Is(err, registry.ErrUnavailable) || ctx.Err() != nil {
			away = err
		}
		if err == nil {
			continue
		}
		for _, id := range ids[model] {
			failed.Failed[id] = fmt.Errorf("%s: %w", model, err)
		}
	}
	if len(failed.Failed) == 0 {
		return nil
	}
	return failed
}

// project makes the registry as the store says, as far as nobody else's decision stands in the way.
func (s *Service) project(ctx context.Context, model string, decided map[string]bool) error {
	set, ok := s.d.Models(model)
	if !ok {
		return nil
	}
	st, unlock, err := s.lock(ctx, model)
	if err != nil {
		return err
	}
	defer unlock()
	d, err := s.desired(ctx, model)
	if errNoModel(err) {
		return nil
	}
	if err != nil {
		return err
	}
	d, refused, err := s.publishMissing(ctx, set, st, d, true)
	if err != nil {
		return err
	}
	there, err := s.d.Target.State(ctx, set.Name)
	switch {
	case errors.Is(err, registry.ErrNotFound): // nothing was published yet, or somebody deleted it all
		return refused
	case err == nil:
		err = s.sync(ctx, set, d, there, func(alias string, n note) bool { return ours(d, n, alias, there.Aliases[alias], decided[alias]) })
	}
	return errors.Join(err, refused)
}

func (s *Service) desired(ctx context.Context, model string) (d desired, err error) {
	err = s.d.Store.View(ctx, func(r store.Reader) error {
		d, err = readDesired(r, model)
		return err
	})
	return d, err
}

// ours reports whether an alias that is not as it should be is ours to write; see the package comment. decided means that
// our store changed it just now.
func ours(d desired, n note, alias, there string, decided bool) bool {
	left, noted := n.Aliases[alias]
	switch {
	case !noted:
		return there == "" || decided
	case there == left:
		return true
	default:
		// A stop between the alias and its note leaves an older note: what our store has just decided is written all the same.
		return left != d.aliases[alias] || decided
	}
}

// sync writes what differs from the state that was just read and may be written, reads it back and leaves a note. Versions
// that are not there any more are passed over; Check reports them.
func (s *Service) sync(ctx context.Context, set Settings, d desired, st registry.State, mayWrite func(alias string, n note) bool) error {
	n := readNote(st)
	wrote, err := s.writeTags(ctx, set, d, st)
	if err != nil {
		return err
	}
	written := map[string]string{}
	for _, alias := range []string{Champion, Challenger} {
		want, there := d.aliases[alias], st.Aliases[alias]
		if want == there || !mayWrite(alias, n) {
			continue
		}
		if want == "" {
			err = s.d.Target.DeleteAlias(ctx, set.Name, alias)
		} else if _, ok := st.Versions[want]; !ok {
			continue
		} else {
			err = s.d.Target.SetAlias(ctx, set.Name, alias, want)
		}
		if err != nil {
			return err
		}
		s.d.Logger.InfoContext(ctx, "registry alias written", "model", d.model.Name, "registered_model", set.Name, "alias", alias,
			"version", want, "was", there)
		written[alias], wrote = want, true
	}
	if wrote {
		if st, err = s.readBack(ctx, set, d, written); err != nil {
			return err
		}
	}
	return s.leaveNote(ctx, set, d, st, n)
}

// writeTags sets the tags that differ.
func (s *Service) writeTags(ctx context.Context, set Settings, d desired, st registry.State) (wrote bool, err error) {
	for _, version := range slices.Sorted(maps.Keys(d.tags)) {
		there, ok := st.Versions[version]
		if !ok {
			continue
		}
		want := d.tags[version]
		for _, key := range slices.Sorted(maps.Keys(want)) {
			if there[key] == want[key] {
				continue
			}
			if err := s.d.Target.SetVersionTag(ctx, set.Name, version, key, want[key]); err != nil {
				return wrote, err
			}
			wrote = true
		}
	}
	return wrote, nil
}

// readBack reads the state again and compares it with what was written (R2).
func (s *Service) readBack(ctx context.Context, set Settings, d desired, written map[string]string) (registry.State, error) {
	st, err := s.d.Target.State(ctx, set.Name)
	if err != nil {
		return st, err
	}
	for alias, want := range written {
		if got := st.Aliases[alias]; got != want {
			return st, fmt.Errorf("%s: the alias %s was set to version %q and reads %q: somebody else writes there too", set.Name, alias, want, got)
		}
	}
	for version, want := range d.tags {
		there, ok := st.Versions[version]
		for key, value := range want {
			if ok && there[key] != value {
				return st, fmt.Errorf("%s version %s: the tag %s was set to %q and reads %q: somebody else writes there too",
					set.Name, version, key, value, there[key])
			}
		}
	}
	return st, nil
}

// leaveNote notes the aliases that are as they should be.
func (s *Service) leaveNote(ctx context.Context, set Settings, d desired, st registry.State, before note) error {
	n := note{Aliases: maps.Clone(before.Aliases)}
	for alias, want := range d.aliases {
		if st.Aliases[alias] == want {
			n.Aliases[alias] = want
		}
	}
	var err error
	if n.Tags, err = d.tagsDigest(); err != nil {
		return err
	}
	text := n.String()
	if text == st.Tags[NoteTag] {
		return nil
	}
	return s.d.Target.SetModelTag(ctx, set.Name, NoteTag, text)
}
