package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/treeline-ml/treeline/forest"
	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
	"github.com/treeline-ml/treeline/lifecycle/version"
	"github.com/treeline-ml/treeline/store"
)

// The trainer's account of a version, a file of its artifact.
const (
	resultFile     = "result.json"
	maxResultBytes = 1 << 20
)

// CompareVersions puts two versions side by side.
func (s *registryService) CompareVersions(
	ctx context.Context, r *lifecyclev1.CompareVersionsRequest,
) (*lifecyclev1.CompareVersionsResponse, error) {
	var c check
	c.model("model_name", r.GetModelName())
	if r.GetVersion() < 1 {
		c.failf("version", "is %d; versions start at 1", r.GetVersion())
	}
	c.version("other_version", r.GetOtherVersion())
	if err := c.err(); err != nil {
		return nil, err
	}
	one, other, err := s.pair(ctx, r)
	if err != nil {
		return nil, err
	}
	left, err := s.describe(ctx, one)
	if err != nil {
		return nil, err
	}
	right, err := s.describe(ctx, other)
	if err != nil {
		return nil, err
	}
	return &lifecyclev1.CompareVersionsResponse{
		Version: versionProto(one), Other: versionProto(other), Differences: differences(left, right),
	}, nil
}

// pair finds the two versions; the second is the Champion unless it is named.
func (s *registryService) pair(ctx context.Context, r *lifecyclev1.CompareVersionsRequest) (one, other version.Version, err error) {
	versions, err := s.versions.Versions(ctx, r.GetModelName())
	if err != nil {
		return one, other, err
	}
	second := r.GetOtherVersion()
	if second == 0 {
		models, err := s.versions.Models(ctx)
		if err != nil {
			return one, other, err
		}
		for _, m := range models {
			if m.Name == r.GetModelName() {
				second = m.Champion
			}
		}
		if second == 0 {
			return one, other, fmt.Errorf("%s: comparing with the Champion: %w", r.GetModelName(), store.ErrNoChampion)
		}
	}
	find := func(number int64) (version.Version, error) {
		if i := slices.IndexFunc(versions, func(v version.Version) bool { return v.Version == number }); i >= 0 {
			return versions[i], nil
		}
		return version.Version{}, fmt.Errorf("%s version %d: %w", r.GetModelName(), number, store.ErrVersionNotFound)
	}
	if one, err = find(r.GetVersion()); err != nil {
		return one, other, err
	}
	other, err = find(second)
	return one, other, err
}

// described are the properties of a version by field, and the fields in their order.
type described struct {
	order  []string
	values map[string]string
}

func (d *described) put(field, value string) {
	if value == "" {
		return
	}
	if _, there := d.values[field]; !there {
		d.order = append(d.order, field)
	}
	d.values[field] = value
}

// describe collects what is known of a version: its record, what its trainer was told and measured, how the gates judged
// it, and what is in the model file.
func (s *registryService) describe(ctx context.Context, v version.Version) (*described, error) {
	d := &described{values: map[string]string{}}
	d.put("stage", string(v.Stage))
	d.put("digest", v.Digest)
	d.put("library", strings.TrimSpace(v.Library+" "+v.LibraryVersion))
	d.put("format", v.Format)
	d.put("objective", v.Objective)
	d.put("trained_at", timeText(v.TrainedAt))
	d.put("git_sha", v.GitSHA)
	d.put("run_id", v.RunID)
	d.put("registry_version", v.RegistryVersion)
	if v.Digest != "" {
		if err := s.describeFiles(ctx, v, d); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(v.Metrics)) {
		d.put("metrics."+name, strconv.FormatFloat(v.Metrics[name], 'g', -1, 64))
	}
	report, err := s.gates.Report(ctx, v.Model, v.Version)
	if err != nil && !errors.Is(err, store.ErrNoEvidence) {
		return nil, err
	}
	for _, g := range report.Gates {
		d.put("gates."+g.Gate, string(g.Outcome)+": "+g.Summary)
	}
	for _, name := range slices.Sorted(maps.Keys(v.Tags)) {
		d.put("tags."+name, v.Tags[name])
	}
	return d, nil
}

// describeFiles reads the artifact: the model's structure, and the trainer's parameters if it left any.
func (s *registryService) describeFiles(ctx context.Context, v version.Version, d *described) error {
	loaded, err := s.models.Load(ctx, v.Digest)
	if err != nil {
		return fmt.Errorf("version %d: %w", v.Version, err)
	}
	m := loaded.Model
	d.put("trees", strconv.Itoa(len(m.Trees)))
	d.put("outputs", strconv.Itoa(m.Outputs))
	d.put("features", strconv.Itoa(len(m.Features)))
	used := 0
	for i, f := range m.Features {
		kind := "numeric"
		if f.Kind == forest.Categorical {
			kind = "categorical"
		}
		if loaded.Program.Uses(i) {
			used++
		} else {
			kind += ", not used"
		}
		d.put("features."+f.Name, kind)
	}
	d.put("features_used", strconv.Itoa(used))
	params, err := s.parameters(ctx, v.Digest)
	if err != nil {
		return fmt.Errorf("version %d: %w", v.Version, err)
	}
	for _, name := range slices.Sorted(maps.Keys(params)) {
		d.put("parameters."+name, params[name])
	}
	return nil
}

// parameters are those in the trainer's result, if the artifact has one that can be read: it is the trainer's file, and
// what is in it decides nothing.
func (s *registryService) parameters(ctx context.Context, digest string) (map[string]string, error) {
	dir, _, err := s.registry.Fetch(ctx, digest)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(filepath.Join(dir, resultFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var result struct {
		Params map[string]any `json:"params"`
	}
	if json.NewDecoder(io.LimitReader(f, maxResultBytes)).Decode(&result) != nil {
		return nil, nil
	}
	out := make(map[string]string, len(result.Params))
	for name, value := range result.Params {
		if text, ok := value.(string); ok {
			out[name] = text
			continue
		}
		if b, err := json.Marshal(value); err == nil {
			out[name] = string(b)
		}
	}
	return out, nil
}

// differences lines two descriptions up: the fields of the first in their order, then those that only the second has.
func differences(one, other *described) []*lifecyclev1.VersionDifference {
	var out []*lifecyclev1.VersionDifference
	row := func(field string) {
		a, b := one.values[field], other.values[field]
		out = append(out, &lifecyclev1.VersionDifference{Field: field, Value: a, OtherValue: b, Equal: a == b})
	}
	for _, f := range one.order {
		row(f)
	}
	for _, f := range other.order {
		if _, seen := one.values[f]; !seen {
			row(f)
		}
	}
	return out
}
