package local

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/treeline-ml/treeline/lifecycle/training"
)

// The limits of a result.
const (
	maxResult  = 4 << 20 // bytes of result.json
	maxEntries = 10_000  // of each map and list in it
	maxText    = 4096    // bytes of each text in it
)

// parseHeartbeat reads what heartbeat.json says; nothing when it is not one.
func parseHeartbeat(b []byte) (step string, fraction float64) {
	var beat struct {
		Step     string  `json:"step"`
		Fraction float64 `json:"fraction"`
	}
	if json.Unmarshal(b, &beat) != nil {
		return "", 0
	}
	if len(beat.Step) > 64 || strings.ContainsFunc(beat.Step, func(r rune) bool { return r < ' ' || r == utf8.RuneError }) {
		beat.Step = ""
	}
	if !(beat.Fraction >= 0 && beat.Fraction <= 1) {
		beat.Fraction = 0
	}
	return beat.Step, beat.Fraction
}

// resultFile is result.json.
type resultFile struct {
	Format          int                `json:"format"`
	TrainingID      string             `json:"training_id"`
	RunID           string             `json:"run_id"`
	RunName         string             `json:"run_name"`
	RegistryVersion *string            `json:"registry_version"`
	Model           string             `json:"model"`
	Golden          string             `json:"golden"`
	Holdout         string             `json:"holdout"`
	Importance      string             `json:"importance"`
	Metrics         map[string]float64 `json:"metrics"`
	Params          map[string]any     `json:"params"`
	Library         string             `json:"library"`
	Python          string             `json:"python"`
	Rows            struct {
		Train   int64 `json:"train"`
		Holdout int64 `json:"holdout"`
	} `json:"rows"`
	Features  []string           `json:"features"`
	TrainedAt string             `json:"trained_at"`
	Seconds   map[string]float64 `json:"seconds"`
}

// parseResult checks result.json and lists everything that is wrong with it. Keys that it does not know are left alone.
func parseResult(b []byte, trainingID string) (training.Result, error) {
	var f resultFile
	dec := json.NewDecoder(bytes.NewReader(b))
	err := dec.Decode(&f)
	if err == nil && dec.More() {
		err = errors.New("more follows after the object")
	}
	if err != nil {
		return training.Result{}, fmt.Errorf("%w: result.json: %w", ErrResult, err)
	}
	var problems []string
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if f.Format != training.Format {
		bad("format is %d, want %d", f.Format, training.Format)
	}
	if f.TrainingID != trainingID {
		bad("training_id is %.80q, want %q", f.TrainingID, trainingID)
	}
	r := training.Result{
		RunID: f.RunID, RunName: f.RunName, Metrics: f.Metrics, Params: map[string]string{}, Library: f.Library, Python: f.Python,
		TrainRows: f.Rows.Train, HoldoutRows: f.Rows.Holdout, Features: f.Features, Seconds: f.Seconds,
		ModelFile: f.Model, Golden: f.Golden, Holdout: f.Holdout, Importance: f.Importance,
	}
	for _, p := range []struct {
		key, name string
		needed    bool
	}{{"model", f.Model, true}, {"golden", f.Golden, true}, {"holdout", f.Holdout, true}, {"importance", f.Importance, false}} {
		if p.name == "" && !p.needed {
			continue
		}
		if !sanePath(p.name) {
			bad("%s is %.80q, want a relative path inside the output directory", p.key, p.name)
		}
	}
	if f.Model != "" && path.Dir(f.Model) == "." {
		bad("model is %.80q, want a file in a directory of its own, model/MLmodel", f.Model)
	}
	text := func(key, value string) {
		if len(value) > maxText || !utf8.ValidString(value) || strings.ContainsRune(value, 0) {
			bad("%s is longer than %d bytes, not UTF-8, or has a NUL", key, maxText)
		}
	}
	for key, value := range map[string]string{"run_id": f.RunID, "run_name": f.RunName, "library": f.Library, "python": f.Python} {
		text(key, value)
	}
	if f.RegistryVersion != nil {
		r.RegistryVersion = *f.RegistryVersion
		text("registry_version", r.RegistryVersion)
	}
	for key, n := range map[string]int{"metrics": len(f.Metrics), "params": len(f.Params), "features": len(f.Features), "seconds": len(f.Seconds)} {
		if n > maxEntries {
			bad("%s has %d entries, at most %d", key, n, maxEntries)
		}
	}
	for key, m := range map[string]map[string]float64{"metrics": f.Metrics, "seconds": f.Seconds} {
		for k, v := range m {
			text(key, k)
			if math.IsNaN(v) || math.IsInf(v, 0) {
				bad("%s.%.80s is %v", key, k, v)
			}
		}
	}
	for k, v := range f.Params {
		r.Params[k] = paramText(v)
		text("params", k)
		text("params."+k[:min(len(k), 80)], r.Params[k])
	}
	for _, name := range f.Features {
		text("features", name)
	}
	if f.Rows.Train <= 0 || f.Rows.Holdout <= 0 {
		bad("rows are %d to train on and %d held out, want at least one each", f.Rows.Train, f.Rows.Holdout)
	}
	if r.TrainedAt, err = time.Parse(time.RFC3339Nano, f.TrainedAt); err != nil {
		bad("trained_at is %.80q, want RFC 3339", f.TrainedAt)
	}
	if problems != nil {
		return training.Result{}, fmt.Errorf("%w: result.json: %s", ErrResult, strings.Join(problems[:min(len(problems), 20)], "; "))
	}
	return r, nil
}

// paramText is a parameter as MLflow would show it.
func paramText(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

// sanePath says whether a name is relative, clean, slash-separated and leads nowhere else.
func sanePath(name string) bool {
	if name == "" || len(name) > maxText || path.Clean(name) != name || path.IsAbs(name) || !utf8.ValidString(name) {
		return false
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." || part == "." || strings.ContainsAny(part, "\\\x00:") {
			return false
		}
	}
	return true
}
