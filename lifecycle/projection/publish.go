package projection

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/treeline-ml/treeline/lifecycle/stage"
	"github.com/treeline-ml/treeline/registry"
	"github.com/treeline-ml/treeline/store"
)

// publishable reports whether a version that the registry does not have should be there. An Archived one comes back as
// Champion, and is published then.
func publishable(v store.Version) bool {
	switch stage.Stage(v.Stage) { //nolint:exhaustive // those that may be or become Champion
	case stage.Trained, stage.Validated, stage.Champion:
		return v.RegistryVersion == "" && v.Digest != ""
	default:
		return false
	}
}

// publishMissing publishes what should be there and is not, the oldest first, and returns what is desired then. A version
// that the registry refuses does not stop the others; refused says which and why. again tries those too that it refused
// before.
func (s *Service) publishMissing(ctx context.Context, set Settings, st *state, d desired, again bool) (now desired, refused, err error) {
	if !set.Publish {
		return d, nil, nil
	}
	published := false
	for _, v := range slices.Backward(d.versions) {
		if _, before := st.unpublish[v.Version]; !publishable(v) || before && !again {
			continue
		}
		err := s.publish(ctx, set, v)
		switch {
		case err == nil:
			published = true
			delete(st.unpublish, v.Version)
			continue
		case errors.Is(err, registry.ErrUnavailable) || ctx.Err() != nil:
			return d, refused, err
		}
		st.unpublish[v.Version] = err.Error()
		refused = errors.Join(refused, err)
	}
	if published {
		d, err = s.desired(ctx, d.model.Name)
	}
	return d, refused, err
}

// publish makes one version there and notes its number.
func (s *Service) publish(ctx context.Context, set Settings, v store.Version) error {
	dir, a, err := s.d.Registry.Fetch(ctx, v.Digest)
	if err != nil {
		return fmt.Errorf("publish %s version %d: %w", v.Model, v.Version, err)
	}
	n, err := s.d.Target.Publish(ctx, publication(set, v, dir, a))
	if err != nil {
		return fmt.Errorf("publish %s version %d: %w", v.Model, v.Version, err)
	}
	if err := s.number(ctx, v, n); err != nil {
		return err
	}
	s.d.Logger.InfoContext(ctx, "version published", "model", v.Model, "version", v.Version, "registered_model", set.Name,
		"registry_version", n)
	return nil
}

// number notes the registry's number of a version, unless somebody noted one meanwhile.
func (s *Service) number(ctx context.Context, v store.Version, n string) error {
	return s.d.Store.Update(ctx, func(tx store.Tx) error {
		now, err := tx.Version(v.Model, v.Version)
		if err != nil || now.RegistryVersion != v.RegistryVersion {
			return err
		}
		return tx.SetRegistryVersion(v.Model, v.Version, n)
	})
}

func publication(set Settings, v store.Version, dir string, a registry.Artifact) registry.Publication {
	at := v.TrainedAt
	if at.IsZero() {
		at = v.RegisteredAt
	}
	p := registry.Publication{
		Name: set.Name, Key: fmt.Sprintf("%s/%d/%s", v.Model, v.Version, v.Digest),
		RunName: v.Model + "-" + at.UTC().Format("20060102-150405"), Dir: dir, Artifact: a, ModelFile: v.ModelFile,
		Format: v.Format, LibraryVersion: v.LibraryVersion, Metrics: v.Metrics, Tags: map[string]string{},
		Description: fmt.Sprintf("%s version %d, registered %s", v.Model, v.Version, v.RegisteredAt.UTC().Format(time.RFC3339)),
		Params:      map[string]string{},
	}
	maps.Copy(p.Tags, v.Tags)
	for key, value := range map[string]string{
		"git_sha": v.GitSHA, "treeline.run_id": v.RunID, TagDigest: v.Digest, TagVersion: strconv.FormatInt(v.Version, 10),
	} {
		if value != "" {
			p.Tags[key] = value
		}
	}
	for key, value := range map[string]string{
		"library": v.Library, "library_version": v.LibraryVersion, "format": v.Format, "objective": v.Objective,
		"features": strconv.Itoa(v.Features), "trees": strconv.Itoa(v.Trees),
	} {
		if value != "" {
			p.Params[key] = value
		}
	}
	return p
}
