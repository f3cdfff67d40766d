package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/treeline-ml/treeline/cmd/ctl/internal/command"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/console"
	"github.com/treeline-ml/treeline/internal/testmodels"
)

// TestCorpus runs the offline verbs on every model of the golden corpus: what they write and say is compared with what
// the training library itself computed and with what Python's pyarrow wrote.
func TestCorpus(t *testing.T) {
	cases, err := testmodels.Cases()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		for _, model := range c.Models {
			t.Run(c.Name+"/"+filepath.Base(model), func(t *testing.T) {
				if c.Refused != "" {
					checkRefused(t, c, model)
					return
				}
				rows := checkInspection(t, c, model)
				checkScores(t, c, model, rows)
				if code, out, errs := ctl(t, "model", "verify", model, "--rows", rows, "--ignore-extra"); code != 0 {
					t.Errorf("verify: exit code %d\n%s%s", code, out, errs)
				}
			})
		}
	}
}

// terminal is how many columns the tests' terminal has.
const terminal = 100

// ctl runs one command line in this process.
func ctl(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	c := &console.Console{Out: &out, Err: &errs, Getenv: func(string) string { return "" }, Width: terminal}
	code = command.Execute(t.Context(), c, args)
	return code, out.String(), errs.String()
}

func checkRefused(t *testing.T, c testmodels.Case, model string) {
	t.Helper()
	code, out, errs := ctl(t, "model", "inspect", model)
	if code != 1 || out != "" || !strings.Contains(errs, "not supported") || !strings.Contains(errs, c.Refused) {
		t.Errorf("exit code %d, output %q, errors %q; want 1 and an error that names %q", code, out, errs, c.Refused)
	}
}

func checkScores(t *testing.T, c testmodels.Case, model, rows string) {
	t.Helper()
	for _, name := range []string{"o.parquet", "o.arrow", "o.csv"} {
		output := filepath.Join(t.TempDir(), name)
		code, out, errs := ctl(t, "model", "score", "--model", model, "--input", rows, "--output", output, "--ignore-extra")
		if code != 0 || out != "" {
			t.Errorf("score: exit code %d, output %q\n%s", code, out, errs)
			return
		}
		if err := compareFiles(output, c.RowsPath(), slices.Concat(c.Raw, c.Pred)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// checkInspection returns the path of the rows, their columns named as the model names its features.
func checkInspection(t *testing.T, c testmodels.Case, model string) string {
	t.Helper()
	code, out, errs := ctl(t, "model", "inspect", model, "-o", "json")
	if code != 0 {
		t.Fatalf("inspect: exit code %d\n%s", code, errs)
	}
	type inspection struct {
		Library           string   `json:"library"`
		Objective         string   `json:"objective"`
		RawColumns        []string `json:"raw_columns"`
		PredictionColumns []string `json:"prediction_columns"`
		Features          []struct {
			Name string `json:"name"`
		} `json:"features"`
	}
	var got inspection
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("inspect: %v\n%s", err, out)
	}
	want := inspection{Library: c.Library, Objective: c.Objective, RawColumns: c.Raw, PredictionColumns: c.Pred, Features: got.Features}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("inspect (-want +got):\n%s", diff)
	}
	if len(got.Features) != len(c.Features) {
		t.Fatalf("inspect lists %d features, want %d", len(got.Features), len(c.Features))
	}
	names := map[string]string{}
	for i, f := range got.Features {
		names[c.Features[i].Name] = f.Name
	}
	// The table is for people: it fits a terminal, save for the path, which is as long as the caller gave it.
	_, table, _ := ctl(t, "model", "inspect", model)
	for line := range strings.Lines(table) {
		if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > terminal && !strings.Contains(line, "internal/testmodels/corpus") {
			t.Errorf("inspect prints a line of %d columns: %s", n, line)
		}
	}
	return renamed(t, c.RowsPath(), names)
}

// renamed returns a copy of a Parquet file with other column names, or the file itself where all names stay. Models that
// were trained without names have made-up ones; the binary format of XGBoost keeps none at all.
func renamed(t *testing.T, path string, names map[string]string) string {
	t.Helper()
	columns, err := readTable(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := false
	for i, c := range columns {
		if name, ok := names[c.name]; ok && name != c.name {
			columns[i].name, changed = name, true
		}
	}
	if !changed {
		return path
	}
	out := filepath.Join(t.TempDir(), "rows.parquet")
	if err := writeTable(out, columns); err != nil {
		t.Fatal(err)
	}
	return out
}

// compareFiles compares columns of two files bit for bit; scores has to have these columns and no others, in this order.
// A CSV file has no types: its values are compared as doubles.
func compareFiles(scores, golden string, names []string) error {
	got, err := readTable(scores)
	if err != nil {
		return err
	}
	want, err := readTable(golden)
	if err != nil {
		return err
	}
	var have []string
	for _, c := range got {
		have = append(have, c.name)
	}
	if !slices.Equal(have, names) {
		return fmt.Errorf("columns %v, want %v", have, names)
	}
	for _, g := range got {
		at := slices.IndexFunc(want, func(c column) bool { return c.name == g.name })
		if at < 0 {
			return fmt.Errorf("%s has no column %s", golden, g.name)
		}
		if err := compareColumns(g, want[at], filepath.Ext(scores) != ".csv"); err != nil {
			return err
		}
	}
	return nil
}
