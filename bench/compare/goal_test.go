package main

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// sample is a report of two models in which every goal is met with a margin.
func sample() *report {
	r := &report{Context: runContext{Machine: "a processor, 2 cores, linux", Command: "make bench", Commit: "abc", Mode: "full"}}
	r.Context.Probe = probe{BytesPerSecond: 1e10, ComparesPerSecond: 1e11, CyclesPerSecond: 3e9}
	add := func(model, engine string, one, two, single float64, exact bool) {
		diff := 0.0
		if !exact {
			diff = 0.02
		}
		for _, x := range []result{{Threads: 1, Batch: allRows, NsPerRow: one}, {Threads: 2, Batch: allRows, NsPerRow: two}, {Threads: 1, Batch: 1, NsPerRow: single}} {
			x.Model, x.Engine, x.Exact, x.MaxDiff, x.Runs = model, engine, exact, diff, 5
			x.Versions = map[string]string{"treeline": "treeline-engine/2 avx512"}
			r.Results = append(r.Results, x)
		}
	}
	add("lgb_100x31", ours, 80, 41, 700, true)
	add("lgb_100x31", portable, 500, 260, 1800, true)
	add("lgb_100x31", "lightgbm", 6400, 3200, 7000, true)
	add("lgb_100x31", "lleaves", 1500, 760, 8000, false)
	add("lgb_100x31", "ydf", 480, 240, 50000, false)
	add("cat_500d6", ours, 100, 52, 2000, true)
	add("cat_500d6", portable, 700, 360, 5000, true)
	add("cat_500d6", "catboost", 445, 240, 42000, true)
	r.Context.Programs = []program{
		{Model: "lgb_100x31", Engine: ours, Trees: 100, Splits: 3000, Nodes: 6100, Walk: 612, Bytes: 150_000, CompileSeconds: 0.01, BytesPerRow: 224, Explain: "100 trees by bits"},
		{Model: compileOnly, Engine: ours, Trees: 500, Splits: 127_000, Nodes: 254_500, Bytes: 5_000_000, CompileSeconds: 0.15},
	}
	r.Context.Refusals = []remark{{"lgb_100x31", "sklearnex", "its trees are random forests of its own, and this sentence is so long that no table of one hundred columns holds it"}}
	r.Context.Compilations = []compilation{{"lgb_100x31", "lleaves", 18}}
	return r
}

func TestGoalsMet(t *testing.T) {
	if m := missed(evaluate(sample())); m != nil {
		t.Errorf("missed %q of a report that meets all", m)
	}
}

func TestGoalsMissed(t *testing.T) {
	for name, c := range map[string]struct {
		change func(r *report)
		want   []string
	}{
		"slower than the native library asks": {
			func(r *report) { r.at("lgb_100x31", "lightgbm", 1, allRows).NsPerRow = 49 * 80 }, []string{"lgb_100x31/lightgbm"},
		},
		"a peer is missing in a full run": {
			func(r *report) {
				r.Results = slices.DeleteFunc(r.Results, func(x result) bool { return x.Engine == "lleaves" })
			}, []string{"lgb_100x31/lleaves(not measured)"},
		},
		"single rows": {
			func(r *report) { r.at("lgb_100x31", "lightgbm", 1, 1).NsPerRow = 4 * 700 }, []string{"lgb_100x31/single-row"},
		},
		"our own slower tier is no peer of single rows": {
			func(r *report) { r.at("lgb_100x31", portable, 1, 1).NsPerRow = 700 }, nil,
		},
		"portable": {
			func(r *report) {
				r.at("lgb_100x31", portable, 1, allRows).NsPerRow = 6500
				r.at("cat_500d6", portable, 1, allRows).NsPerRow = 900
			}, []string{"lgb_100x31/portable", "cat_500d6/portable"},
		},
		"two threads": {
			func(r *report) { r.at("cat_500d6", ours, 2, allRows).NsPerRow = 60 }, []string{"cat_500d6/threads"},
		},
		"another bit, at any setting": {
			func(r *report) { r.at("cat_500d6", portable, 1, 1).Exact = false }, []string{"cat_500d6/exact"},
		},
		"compile": {
			func(r *report) { r.Context.Programs[1].CompileSeconds = 0.21 }, []string{"compile_500x255"},
		},
		"memory": {
			func(r *report) { r.Context.Programs[0].Bytes = 2*16*6100 + 1 }, []string{"lgb_100x31/memory"},
		},
		"allocations": {
			func(r *report) { r.Context.Programs[0].Allocations = 1 }, []string{"lgb_100x31/allocations"},
		},
		"pipeline": {
			func(r *report) { r.Context.Pipeline = &pipelineFacts{Passed: true, Ratio: 7.9} }, []string{"pipeline"},
		},
		"pipeline by its own word": {
			func(r *report) { r.Context.Pipeline = &pipelineFacts{Passed: false, Ratio: 9} }, []string{"pipeline"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := sample()
			c.change(r)
			goals := evaluate(r)
			if got := missed(goals); !slices.Equal(got, c.want) {
				t.Errorf("missed %q, want %q", got, c.want)
			}
			want := "goals missed: none"
			if c.want != nil {
				want = "goals missed: " + strings.Join(c.want, ", ")
			}
			var out bytes.Buffer
			printGoals(&out, r, goals)
			lines := strings.Split(strings.TrimRight(out.String(), "\n"), "\n")
			if last := lines[len(lines)-1]; last != want {
				t.Errorf("last line %q, want %q", last, want)
			}
		})
	}
}

func TestQuickRunMissesNothingItDoesNotMeasure(t *testing.T) {
	r := sample()
	r.Context.Mode = "quick"
	r.Results = slices.DeleteFunc(r.Results, func(x result) bool { return x.Engine == "lleaves" })
	goals := evaluate(r)
	if m := missed(goals); m != nil {
		t.Errorf("missed %q", m)
	}
	var out bytes.Buffer
	printGoals(&out, r, goals)
	if !strings.Contains(out.String(), "lgb_100x31/lleaves                      >= 12.0x      17.0x              -  not measured") {
		t.Errorf("no line for the goal that was not measured:\n%s", out.String())
	}
}

// Every goal of the design names a model and an engine that a run measures, also a quick one.
func TestGoalsAreMeasured(t *testing.T) {
	for _, quick := range []bool{false, true} {
		o := &options{quick: quick, tiers: "portable"}
		engines, err := specs(o)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range speedGoals {
			if !slices.Contains(models, g.model) || !o.wants(g.peer, g.model) ||
				!slices.ContainsFunc(engines, func(s spec) bool { return s.name == g.peer }) {
				t.Errorf("quick %v: %s against %s is not measured", quick, g.model, g.peer)
			}
		}
		for _, g := range singleGoals {
			if !slices.Contains(models, g.model) {
				t.Errorf("no model %s", g.model)
			}
		}
	}
}

func TestTable(t *testing.T) {
	r := sample()
	var out bytes.Buffer
	printTables(&out, r)
	printGoals(&out, r, evaluate(r))
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 100 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	for _, want := range []string{
		"lgb_100x31: 100 trees, 3100 leaves; 100 trees by bits\n",
		"treeline                80.0              41.0                 -         -     700.0      yes   0.01\n",
		"lightgbm                6400   80.0x      3200   78.0x         -         -      7000      yes\n",
		"lleaves                 1500   18.8x     760.0   18.5x         -         -      8000    2e-02     18\n",
		"sklearnex         its trees are random forests of its own, and this sentence",
		"  roofline: 224 bytes/row at 10.0 GB/s: 22.4 ns; 3000 compares/row at 1536 G/s: 2.0 ns;\n" +
			"  measured: 80.0 ns, 37.5 G compares/s, 2 % of the core's, 28 % of its bandwidth; a walk passes 612\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, out.String())
		}
	}
	if fast, slow := strings.Index(out.String(), "\nydf "), strings.Index(out.String(), "\nlleaves "); fast < 0 || slow < fast {
		t.Errorf("peers are not in the order of their speed:\n%s", out.String())
	}
}

func TestResultsSurviveTheirFiles(t *testing.T) {
	dir, want := t.TempDir(), sample()
	if err := want.write(dir); err != nil {
		t.Fatal(err)
	}
	got, err := readReport(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.Results, want.Results) || !reflect.DeepEqual(got.Context.Programs, want.Context.Programs) {
		t.Errorf("read %+v, wrote %+v", got, want)
	}
}
