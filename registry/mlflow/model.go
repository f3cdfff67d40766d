package mlflow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/treeline-ml/treeline/registry"
)

// Model is a registered model.
type Model struct {
	Name, Description string
	Aliases           map[string]string // alias to version
	Tags              map[string]string
	Created, Updated  time.Time
}

// Version is a version of a registered model.
type Version struct {
	Name    string
	Version string // "3"
	// RunID is of the run that made it; empty when the registry was not told.
	RunID       string
	Source      string // where its files are: "models:/m-...", "runs:/...", "mlflow-artifacts:/..."
	Description string
	Status      string            // "READY" says that the record is complete, not that the files are
	Stage       string            // MLflow's deprecated stage, "None" where nobody set one; only read
	Aliases     []string          // known for versions found by an alias only
	Tags        map[string]string // without those of the run
	Created     time.Time
	Updated     time.Time
}

// NewVersion describes a version to be made.
type NewVersion struct {
	Name, Source, RunID, Description string
	Tags                             map[string]string
}

type wireModel struct {
	Name        string  `json:"name"`
	Description string  `json:"description"`
	Created     integer `json:"creation_timestamp"`
	Updated     integer `json:"last_updated_timestamp"`
	Tags        []entry `json:"tags"`
	Aliases     []struct {
		Alias   string `json:"alias"`
		Version text   `json:"version"`
	} `json:"aliases"`
}

func (w *wireModel) model() Model {
	m := Model{
		Name: w.Name, Description: w.Description, Tags: toMap(w.Tags), Created: w.Created.time(), Updated: w.Updated.time(),
		Aliases: make(map[string]string, len(w.Aliases)),
	}
	for _, a := range w.Aliases {
		m.Aliases[a.Alias] = string(a.Version)
	}
	return m
}

type wireVersion struct {
	Name        string   `json:"name"`
	Version     text     `json:"version"`
	RunID       string   `json:"run_id"`
	Source      string   `json:"source"`
	Description string   `json:"description"`
	Status      string   `json:"status"`
	Stage       string   `json:"current_stage"`
	Aliases     []string `json:"aliases"`
	Tags        []entry  `json:"tags"`
	Created     integer  `json:"creation_timestamp"`
	Updated     integer  `json:"last_updated_timestamp"`
}

func (w *wireVersion) version() Version {
	return Version{
		Name: w.Name, Version: string(w.Version), RunID: w.RunID, Source: w.Source, Description: w.Description,
		Status: w.Status, Stage: w.Stage, Aliases: w.Aliases, Tags: toMap(w.Tags), Created: w.Created.time(),
		Updated: w.Updated.time(),
	}
}

// number is the version as a number; 0 when it is none.
func (v *Version) number() int64 {
	n, err := strconv.ParseInt(v.Version, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// EnsureModel makes a registered model unless it is there.
func (c *Client) EnsureModel(ctx context.Context, name string) error {
	// Names are unique, so a repetition cannot make a second one.
	err := c.post(ctx, "registered-models/create", map[string]string{"name": name}, nil, again)
	if errors.Is(err, ErrExists) {
		return nil
	}
	return err
}

// Model returns a registered model. It fails with ErrNotFound.
func (c *Client) Model(ctx context.Context, name string) (Model, error) {
	var out struct {
		Model wireModel `json:"registered_model"`
	}
	err := c.get(ctx, "registered-models/get", url.Values{"name": {name}}, &out)
	return out.Model.model(), err
}

// Models lists the registered models by name.
func (c *Client) Models(ctx context.Context) ([]Model, error) {
	seen := map[string]bool{}
	var out []Model
	err := c.pages(func(token string, page int) (string, int, error) {
		var answer struct {
			Models []wireModel `json:"registered_models"`
			Token  string      `json:"next_page_token"`
		}
		q := url.Values{"max_results": {strconv.Itoa(page)}}
		if token != "" {
			q.Set("page_token", token)
		}
		err := c.get(ctx, "registered-models/search", q, &answer)
		for i := range answer.Models {
			if m := answer.Models[i].model(); !seen[m.Name] {
				seen[m.Name] = true
				out = append(out, m)
			}
		}
		return answer.Token, len(answer.Models), err
	})
	slices.SortFunc(out, func(a, b Model) int { return cmp.Compare(a.Name, b.Name) })
	return out, err
}

// SetModelTag sets a tag of a registered model.
func (c *Client) SetModelTag(ctx context.Context, name, key, value string) error {
	return c.post(ctx, "registered-models/set-tag", map[string]string{"name": name, "key": key, "value": value}, nil, again)
}

// Version returns a version by its number. It fails with ErrNotFound.
func (c *Client) Version(ctx context.Context, name, version string) (Version, error) {
	var out struct {
		Version wireVersion `json:"model_version"`
	}
	err := c.get(ctx, "model-versions/get", url.Values{"name": {name}, "version": {version}}, &out)
	return out.Version.version(), err
}

// Versions lists the versions of a registered model, the highest first; none when there is no such model.
func (c *Client) Versions(ctx context.Context, name string) ([]Version, error) {
	n, err := quote(name)
	if err != nil {
		return nil, err
	}
	return c.SearchVersions(ctx, "name = "+n)
}

// SearchVersions lists the versions that match MLflow's filter, by model and the highest first. The server pages by
// offset, so rows may move between pages; what comes twice is listed once.
func (c *Client) SearchVersions(ctx context.Context, filter string) ([]Version, error) {
	type key struct{ name, version string }
	seen := map[key]bool{}
	var out []Version
	err := c.pages(func(token string, page int) (string, int, error) {
		var answer struct {
			Versions []wireVersion `json:"model_versions"`
			Token    string        `json:"next_page_token"`
		}
		q := url.Values{"filter": {filter}, "max_results": {strconv.Itoa(page)}, "order_by": {"name ASC", "version_number DESC"}}
		if token != "" {
			q.Set("page_token", token)
		}
		err := c.get(ctx, "model-versions/search", q, &answer)
		for i := range answer.Versions {
			v := answer.Versions[i].version()
			if k := (key{v.Name, v.Version}); !seen[k] {
				seen[k] = true
				out = append(out, v)
			}
		}
		return answer.Token, len(answer.Versions), err
	})
	slices.SortStableFunc(out, func(a, b Version) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(b.number(), a.number()))
	})
	return out, err
}

// CreateVersion makes the next version of a registered model. The reply may get lost; to find out, search for a tag that
// only this version has.
func (c *Client) CreateVersion(ctx context.Context, v NewVersion) (Version, error) {
	body := map[string]any{"name": v.Name, "source": v.Source, "description": v.Description, "tags": toEntries(v.Tags)}
	if v.RunID != "" {
		body["run_id"] = v.RunID
	}
	if id, ok := strings.CutPrefix(v.Source, "models:/"); ok {
		body["model_id"] = id // the server wants it beside such a source
	}
	var out struct {
		Version wireVersion `json:"model_version"`
	}
	err := c.post(ctx, "model-versions/create", body, &out, once)
	return out.Version.version(), err
}

// SetVersionTag sets a tag of a version.
func (c *Client) SetVersionTag(ctx context.Context, name, version, key, value string) error {
	return c.post(ctx, "model-versions/set-tag",
		map[string]string{"name": name, "version": version, "key": key, "value": value}, nil, again)
}

// DeleteVersionTag removes a tag of a version. It fails with ErrNotFound when the version has no such tag.
func (c *Client) DeleteVersionTag(ctx context.Context, name, version, key string) error {
	return c.call(ctx, http.MethodDelete, apiPath+"model-versions/delete-tag", nil,
		map[string]string{"name": name, "version": version, "key": key}, nil, again)
}

// Alias returns the version that an alias names. It fails with ErrNotFound; MLflow's aliases are case-sensitive.
func (c *Client) Alias(ctx context.Context, name, alias string) (Version, error) {
	var out struct {
		Version wireVersion `json:"model_version"`
	}
	err := c.get(ctx, "registered-models/alias", url.Values{"name": {name}, "alias": {alias}}, &out)
	return out.Version.version(), err
}

// SetAlias lets an alias name a version, whatever it named before: the last writer wins. It fails with ErrNotFound when
// there is no such version, and with ErrInvalid for aliases that MLflow reserves ("latest", "v1").
func (c *Client) SetAlias(ctx context.Context, name, alias, version string) error {
	return c.post(ctx, "registered-models/alias", map[string]string{"name": name, "alias": alias, "version": version}, nil, again)
}

// DeleteAlias removes an alias; one that is not there is fine.
func (c *Client) DeleteAlias(ctx context.Context, name, alias string) error {
	return c.call(ctx, http.MethodDelete, apiPath+"registered-models/alias", nil,
		map[string]string{"name": name, "alias": alias}, nil, again)
}

// State returns everything of a registered model that a projection compares. It fails with ErrNotFound.
func (c *Client) State(ctx context.Context, name string) (registry.State, error) {
	m, err := c.Model(ctx, name)
	if err != nil {
		return registry.State{}, err
	}
	versions, err := c.Versions(ctx, name)
	if err != nil {
		return registry.State{}, err
	}
	s := registry.State{Aliases: m.Aliases, Tags: m.Tags, Versions: make(map[string]map[string]string, len(versions))}
	for _, v := range versions {
		s.Versions[v.Version] = v.Tags
	}
	return s, nil
}

// Resolve finds a version by its number, by an alias ("Champion" or "@Champion"), or as the highest one ("latest"). It
// fails with ErrNotFound.
func (c *Client) Resolve(ctx context.Context, name, ref string) (Version, error) {
	ref = strings.TrimPrefix(ref, "@")
	switch {
	case ref == "":
		return Version{}, fmt.Errorf("%w: neither a version nor an alias of %s is named", ErrInvalid, name)
	case isNumber(ref):
		return c.Version(ctx, name, ref)
	case strings.EqualFold(ref, "latest"):
		all, err := c.Versions(ctx, name)
		if err == nil && len(all) == 0 {
			err = fmt.Errorf("mlflow: %s has no versions: %w", name, ErrNotFound)
		}
		if err != nil {
			return Version{}, err
		}
		return all[0], nil
	}
	v, err := c.Alias(ctx, name, ref)
	if errors.Is(err, ErrNotFound) {
		if m, other := c.Model(ctx, name); other == nil {
			for alias, version := range m.Aliases {
				if strings.EqualFold(alias, ref) {
					return v, fmt.Errorf("%w; there is %q (version %s), and MLflow tells upper from lower case", err, alias, version)
				}
			}
		}
	}
	return v, err
}

func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
