package version

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/lifecycle/audit"
	"github.com/treeline-ml/treeline/lifecycle/stage"
	"github.com/treeline-ml/treeline/registry"
	"github.com/treeline-ml/treeline/store"
)

// Sentinel errors.
var (
	// ErrName: the model name breaks the rules of CheckName. The caller chooses another.
	ErrName = errors.New("version: model name not allowed")
	// ErrInvalid: a field of the request is missing or out of its limits. The message lists every such field.
	ErrInvalid = errors.New("version: request not valid")
	// ErrModel: the model file does not load. The wrapped loader error says where.
	ErrModel = errors.New("version: model does not load")
)

// The limits of a request.
const (
	MaxName = 128       // bytes of a model name
	MaxText = 4096      // bytes of any other text
	MaxTags = 256       // number of tags
	maxTags = 64 * 1024 // bytes of all tags
)

// RegisterRequest describes a new version.
type RegisterRequest struct {
	Model    string
	Artifact registry.Artifact // as committed to the registry
	// ModelFile names the model file in the artifact, GoldenFile the golden rows and HoldoutFile the rows that the
	// training did not see, if any.
	ModelFile, GoldenFile, HoldoutFile string

	RunID, GitSHA string
	TrainedAt     time.Time // zero when unknown
	Tags          map[string]string

	// CreatedVersion is the version that the training was accepted as, which becomes Trained; 0 makes a new version.
	CreatedVersion  int64
	Metrics         map[string]float64 // as the trainer reported them
	RegistryVersion string             // its number in the external registry, if any

	Actor, AuthMethod, RequestID string
}

// CheckName refuses with ErrName a model name that is empty, longer than MaxName bytes, has anything but ASCII letters,
// digits, "_", "-" and "." in it, or does not begin with a letter, digit or "_".
func CheckName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: it is empty", ErrName)
	case len(name) > MaxName:
		return fmt.Errorf("%w: it has %d bytes, at most %d", ErrName, len(name), MaxName)
	case name[0] == '.' || name[0] == '-':
		return fmt.Errorf("%w: %q begins with %q; begin with a letter, digit or underscore", ErrName, name, name[:1])
	}
	for i := range len(name) {
		c := name[i]
		if c != '_' && c != '-' && c != '.' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return fmt.Errorf("%w: %q has something else than letters, digits, \"_\", \"-\" and \".\" at byte %d", ErrName, name, i)
		}
	}
	return nil
}

// Register adds a version of a model in stage Trained. If the same files were registered under this name before it
// returns that version and already=true, whatever else the request says. With CreatedVersion that version moves from
// Created to Trained instead; files that are another version already are ErrInvalid then, and a version in another stage
// is stage.ErrWrong. It fails with ErrName, ErrInvalid, ErrModel, registry.ErrNotFound or registry.ErrDigest; nothing is
// registered then.
func (s *Service) Register(ctx context.Context, r RegisterRequest) (v Version, already bool, err error) {
	if err := CheckName(r.Model); err != nil {
		return Version{}, false, err
	}
	if err := r.check(); err != nil {
		return Version{}, false, err
	}
	err = s.d.Store.View(ctx, func(tx store.Reader) (err error) {
		v, already, err = r.earlier(tx)
		return err
	})
	if err != nil || already {
		return v, already, err
	}
	dir, _, err := s.d.Registry.Fetch(ctx, r.Artifact.Digest)
	if err != nil {
		return Version{}, false, err
	}
	m, err := s.open(dir, r.ModelFile)
	if err != nil {
		return Version{}, false, err
	}
	err = s.d.Store.Update(ctx, func(tx store.Tx) (err error) {
		if v, already, err = r.earlier(tx); err != nil || already {
			return err
		}
		if r.CreatedVersion != 0 {
			v, err = s.complete(tx, r, m)
		} else {
			v, err = s.insert(tx, r, m)
		}
		return err
	})
	if err != nil {
		return Version{}, false, err
	}
	if !already {
		s.d.Logger.InfoContext(ctx, "version registered", "model", v.Model, "version", v.Version, "digest", v.Digest,
			"format", v.Format, "trees", v.Trees, "actor", v.RegisteredBy)
	}
	return v, already, nil
}

// check lists everything that is wrong with the request at once.
func (r *RegisterRequest) check() error {
	var problems []string
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }

	names := map[string]bool{}
	for _, f := range r.Artifact.Files {
		names[f.Name] = true
	}
	switch {
	case r.ModelFile == "":
		bad("no file has the role of the model")
	case !names[r.ModelFile]:
		bad("the model file %q is not in the artifact", r.ModelFile)
	case r.GoldenFile == r.ModelFile:
		bad("%q is both the model and the golden rows", r.ModelFile)
	case r.HoldoutFile == r.ModelFile:
		bad("%q is both the model and the holdout rows", r.ModelFile)
	}
	if r.GoldenFile != "" && !names[r.GoldenFile] {
		bad("the golden rows %q are not in the artifact", r.GoldenFile)
	}
	if r.HoldoutFile != "" && !names[r.HoldoutFile] {
		bad("the holdout rows %q are not in the artifact", r.HoldoutFile)
	}
	text := func(name, value string) {
		if len(value) > MaxText || !utf8.ValidString(value) || strings.ContainsRune(value, 0) {
			bad("%s is longer than %d bytes, not UTF-8, or has a NUL", name, MaxText)
		}
	}
	text("run_id", r.RunID)
	text("git_sha", r.GitSHA)
	text("actor", r.Actor)
	text("request id", r.RequestID)
	if y := r.TrainedAt.UTC().Year(); y < 1 || y > 9999 {
		bad("trained_at is in year %d", y)
	}
	size := 0
	for k, v := range r.Tags {
		text("a tag's name", k)
		text("the tag "+fmt.Sprintf("%.40q", k), v)
		if k == "" {
			bad("a tag has no name")
		}
		size += len(k) + len(v)
	}
	if len(r.Tags) > MaxTags || size > maxTags {
		bad("%d tags with %d bytes, at most %d with %d", len(r.Tags), size, MaxTags, maxTags)
	}
	if problems != nil {
		return fmt.Errorf("%w: %s", ErrInvalid, strings.Join(problems, "; "))
	}
	return nil
}

// earlier finds the version that these files are already, and refuses other roles for known files (V3).
func (r *RegisterRequest) earlier(tx store.Reader) (Version, bool, error) {
	file, err := tx.ModelFile(r.Artifact.Digest)
	switch {
	case errors.Is(err, store.ErrVersionNotFound):
		return Version{}, false, nil
	case err != nil:
		return Version{}, false, err
	case file != r.ModelFile:
		return Version{}, false, fmt.Errorf(
			"%w: the same files were registered before with %q as the model, not %q; leave the other one out",
			ErrInvalid, file, r.ModelFile)
	}
	row, err := tx.VersionByDigest(r.Model, r.Artifact.Digest,
		string(stage.Rejected), string(stage.Failed), string(stage.Retired))
	switch {
	case errors.Is(err, store.ErrVersionNotFound):
		return Version{}, false, nil
	case err != nil:
		return Version{}, false, err
	case row.GoldenFile != r.GoldenFile:
		return Version{}, false, fmt.Errorf(
			"%w: the same files are version %d already, with %q as the golden rows, not %q; rename a file to make it another version",
			ErrInvalid, row.Version, row.GoldenFile, r.GoldenFile)
	case row.HoldoutFile != r.HoldoutFile:
		return Version{}, false, fmt.Errorf(
			"%w: the same files are version %d already, with %q as the holdout rows, not %q; rename a file to make it another version",
			ErrInvalid, row.Version, row.HoldoutFile, r.HoldoutFile)
	case r.CreatedVersion != 0 && row.Version != r.CreatedVersion:
		return Version{}, false, fmt.Errorf("%w: version %d cannot have the files of version %d", ErrInvalid, r.CreatedVersion, row.Version)
	}
	return FromRow(row), true, nil
}

// row is the version as it is stored, without its number and its stage.
func (r *RegisterRequest) row(m *forest.Model, now time.Time) store.Version {
	p := m.Provenance
	return store.Version{
		Model: r.Model, Digest: r.Artifact.Digest, ModelFile: r.ModelFile, GoldenFile: r.GoldenFile, HoldoutFile: r.HoldoutFile,
		Format: p.Format, Library: p.Library, LibraryVersion: p.Version, Objective: p.Objective, Features: len(m.Features),
		Trees: len(m.Trees), RunID: r.RunID, GitSHA: r.GitSHA, TrainedAt: r.TrainedAt, RegisteredAt: now, RegisteredBy: r.Actor,
		Tags: r.Tags, Metrics: r.Metrics, RegistryVersion: r.RegistryVersion,
	}
}

// insert adds the version and its audit entry.
func (s *Service) insert(tx store.Tx, r RegisterRequest, m *forest.Model) (Version, error) {
	now := s.now()
	row := r.row(m, now)
	row.Stage, row.StageAt = string(stage.Trained), now
	return s.add(tx, row, audit.Entry{
		At: now, Actor: r.Actor, AuthMethod: r.AuthMethod, Action: stage.ActionRegister, RequestID: r.RequestID,
	})
}

// add adds a version under the next number, in its stage, with its audit entry, of which it fills in the rest.
func (s *Service) add(tx store.Tx, row store.Version, e audit.Entry) (Version, error) {
	if err := tx.EnsureModel(row.Model, e.At); err != nil {
		return Version{}, err
	}
	model, err := tx.Model(row.Model)
	if err != nil {
		return Version{}, err
	}
	if row.Version, err = tx.NextVersion(row.Model); err != nil {
		return Version{}, err
	}
	if err := tx.InsertVersion(row); err != nil {
		return Version{}, err
	}
	e.Model, e.Version, e.ToStage, e.Generation = row.Model, row.Version, row.Stage, model.Generation
	if _, err := audit.Append(tx, e); err != nil {
		return Version{}, err
	}
	// Read back, so that the caller gets what a later Get gives.
	row, err = tx.Version(row.Model, row.Version)
	return FromRow(row), err
}

func (s *Service) now() time.Time { return s.d.Now().UTC().Truncate(time.Microsecond) }
