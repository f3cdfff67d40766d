package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/treeline-ml/treeline/lifecycle/training"
)

// maxModelFiles bounds the files of a model directory.
const maxModelFiles = 1000

// Collect checks what a trainer with exit code 0 left. Nothing runs any more that could change it. It fails with ErrHandle or
// ErrResult.
func (t *Trainer) Collect(ctx context.Context, h training.Handle) (training.Result, error) {
	w, _, err := t.find(h)
	if err != nil {
		return training.Result{}, err
	}
	ended, err := t.Poll(ctx, h)
	if err != nil {
		return training.Result{}, err
	}
	if ended.State != training.StateExited || ended.ExitCode != 0 {
		return training.Result{}, fmt.Errorf("%w: %s has not ended with exit code 0", ErrHandle, w.name)
	}
	b, err := readBounded(filepath.Join(w.output(), "result.json"), maxResult)
	if errors.Is(err, os.ErrNotExist) {
		return training.Result{}, fmt.Errorf("%w: exit code 0, but there is no result.json", ErrResult)
	}
	if err != nil {
		return training.Result{}, fmt.Errorf("%w: %w", ErrResult, err)
	}
	trainingID, _, _ := strings.Cut(w.name, "/")
	r, err := parseResult(b, trainingID)
	if err != nil {
		return training.Result{}, err
	}
	r.Dir = w.output()
	names, err := modelFiles(r.Dir, path.Dir(r.ModelFile))
	if err != nil {
		return training.Result{}, fmt.Errorf("%w: %w", ErrResult, err)
	}
	for _, name := range []string{r.Golden, r.Holdout, r.Importance, "result.json"} {
		if name != "" {
			names = append(names, name)
		}
	}
	if !slices.Contains(names, r.ModelFile) {
		return training.Result{}, fmt.Errorf("%w: model %q is not there", ErrResult, r.ModelFile)
	}
	for _, name := range names {
		info, err := plainFile(r.Dir, name)
		if err != nil {
			return training.Result{}, fmt.Errorf("%w: %w", ErrResult, err)
		}
		r.Files = append(r.Files, training.File{Name: name, Path: filepath.Join(r.Dir, filepath.FromSlash(name)), Size: info.Size()})
	}
	spec := filepath.Join(w.dir, "spec.json")
	info, err := os.Lstat(spec)
	if err != nil {
		return training.Result{}, fmt.Errorf("%w: %w", ErrHandle, err)
	}
	r.Files = append(r.Files, training.File{Name: "spec.json", Path: spec, Size: info.Size()})
	slices.SortFunc(r.Files, func(a, b training.File) int { return strings.Compare(a.Name, b.Name) })
	for i := 1; i < len(r.Files); i++ {
		if r.Files[i].Name == r.Files[i-1].Name {
			return training.Result{}, fmt.Errorf("%w: result.json names %q twice", ErrResult, r.Files[i].Name)
		}
	}
	return r, nil
}

// modelFiles lists the files of the model's directory, slash-separated below root.
func modelFiles(root, dir string) ([]string, error) {
	if err := plainDirs(root, dir); err != nil {
		return nil, err
	}
	var names []string
	err := filepath.WalkDir(filepath.Join(root, filepath.FromSlash(dir)), func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(rel)
		if !sanePath(name) {
			return fmt.Errorf("file name %.80q is not allowed", name)
		}
		if names = append(names, name); len(names) > maxModelFiles {
			return fmt.Errorf("the model has more than %d files", maxModelFiles)
		}
		return nil
	})
	return names, err
}

// plainFile refuses anything but a regular file that is reached through directories.
func plainFile(root, name string) (fs.FileInfo, error) {
	if err := plainDirs(root, path.Dir(name)); err != nil {
		return nil, err
	}
	info, err := os.Lstat(filepath.Join(root, filepath.FromSlash(name)))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%q is not there", name)
	}
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%q is a %s, want a regular file", name, kindOf(info.Mode()))
	}
	return info, err
}

// plainDirs refuses a path that leads through a link.
func plainDirs(root, dir string) error {
	at := root
	for part := range strings.SplitSeq(dir, "/") {
		if part == "." {
			continue
		}
		at = filepath.Join(at, part)
		info, err := os.Lstat(at)
		if errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%q is not there", dir)
		}
		if err != nil {
			return err
		}
		if !info.IsDir() {
			return fmt.Errorf("%q: %q is a %s, want a directory", dir, part, kindOf(info.Mode()))
		}
	}
	return nil
}

func kindOf(m fs.FileMode) string {
	switch {
	case m.IsRegular():
		return "file"
	case m.IsDir():
		return "directory"
	case m&fs.ModeSymlink != 0:
		return "symbolic link"
	default:
		return "special file"
	}
}
