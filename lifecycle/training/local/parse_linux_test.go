package local

import (
	"errors"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/treeline-ml/treeline/lifecycle/training"
)

func TestParseStat(t *testing.T) {
	self, err := processOf(os.Getpid())
	if err != nil || self.pid != os.Getpid() || self.zombie || self.start == 0 {
		t.Errorf("%+v, %v", self, err)
	}
	if _, err := processOf(1 << 30); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no such process: %v", err)
	}
	const rest = " 1 42 42 0 -1 4194304 100 0 0 0 150 25 3 4 20 0 1 0 987654 1 2 3"
	p, err := parseStat([]byte("42 (a) Z (b) R) S" + rest))
	want := process{pid: 42, group: 42, user: 1500 * time.Millisecond, sys: 250 * time.Millisecond, start: 987654}
	if err != nil || p != want {
		t.Errorf("%+v, %v", p, err)
	}
	if p, err := parseStat([]byte("42 (x) Z" + rest)); err != nil || !p.zombie {
		t.Errorf("%+v, %v", p, err)
	}
	for _, bad := range []string{"", "42", "42 (x", "42 (x) S 1 2", "x (x) S" + rest, "42 (x) S a b c d e f g h i j k l m n o p q r s t u"} {
		if p, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q is %+v", bad, p)
		}
	}
}

func TestParseExit(t *testing.T) {
	for text, want := range map[string]struct {
		code  int
		usage training.Usage
		ok    bool
	}{
		"0\n0m0.00s 0m0.00s\n1m2.5s 0m0.25s\n": {0, training.Usage{User: 62500 * time.Millisecond, System: 250 * time.Millisecond}, true},
		"75\n":                                 {75, training.Usage{}, true},
		"137":                                  {137, training.Usage{}, true},
		"1\nx\ny z\n":                          {1, training.Usage{}, true},
		"":                                     {},
		"256\n":                                {},
		"-1\n":                                 {},
		"x\n":                                  {},
	} {
		code, usage, ok := parseExit([]byte(text))
		if code != want.code || usage != want.usage || ok != want.ok {
			t.Errorf("%q: %d, %+v, %v", text, code, usage, ok)
		}
	}
}

func TestReadChunk(t *testing.T) {
	long := strings.Repeat("é", maxChunk/2-1) + "ab" // a character begins at the last byte but one of the first chunk
	for name, c := range map[string]struct {
		log    string
		offset int64
		cut    hole
		ended  bool
		want   training.LogChunk
	}{
		"whole lines":    {"one\ntwo\nthr", 0, hole{}, false, training.LogChunk{Next: 8, Text: "one\ntwo\n"}},
		"the rest":       {"one\ntwo\nthr", 8, hole{}, true, training.LogChunk{Offset: 8, Next: 11, Text: "thr", End: true}},
		"all":            {"one\ntwo\nthr", 0, hole{}, true, training.LogChunk{Next: 11, Text: "one\ntwo\nthr", End: true}},
		"a line goes on": {"one", 0, hole{}, false, training.LogChunk{}},
		"negative":       {"one\n", -5, hole{}, false, training.LogChunk{Next: 4, Text: "one\n"}},
		"past the end":   {"one\n", 9, hole{}, true, training.LogChunk{Offset: 9, Next: 9, End: true}},
		"other bytes":    {"a\xff\x00b\n", 0, hole{}, false, training.LogChunk{Next: 5, Text: "a\uFFFD\uFFFDb\n"}},
		"long line":      {long + "c", 0, hole{}, false, training.LogChunk{Next: maxChunk, Text: long}},
		"before a hole":  {"0123456789abc\nd\n", 0, hole{4, 10}, false, training.LogChunk{Next: 4, Text: "0123"}},
		"at a hole":      {"0123456789abc\nd\n", 4, hole{4, 10}, false, training.LogChunk{Offset: 14, Next: 16, Text: "d\n", Truncated: true}},
		"in a hole":      {"0123456789abc\nd\n", 7, hole{4, 10}, true, training.LogChunk{Offset: 14, Next: 16, Text: "d\n", Truncated: true, End: true}},
		"after a hole":   {"0123456789abc\nd\n", 10, hole{4, 10}, false, training.LogChunk{Offset: 10, Next: 16, Text: "abc\nd\n"}},
	} {
		got, err := readChunk(strings.NewReader(c.log), c.offset, c.cut, c.ended)
		if err != nil || got != c.want {
			t.Errorf("%s: %.200v, %v; want %.200v", name, got, err, c.want)
		}
	}
}

func TestEnviron(t *testing.T) {
	p := Process{PythonPath: []string{"/p"}, PassEnv: []string{"AWS_*", "ONE"}}
	got := p.environ([]string{"A=1", "AWS_X=2", "ONE=3", "ONES=4", "PYTHONPATH=", "MLFLOW_TRACKING_URI=u=v", "noequals", "HOME=/h"}, nil, "")
	want := "AWS_X=2 ONE=3 MLFLOW_TRACKING_URI=u=v HOME=/h PYTHONUNBUFFERED=1 PYTHONFAULTHANDLER=1 PYTHONIOENCODING=utf-8:backslashreplace PYTHONPATH=/p"
	if strings.Join(got, " ") != want {
		t.Errorf("environment is %q, want %q", got, want)
	}
}

func FuzzResult(f *testing.F) {
	f.Add([]byte(`{"format":1,"training_id":"t","model":"model/MLmodel","golden":"g","holdout":"h","metrics":{"auc":1e308},"rows":{"train":1,"holdout":1},"trained_at":"2026-01-01T00:00:00Z"}`))
	f.Add([]byte(`{"params":{"a":[1,{"b":null}]},"model":"../x"}`))
	f.Add([]byte("[]"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseResult(b, "t")
		if err != nil {
			if !errors.Is(err, ErrResult) || len(err.Error()) > 64<<10 {
				t.Errorf("error is %.200v of %d bytes", err, len(err.Error()))
			}
			return
		}
		for _, name := range []string{r.ModelFile, r.Golden, r.Holdout} {
			if !sanePath(name) {
				t.Errorf("path %q", name)
			}
		}
		for k, v := range r.Metrics {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				t.Errorf("metric %q is %v", k, v)
			}
		}
	})
}

func FuzzHeartbeat(f *testing.F) {
	f.Add([]byte(`{"at":"2026-01-01T00:00:00Z","step":"train","fraction":0.5}`))
	f.Add([]byte(`{"step":"\u0000","fraction":1e999}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		step, fraction := parseHeartbeat(b)
		if len(step) > 64 || strings.ContainsAny(step, "\x00\n\x1b") || !(fraction >= 0 && fraction <= 1) {
			t.Errorf("%q, %v", step, fraction)
		}
	})
}

func FuzzVerdict(f *testing.F) {
	f.Add([]byte(`{"passed":true,"summary":"fine","figures":{"lift":1.5,"note":"x","deep":{"a":[1]}}}`))
	f.Add([]byte(`{"passed":false}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := parseVerdict(b)
		if err == nil && (len(v.Summary) > maxText || len(v.Figures)+len(v.Notes) > maxEntries) {
			t.Errorf("%d bytes, %d figures", len(v.Summary), len(v.Figures))
		}
	})
}

func FuzzStat(f *testing.F) {
	f.Add([]byte("42 (a) Z (b) R) S 1 42 42 0 -1 4194304 100 0 0 0 150 25 3 4 20 0 1 0 987654 1 2 3"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parseStat(b)
		if err == nil && (p.pid < 0 || p.group < 0) {
			t.Errorf("%+v", p)
		}
	})
}
