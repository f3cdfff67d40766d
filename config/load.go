package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// Flag is a value given on the command line.
type Flag struct {
	Name  string // "--listen", for messages
	Key   string // "listeners.data"
	Value string
}

// Load reads the daemon's configuration: the defaults, then the file (none when path is empty), then the SCORER_
// variables of env ("NAME=value", as os.Environ gives them), then flags. It reports all faults of one step together.
func Load(path string, env []string, flags ...Flag) (Config, error) {
	c := Default()
	c.origin = origins{}
	if path != "" {
		content, err := readFile(path)
		if err != nil {
			return Config{}, err
		}
		if c.origin, err = decodeYAML(path, content, &c); err != nil {
			return Config{}, err
		}
		c.resolvePaths(filepath.Dir(path))
	}
	if err := c.applyEnv(env); err != nil {
		return Config{}, err
	}
	for _, f := range flags {
		if err := c.set(f.Key, f.Value, "flag "+f.Name); err != nil {
			return Config{}, err
		}
	}
	return c, c.Validate()
}

// LoadModel reads a per-model config.yml.
func LoadModel(path string) (Model, error) {
	content, err := readFile(path)
	if err != nil {
		return Model{}, err
	}
	m := DefaultModel()
	m.path = path
	if m.origin, err = decodeYAML(path, content, &m); err != nil {
		return Model{}, err
	}
	m.fillDefaults()
	return m, m.Validate()
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: no such file: %w", path, ErrInvalid)
	}
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	return content, nil
}

const envPrefix = "SCORER_"

// clientVariables belong to ctl and the Go client; a shell that runs both may set them.
func clientVariables() []string {
	return []string{"ADDR", "ADMIN_ADDR", "ACTOR", "TOKEN", "TLS_CA", "TLS_CERT", "TLS_KEY"}
}

// applyEnv sets the keys that SCORER_ variables name. A variable that names none is an error: a mistyped one would
// otherwise change nothing without a word.
func (c *Config) applyEnv(env []string) error {
	keys := map[string]string{}
	var names []string
	for _, k := range scalarKeys(reflect.TypeFor[Config](), "") {
		name := envPrefix + strings.ToUpper(strings.ReplaceAll(k, ".", "_"))
		keys[name] = k
		names = append(names, name)
	}
	var errs []error
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		short, ours := strings.CutPrefix(name, envPrefix)
		if !ours || slices.Contains(clientVariables(), short) {
			continue
		}
		key, ok := keys[name]
		if !ok {
			errs = append(errs, fmt.Errorf("environment %s: unknown variable%s: %w", name, didYouMean(name, "", names), ErrInvalid))
			continue
		}
		if err := c.set(key, value, "environment "+name); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// scalarKeys lists the keys that can be written as one word: scalars and lists of text.
func scalarKeys(t reflect.Type, path string) []string {
	var out []string
	f := fieldsOf(t)
	for _, name := range f.names {
		ft := t.Field(f.index[name]).Type
		switch {
		case ft.Kind() == reflect.Struct:
			out = append(out, scalarKeys(ft, join(path, name))...)
		case ft.Kind() == reflect.Slice && ft.Elem().Kind() != reflect.String:
		default:
			out = append(out, join(path, name))
		}
	}
	return out
}

// set gives one key a value from outside a file.
func (c *Config) set(key, value, from string) error {
	v := reflect.ValueOf(c).Elem()
	for part := range strings.SplitSeq(key, ".") {
		i, ok := fieldsOf(v.Type()).index[part]
		if !ok {
			return fmt.Errorf("%s: unknown key %q: %w", from, key, ErrInvalid)
		}
		v = v.Field(i)
	}
	c.origin[key] = from
	if v.Kind() == reflect.Slice {
		list := []string{}
		for part := range strings.SplitSeq(value, ",") {
			if part = strings.TrimSpace(part); part != "" {
				list = append(list, part)
			}
		}
		v.Set(reflect.ValueOf(list))
		return nil
	}
	if err := setScalar(v, value); err != nil {
		return fmt.Errorf("%s: %s: %w: %w", from, key, err, ErrInvalid)
	}
	return nil
}
