package main

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
)

func TestReadme(t *testing.T) {
	r := sample()
	text := "before\n" + readmeBegin + "\nold numbers\n" + readmeEnd + "\nafter\n"
	got, err := insertHeadline(text, headline(r, evaluate(r)))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"before\n" + readmeBegin + "\n| model |",
		"| `lgb_100x31` | 80.0 | lightgbm, **80.0x** | ydf, 6.0x (inexact) | 12.8x |\n",
		"| `cat_500d6` | 100.0 | catboost, **4.5x** | - | 0.6x |\n",
		"a processor, 2 cores, linux; `make bench`, 0 goals missed.\n" + readmeEnd + "\nafter\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "old numbers") {
		t.Error("the old numbers are still there")
	}
	if _, err := insertHeadline("no marks\n", ""); err == nil {
		t.Error("no error without the marks")
	}
}

func TestPipelineRatio(t *testing.T) {
	lines := `{"engine": "treeline", "speedup_of_treeline": 1}
{"engine": "python", "speedup_of_treeline": 9.5}
{"engine": "python", "speedup_of_treeline": 8.25}
`
	if got := pipelineRatio([]byte(lines)); got != 8.25 {
		t.Errorf("ratio %v, want 8.25", got)
	}
	if got := pipelineRatio(nil); got != 0 {
		t.Errorf("ratio %v of nothing", got)
	}
}

func TestEqual(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		got, want []float64
		exact     bool
		most      float64
	}{
		{[]float64{1, nan}, []float64{1, nan}, true, 0},
		{[]float64{1, 2.5}, []float64{1, 2}, false, 0.5},
		{[]float64{math.Copysign(0, -1)}, []float64{0}, false, 0},
		{[]float64{nan}, []float64{0}, false, math.MaxFloat64},
	} {
		if exact, most := equal(c.got, c.want); exact != c.exact || most != c.most {
			t.Errorf("equal(%v, %v) = %v, %v", c.got, c.want, exact, most)
		}
	}
}

func TestMedian(t *testing.T) {
	if got := median([]float64{9, 1, 4}); got != 4 {
		t.Errorf("median of three: %v", got)
	}
	if got := median([]float64{9, 1, 4, 2}); got != 3 {
		t.Errorf("median of four: %v", got)
	}
}

func TestSpecs(t *testing.T) {
	names := func(o *options) []string {
		all, err := specs(o)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, s := range all {
			out = append(out, s.name)
		}
		return out
	}
	full := names(&options{tiers: "portable"})
	for _, want := range []string{
		ours, portable, "lightgbm", "xgboost", "sklearn", "catboost", "lleaves", "daal4py", "sklearnex", "ydf", "tl2cgen", "onnxruntime", "leaves",
	} {
		if !slices.Contains(full, want) {
			t.Errorf("a full run lacks %s", want)
		}
	}
	if got := names(&options{tiers: "portable,avx2", engines: "treeline,treeline-avx2"}); !slices.Equal(got, append([]string{ours, "treeline-avx2"}, natives...)) {
		t.Errorf("chosen engines %q", got)
	}
	for _, o := range []*options{{tiers: "sse"}, {engines: "timber"}} {
		if _, err := specs(o); err == nil {
			t.Errorf("no error for %+v", o)
		}
	}
}

// A line has the names that others read.
func TestResultNames(t *testing.T) {
	line, err := json.Marshal(&sample().Results[0])
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"model":"lgb_100x31","engine":"treeline","threads":1,"batch":100000,"ns_per_row":80,"runs":5,"exact":true,"max_diff":0,`
	if !strings.HasPrefix(string(line), want) {
		t.Errorf("%s\nwant %s...", line, want)
	}
}
