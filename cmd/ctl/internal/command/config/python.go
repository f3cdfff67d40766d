package config

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/exit"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/render"
	"github.com/treeline-ml/treeline/config"
)

// interpreter is the Python that imports the classes of models.
type interpreter struct{ python, packagePath string }

// class is what Python says about one class.
type class struct {
	Model    string `json:"model_name"`
	Key      string `json:"key"`
	Name     string `json:"name"`
	Resolved string `json:"resolved"`
}

// Bounds of one run of the interpreter: libraries take their time to import.
const (
	importTimeout = 3 * time.Minute
	mostAnswer    = 4 << 20
	mostErrors    = 4 << 10
)

// answer is what python -m treeline.check prints.
type answer struct {
	Configs []struct {
		Path    string `json:"path"`
		Error   string `json:"error"`
		Classes []struct {
			Key      string `json:"key"`
			Name     string `json:"name"`
			Resolved string `json:"resolved"`
			OK       bool   `json:"ok"`
			Error    string `json:"error"`
		} `json:"classes"`
	} `json:"configs"`
}

// classes imports the classes that models name. Without an interpreter it only looks for those that the package should
// have, and returns nil. The list is empty when no model names any.
func (i interpreter) classes(ctx context.Context, models []config.Model) ([]class, error) {
	byPath := map[string]config.Model{}
	var files []string
	for _, m := range models {
		if m.TrainerClass == "" && m.ValidatorClass == "" && m.InferenceClass == "" {
			continue
		}
		path, err := filepath.Abs(m.Path())
		if err != nil {
			return nil, err
		}
		byPath[path], files = m, append(files, path)
	}
	switch {
	case len(files) == 0:
		return []class{}, nil
	case i.python == "":
		var problems []error
		for _, m := range models {
			problems = append(problems, m.CheckReadyClasses())
		}
		if err := errors.Join(problems...); err != nil {
			return nil, correct(err)
		}
		return nil, nil
	}
	a, err := i.ask(ctx, files)
	if err != nil {
		return nil, err
	}
	out := []class{}
	var problems []error
	for _, c := range a.Configs {
		m := byPath[c.Path]
		if c.Error != "" {
			problems = append(problems, fmt.Errorf("%s: %s", m.Path(), render.Lines(c.Error)))
		}
		for _, k := range c.Classes {
			if !k.OK {
				problems = append(problems, fmt.Errorf("%s: %s", m.Where(k.Key), render.Lines(k.Error)))
				continue
			}
			out = append(out, class{Model: m.RegisteredModelName, Key: k.Key, Name: k.Name, Resolved: k.Resolved})
		}
	}
	if problems != nil {
		return nil, correct(errors.Join(problems...))
	}
	return out, nil
}

// ask runs the interpreter over the files.
func (i interpreter) ask(ctx context.Context, files []string) (answer, error) {
	python, err := absolute(i.python)
	if err != nil {
		return answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, importTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, python, append([]string{"-m", "treeline.check"}, files...)...)
	cmd.WaitDelay = 5 * time.Second
	cmd.Env = os.Environ()
	if i.packagePath != "" {
		path, err := filepath.Abs(i.packagePath)
		if err != nil {
			return answer{}, err
		}
		if had := os.Getenv("PYTHONPATH"); had != "" {
			path += string(filepath.ListSeparator) + had
		}
		cmd.Env = append(cmd.Env, "PYTHONPATH="+path)
	}
	out, errs := &capped{most: mostAnswer}, &capped{most: mostErrors}
	cmd.Stdout, cmd.Stderr = out, errs
	err = cmd.Run()
	var a answer
	if json.Unmarshal(out.Bytes(), &a) == nil && len(a.Configs) == len(files) {
		return a, nil // exit code 10 says that some class is not right; the answer says which
	}
	said := strings.TrimSpace(render.Lines(errs.String()))
	if said == "" {
		said = "it printed no answer"
	}
	if err == nil {
		err = errors.New("it ended well")
	}
	return answer{}, exit.Hinted(fmt.Errorf("importing the classes with %s: %w: %s", i.python, err, said),
		"name a Python that has the packages of the trainers with --python, and the folder of the treeline package with --package-path")
}

// capped keeps the first bytes of what is written.
type capped struct {
	bytes.Buffer

	most int
}

func (c *capped) Write(p []byte) (int, error) {
	if room := c.most - c.Len(); room > 0 {
		c.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
