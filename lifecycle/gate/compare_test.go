package gate

import (
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/treeline-ml/treeline/forest"
)

func TestEqual(t *testing.T) {
	nan1, nan2 := math.NaN(), math.Float64frombits(0xfff8000000000001)
	for _, c := range []struct {
		a, b float64
		want bool
	}{
		{1, 1, true},
		{0, math.Copysign(0, -1), false},
		{nan1, nan2, true},
		{nan1, 1, false},
		{1, math.Nextafter(1, 2), false},
		{math.Inf(1), math.Inf(1), true},
		{math.Inf(1), math.Inf(-1), false},
		{5e-324, 0, false},
	} {
		if got := equal64(c.a, c.b); got != c.want {
			t.Errorf("equal64(%v, %v) is %v", c.a, c.b, got)
		}
	}
	single := math.Float32frombits
	for _, c := range []struct {
		a, b float32
		want bool
	}{
		{1, 1, true}, {0, single(1 << 31), false}, {single(0x7fc00001), single(0xffc00000), true}, {1, single(0x3f800001), false},
	} {
		if got := equal32(c.a, c.b); got != c.want {
			t.Errorf("equal32(%v, %v) is %v", c.a, c.b, got)
		}
	}
}

func TestSignature(t *testing.T) {
	for want, names := range map[string][]string{
		"":                      {"a", "b"},
		"no features":           {},
		"feature 1 has no name": {"a", " "},
		`both named "a"`:        {"a", "b", "a"},
	} {
		m := &forest.Model{}
		for _, n := range names {
			m.Features = append(m.Features, forest.Feature{Name: n})
		}
		if got := signature(m); !strings.Contains(got, want) || (want == "") != (got == "") {
			t.Errorf("%q: %q, want %q", names, got, want)
		}
	}
}

func TestClip(t *testing.T) {
	for _, c := range []struct {
		in   string
		most int
		want string
	}{{"abc", 3, "abc"}, {"abcdef", 5, "ab..."}, {"ääää", 6, "ä..."}, {"ääää", 7, "ää..."}} {
		if got := clip(c.in, c.most); got != c.want || !utf8.ValidString(got) {
			t.Errorf("clip(%q, %d) is %q, want %q", c.in, c.most, got, c.want)
		}
	}
}

func TestOverall(t *testing.T) {
	for _, c := range []struct {
		gates []Outcome
		want  Outcome
	}{
		{[]Outcome{Pass, Pass}, Pass},
		{[]Outcome{Pass, Inconclusive}, Inconclusive},
		{[]Outcome{Fail, Inconclusive}, Fail},
		{[]Outcome{Inconclusive, Fail}, Fail},
		{[]Outcome{Pass, Waived}, Pass},
		{[]Outcome{Waived, Fail}, Fail},
		{[]Outcome{"something else"}, Inconclusive},
	} {
		gates := []Result{{Outcome: Fail}, {Outcome: Inconclusive}} // reported only
		for _, o := range c.gates {
			gates = append(gates, Result{Outcome: o, Required: true})
		}
		if got := overall(gates); got != c.want {
			t.Errorf("%v is %s, want %s", c.gates, got, c.want)
		}
	}
}
