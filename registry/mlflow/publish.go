package mlflow

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path"
	"time"

	"github.com/treeline-ml/treeline/registry"
)

// keyTag marks the run and the version of a publication, by which both are found again when a reply was lost (M1).
const keyTag = "treeline.publication"

// Publish makes a version of files that were not trained through MLflow: a run with parameters, metrics and the files
// as artifacts, an MLmodel beside the model file when there is none and MLflow has a flavour for it (see Flavours), and a
// version of the registered model, which is made too if need be. It returns the version's number. The same Key again
// returns the same version and makes nothing; a call that failed half-way is completed.
func (c *Client) Publish(ctx context.Context, p registry.Publication) (string, error) {
	v, err := c.publish(ctx, p)
	if err != nil {
		return "", fmt.Errorf("publish %s (%s): %w", p.Name, p.Key, err)
	}
	return v.Version, nil
}

func (c *Client) publish(ctx context.Context, p registry.Publication) (Version, error) {
	if p.Name == "" || p.Key == "" || p.ModelFile == "" {
		return Version{}, fmt.Errorf("%w: a publication needs a name, a key and a model file", ErrInvalid)
	}
	if err := c.EnsureModel(ctx, p.Name); err != nil {
		return Version{}, err
	}
	if v, err := c.published(ctx, p); !errors.Is(err, ErrNotFound) {
		return v, err
	}
	r, err := c.publicationRun(ctx, p)
	if err != nil {
		return Version{}, err
	}
	if err := c.LogBatch(ctx, r.ID, Batch{Params: p.Params, Metrics: p.Metrics, Tags: p.Tags, At: r.Start}); err != nil {
		return Version{}, err
	}
	dir, err := c.upload(ctx, r, p)
	if err != nil {
		return Version{}, err
	}
	v, err := c.createPublished(ctx, r, dir, p)
	if err != nil {
		return Version{}, err
	}
	return v, c.EndRun(ctx, r.ID, RunFinished, time.Now())
}

// published finds the version of an earlier publication, complete or not: its files were there before it.
func (c *Client) published(ctx context.Context, p registry.Publication) (Version, error) {
	name, err := quote(p.Name)
	if err != nil {
		return Version{}, err
	}
	key, err := tagFilter(keyTag, p.Key)
	if err != nil {
		return Version{}, err
	}
	found, err := c.SearchVersions(ctx, "name = "+name+" AND "+key)
	if err != nil {
		return Version{}, err
	}
	if len(found) == 0 {
		return Version{}, ErrNotFound
	}
	return found[len(found)-1], nil // the first that was made
}

// publicationRun takes up the run of an earlier attempt or makes one.
func (c *Client) publicationRun(ctx context.Context, p registry.Publication) (Run, error) {
	experiment := p.Experiment
	if experiment == "" {
		experiment = c.o.Experiment
	}
	id, err := c.Experiment(ctx, experiment)
	if err != nil {
		return Run{}, err
	}
	key, err := tagFilter(keyTag, p.Key)
	if err != nil {
		return Run{}, err
	}
	find := func() (Run, error) {
		found, err := c.SearchRuns(ctx, []string{id}, key, 1)
		if err == nil && len(found) == 0 {
			err = ErrNotFound
		}
		if err != nil {
			return Run{}, err
		}
		return found[0], nil
	}
	if r, err := find(); !errors.Is(err, ErrNotFound) {
		return r, err
	}
	r, err := c.CreateRun(ctx, NewRun{
		ExperimentID: id, Name: p.RunName, Start: time.Now(), Tags: map[string]string{keyTag: p.Key},
	})
	if errors.Is(err, ErrUnavailable) {
		if r, err := find(); err == nil {
			return r, nil // only the reply was lost
		}
	}
	return r, err
}

// upload copies the files to the run's artifacts and compares their sizes there. It returns the place of the model's
// directory in the artifact store.
func (c *Client) upload(ctx context.Context, r Run, p registry.Publication) (string, error) {
	root, err := c.locateURI(ctx, r.ArtifactURI)
	if err != nil {
		return "", err
	}
	local, err := os.OpenRoot(p.Dir)
	if err != nil {
		return "", err
	}
	defer local.Close() //nolint:errcheck // only read from
	prefix := ""
	if path.Dir(p.ModelFile) == "." {
		prefix = "model/" // a version's source is a directory of its own below the run's artifacts
	}
	dir := path.Join(root, prefix, path.Dir(p.ModelFile))
	mlmodel := path.Join(path.Dir(p.ModelFile), "MLmodel")
	want := map[string]int64{}
	for _, f := range p.Artifact.Files {
		open := func() (io.ReadCloser, error) { return local.Open(f.Name) }
		if err := c.put(ctx, path.Join(root, prefix, f.Name), f.Size, open); err != nil {
			return "", fmt.Errorf("file %q: %w", f.Name, err)
		}
		want[prefix+f.Name] = f.Size
	}
	if _, ok := want[prefix+mlmodel]; !ok {
		if text, ok := describe(p, r); ok {
			open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }
			if err := c.put(ctx, path.Join(root, prefix, mlmodel), int64(len(text)), open); err != nil {
				return "", fmt.Errorf("file %q: %w", mlmodel, err)
			}
			want[prefix+mlmodel] = int64(len(text))
		}
	}
	return dir, c.arrived(ctx, root, want)
}

// put sends one file. The same name again replaces it.
func (c *Client) put(ctx context.Context, at string, size int64, open func() (io.ReadCloser, error)) error {
	at = artifactPath + "/" + escapePath(at)
	return c.retry(ctx, again, func(ctx context.Context) error {
		f, err := open()
		if err != nil {
			return err
		}
		defer f.Close()
		ctx, moved, end := c.watch(ctx)
		defer end()
		var body io.Reader = http.NoBody
		if size > 0 {
			body = &movingReader{f, moved}
		}
		req, err := c.request(ctx, http.MethodPut, at, nil, body)
		if err != nil {
			return err
		}
		req.ContentLength = size
		req.Header.Set("Content-Type", "application/octet-stream")
		resp, err := c.send(req, at)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	})
}

// arrived compares what was sent with what the server lists.
func (c *Client) arrived(ctx context.Context, at string, want map[string]int64) error {
	files, err := c.list(ctx, at)
	if err != nil {
		return err
	}
	got := map[string]int64{}
	for _, f := range files {
		got[f.name] = f.size
	}
	for name, size := range want {
		if n, ok := got[name]; !ok || n >= 0 && n != size {
			return fmt.Errorf("%w: file %q has %s bytes on the server, %d were sent", ErrUnavailable, name, sizeText(n), size)
		}
	}
	return nil
}

func (c *Client) createPublished(ctx context.Context, r Run, dir string, p registry.Publication) (Version, error) {
	tags := map[string]string{}
	maps.Copy(tags, p.Tags)
	tags[keyTag] = p.Key
	v, err := c.CreateVersion(ctx, NewVersion{
		Name: p.Name, Source: "mlflow-artifacts:/" + dir, RunID: r.ID, Description: p.Description, Tags: tags,
	})
	if errors.Is(err, ErrUnavailable) {
		if v, err := c.published(ctx, p); err == nil {
			return v, nil // only the reply was lost
		}
	}
	return v, err
}
