package mlflow

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/treeline-ml/treeline/registry"
)

// locate returns the place of a version's files below the server's artifact store, "1/models/m-.../artifacts".
func (c *Client) locate(ctx context.Context, v Version) (string, error) {
	var out struct {
		URI string `json:"artifact_uri"`
	}
	err := c.get(ctx, "model-versions/get-download-uri", url.Values{"name": {v.Name}, "version": {v.Version}}, &out)
	if err != nil {
		return "", err
	}
	return c.locateURI(ctx, out.URI)
}

// locateURI follows a URI of MLflow to a place in the server's artifact store.
func (c *Client) locateURI(ctx context.Context, uri string) (string, error) {
	scheme, rest, ok := strings.Cut(uri, ":")
	switch {
	case !ok:
		return "", fmt.Errorf("%w: %q is no URI", ErrSource, uri)
	case scheme == "mlflow-artifacts":
		return c.storePath(uri, rest)
	case scheme == "models" && strings.HasPrefix(rest, "/m-"):
		m, err := c.loggedModel(ctx, rest[1:])
		if err != nil {
			return "", err
		}
		return c.loggedPath(m)
	case scheme == "runs":
		run, path, _ := strings.Cut(strings.Trim(rest, "/"), "/")
		return c.runPath(ctx, run, path)
	default:
		return "", fmt.Errorf("%w: the files are at %s:, which only the server's proxy would open: run it with --serve-artifacts and register the model again",
			ErrSource, scheme)
	}
}

func (c *Client) loggedPath(m loggedModel) (string, error) {
	rest, ok := strings.CutPrefix(m.ArtifactURI, "mlflow-artifacts:")
	if !ok {
		scheme, _, _ := strings.Cut(m.ArtifactURI, ":")
		return "", fmt.Errorf("%w: the files of the logged model %s are at %s:, which only the server's proxy would open: run it with --serve-artifacts",
			ErrSource, m.ModelID, scheme)
	}
	return c.storePath(m.ArtifactURI, rest)
}

// runPath finds what a run logged under a name. MLflow 3 keeps models beside the run, as logged models; earlier releases
// kept them among the run's artifacts.
func (c *Client) runPath(ctx context.Context, runID, name string) (string, error) {
	if runID == "" || name == "" {
		return "", fmt.Errorf("%w: runs:/ without a run and a path", ErrSource)
	}
	r, err := c.Run(ctx, runID)
	if err != nil {
		return "", err
	}
	for _, id := range r.LoggedModels {
		m, err := c.loggedModel(ctx, id)
		switch {
		case errors.Is(err, ErrNotFound):
			continue // deleted since
		case err != nil:
			return "", err
		case m.Name == name && (m.Status == "LOGGED_MODEL_READY" || m.Status == "READY"):
			return c.loggedPath(m)
		}
	}
	rest, ok := strings.CutPrefix(r.ArtifactURI, "mlflow-artifacts:")
	if !ok {
		return "", fmt.Errorf("%w: run %s has no logged model %q, and its files are not in the server's store", ErrSource, runID, name)
	}
	return c.storePath(r.ArtifactURI, rest+"/"+name)
}

// storePath checks the part of an mlflow-artifacts URI after the colon. It may name the server, if it is this one.
func (c *Client) storePath(uri, rest string) (string, error) {
	if host, ok := strings.CutPrefix(rest, "//"); ok {
		host, path, _ := strings.Cut(host, "/")
		if host != "" && host != c.base.Host {
			return "", fmt.Errorf("%w: the files are on the server %s, not on %s", ErrSource, host, c.base.Host)
		}
		rest = path
	}
	path := strings.Trim(rest, "/")
	for part := range strings.SplitSeq(path, "/") {
		if part == "" || part == "." || part == ".." {
			return "", fmt.Errorf("%w: %q has an empty, \".\" or \"..\" part: %w", ErrSource, uri, registry.ErrPath)
		}
	}
	return path, nil
}

// remoteFile is a file of an artifact.
type remoteFile struct {
	name string // below the artifact's directory
	size int64  // -1 when the server does not say
}

const maxDepth = 32

// list lists the files below a path of the artifact store. A path without files counts as not there: the server answers
// both in the same way.
func (c *Client) list(ctx context.Context, path string) ([]remoteFile, error) {
	var (
		files []remoteFile
		dirs  = []string{""}
		total int64
	)
	for n := 0; n < len(dirs); n++ {
		if strings.Count(dirs[n], "/") >= maxDepth || len(dirs) > c.o.Limits.MaxFiles {
			return nil, fmt.Errorf("mlflow: %s has more than %d directories or %d levels: %w", path, c.o.Limits.MaxFiles, maxDepth, registry.ErrTooLarge)
		}
		entries, err := c.listDir(ctx, path+"/"+dirs[n])
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if strings.Contains(e.Path, "/") {
				return nil, fmt.Errorf("mlflow: the listing of %s has the name %q: %w", path, e.Path, registry.ErrPath)
			}
			name := dirs[n] + e.Path
			if err := registry.CheckName(name); err != nil {
				return nil, fmt.Errorf("mlflow: the listing of %s: %w", path, err)
			}
			if e.IsDir {
				dirs = append(dirs, name+"/")
				continue
			}
			f := remoteFile{name: name, size: -1}
			if e.Size != nil {
				f.size = int64(*e.Size)
				total += max(0, f.size)
			}
			files = append(files, f)
		}
		if len(files) > c.o.Limits.MaxFiles || total > c.o.Limits.MaxBytes || total < 0 {
			return nil, fmt.Errorf("mlflow: %s has %d files with %d bytes, at most %d with %d: %w", path, len(files), total,
				c.o.Limits.MaxFiles, c.o.Limits.MaxBytes, registry.ErrTooLarge)
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("mlflow: no files at %s: %w", path, ErrNotFound)
	}
	return files, nil
}

type listEntry struct {
	Path  string   `json:"path"` // the last part only
	IsDir bool     `json:"is_dir"`
	Size  *integer `json:"file_size"`
}

func (c *Client) listDir(ctx context.Context, path string) ([]listEntry, error) {
	var out struct {
		Files []listEntry `json:"files"`
	}
	err := c.call(ctx, "GET", artifactPath, url.Values{"path": {strings.TrimRight(path, "/")}}, nil, &out, again)
	return out.Files, err
}

// escapePath makes a path of the artifact store part of a URL.
func escapePath(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return strings.Join(parts, "/")
}

func sizeText(n int64) string {
	if n < 0 {
		return "an unknown number of"
	}
	return strconv.FormatInt(n, 10)
}
