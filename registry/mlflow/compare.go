package mlflow

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Comparison puts two versions of a registered model side by side.
type Comparison struct {
	A, B       Version
	RunA, RunB Run // zero where the version has no run, or its run was deleted
	// Differences has every parameter, metric and tag of either, sorted by Field.
	Differences []Difference
}

// Difference is one figure of both versions. A side that does not have it is empty.
type Difference struct {
	Field string // "params.max_depth", "metrics.auc", "tags.git_sha"
	A, B  string
	Equal bool
}

// Compare compares two versions, each named as in Resolve. It fails with ErrNotFound.
func (c *Client) Compare(ctx context.Context, name, a, b string) (Comparison, error) {
	var (
		out Comparison
		err error
	)
	if out.A, out.RunA, err = c.versionAndRun(ctx, name, a); err != nil {
		return Comparison{}, err
	}
	if out.B, out.RunB, err = c.versionAndRun(ctx, name, b); err != nil {
		return Comparison{}, err
	}
	fa, fb := figures(out.A, out.RunA), figures(out.B, out.RunB)
	all := maps.Clone(fa)
	maps.Copy(all, fb)
	for _, f := range slices.Sorted(maps.Keys(all)) {
		x, hasA := fa[f]
		y, hasB := fb[f]
		out.Differences = append(out.Differences, Difference{Field: f, A: x, B: y, Equal: hasA && hasB && x == y})
	}
	return out, nil
}

func (c *Client) versionAndRun(ctx context.Context, name, ref string) (Version, Run, error) {
	v, err := c.Resolve(ctx, name, ref)
	if err != nil || v.RunID == "" {
		return v, Run{}, err
	}
	r, err := c.Run(ctx, v.RunID)
	if errors.Is(err, ErrNotFound) {
		return v, Run{}, nil
	}
	return v, r, err
}

// figures flattens a version and its run. MLflow's own tags are bookkeeping.
func figures(v Version, r Run) map[string]string {
	out := map[string]string{}
	for k, x := range r.Params {
		out["params."+k] = x
	}
	for k, x := range r.Metrics {
		out["metrics."+k] = strconv.FormatFloat(x, 'g', -1, 64)
	}
	for _, tags := range []map[string]string{r.Tags, v.Tags} {
		for k, x := range tags {
			if !strings.HasPrefix(k, "mlflow.") {
				out["tags."+k] = x
			}
		}
	}
	return out
}
