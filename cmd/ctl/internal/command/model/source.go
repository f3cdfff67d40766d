package model

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/exit"
	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/loader"
)

// source is a model file that was opened.
type source struct {
	// Path is the model file itself, also when a directory was named; "models:/churn/3" of a model that was fetched.
	Path  string
	Model *forest.Model
}

// open reads the model at path: a model file, an MLflow model directory, or a directory that holds exactly one model
// file.
func open(path string) (source, error) {
	info, err := os.Stat(path)
	if err != nil {
		return source{}, exit.Hinted(fmt.Errorf("opening the model: %w", err), "name a model file, or a directory that holds one")
	}
	if info.IsDir() {
		if file := mlflowFile(path); file != "" {
			path = file
		} else {
			return openDirectory(path)
		}
	} else if !info.Mode().IsRegular() {
		return source{}, exit.Hinted(fmt.Errorf("opening the model: %s is not a regular file", path), "name a model file")
	}
	m, err := loader.Open(path)
	if err != nil {
		return source{}, err
	}
	return source{Path: path, Model: m}, nil
}

// mlflowFile returns the metadata file of an MLflow model directory: dir itself, or its directory model, as trained
// versions have it. It is "" where there is none.
func mlflowFile(dir string) string {
	for _, file := range []string{filepath.Join(dir, "MLmodel"), filepath.Join(dir, "model", "MLmodel")} {
		if isFile(file) {
			return file
		}
	}
	return ""
}

// openDirectory looks at every file directly inside dir. A file in no known model format is passed over; a broken model
// file is an error, not passed over, so that a truncated model is not mistaken for a missing one.
func openDirectory(dir string) (source, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return source{}, fmt.Errorf("opening the model: %w", err)
	}
	var found []source
	var names, others []string
	for _, e := range entries {
		if !e.Type().IsRegular() || strings.HasPrefix(e.Name(), ".") || isTable(e.Name()) {
			others = append(others, e.Name())
			continue
		}
		path := filepath.Join(dir, e.Name())
		if isOtherJSON(path) {
			others = append(others, e.Name())
			continue
		}
		m, err := loader.Open(path)
		switch {
		case errors.Is(err, loader.ErrUnknown):
			others = append(others, e.Name())
			continue
		case err != nil:
			return source{}, err
		}
		found = append(found, source{Path: path, Model: m})
		names = append(names, e.Name())
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return source{}, exit.Hinted(fmt.Errorf("%s holds no model file, only %s", dir, enumerate(others)),
			"name the model file itself")
	}
	return source{}, exit.Hinted(fmt.Errorf("%s holds %d model files: %s", dir, len(found), enumerate(names)),
		"name one of them")
}

// isTable tells files of rows by their names: they are never models.
func isTable(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".parquet", ".arrow", ".csv":
		return true
	}
	return false
}

// isOtherJSON reports whether a file is JSON beside a model, such as version.json: XGBoost's begin with the key "learner".
func isOtherJSON(path string) bool {
	if filepath.Ext(path) != ".json" {
		return false
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, 4096)
	n, err := io.ReadFull(f, head)
	return (err == nil || errors.Is(err, io.ErrUnexpectedEOF)) && !bytes.Contains(head[:n], []byte(`"learner"`))
}

// enumerate lists at most ten names.
func enumerate(names []string) string {
	const most = 10
	if len(names) == 0 {
		return "nothing"
	}
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}
