package schedule_test

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/treeline-ml/treeline/lifecycle/schedule"
)

// The zones differ in what they do to clocks: an hour, half an hour (Lord Howe), at midnight (Sao Paulo, Havana), a
// minute past it (St. John's), twice a year around Ramadan (Casablanca), and a whole day left out (Apia, 2011).
var zones = []string{
	"UTC", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kolkata", "America/Sao_Paulo", "Africa/Casablanca",
	"Pacific/Apia", "Asia/Tehran", "America/St_Johns", "Pacific/Chatham", "America/Havana",
}

// expressions use every operator at least once.
var expressions = []string{
	"0 0 12 * * ?", "0 30 2 ? * SUN", "0 30 2 * * ?", "15,45 10,40 2,3 1/3 * ?", "0 0/20 1 * * ?", "0 7/15 * 5-9 3,10,11 ?", "0 0 0 1 1 ?",
	"0 0 0 L * ?", "0 0 0 L-3 * ?", "0 5 1 LW * ?", "0 5 1 L-2W * ?", "0 0 3 15W * ?", "0 0 3 1W * ?", "0 0 3 31W * ?",
	"0 0 0 ? * 6L", "0 0 0 ? * FRIL", "0 30 23 ? * MON#1", "0 0 2 ? * 1#2", "0 0 2 ? * SUN#5", "0 0 4 ? * FRI-MON", "0 0 22-2 ? * TUE",
	"0 0 4 28-3 * ?", "0 0 4 1 NOV-FEB ?", "0 0 4 ? JAN,JUN L", "0 0 1-3/2 * * ?", "*/30 59 23 ? * SAT", "0 0 6 29 2 ?", "0 0 0 29 FEB ? 2008-2020/4",
	"0 30 1 ? MAR,NOV *", "0 0 5/6 10/7 * ?", "59 59 23 31 12 ? 2011,2013", "0 0 0 30 12 ? 2011", "0 15 10 ? * 2-6",
}

func TestNextAgainstBruteForce(t *testing.T) {
	all := slices.Clone(expressions)
	random, years := 6, 20
	walked := zones
	switch {
	case os.Getenv("TREELINE_LONG") != "":
		random = 200
	case testing.Short():
		random, walked = 0, zones[1:2] // under the race detector, which has nothing to find here
	}
	rng := rand.New(rand.NewPCG(4, 20))
	for range random {
		all = append(all, randomExpression(rng))
	}
	from := time.Date(2005, 1, 1, 0, 0, 0, 0, time.UTC)
	to := from.AddDate(years, 0, 0)
	firings := 0
	for _, name := range walked {
		loc, err := schedule.Location(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range all {
			c, err := schedule.Parse(text)
			if err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			want := bruteForce(text, loc, from, to)
			at := from.Add(-time.Second)
			for i := range want {
				next, ok := c.Next(at, loc)
				if !ok || !next.Equal(want[i]) {
					t.Fatalf("%q in %s after %s: got %s (%t), want %s", text, name, at.In(loc), next, ok, want[i].In(loc))
				}
				at = next
			}
			if next, ok := c.Next(at, loc); ok && next.Before(to) {
				t.Fatalf("%q in %s after %s: got %s, want none before %s", text, name, at.In(loc), next, to)
			}
			firings += len(want)
		}
	}
	t.Logf("%d expressions in %d zones over %d years: %d firings", len(all), len(walked), years, firings)
	if firings < 100_000 {
		t.Errorf("brute force found %d firings, want more than 100000: the test compares too little", firings)
	}
}

// randomExpression draws each field among its operators; times of day stay few, so that twenty years are walked quickly.
func randomExpression(r *rand.Rand) string {
	num := func(lo, hi int) string { return strconv.Itoa(lo + r.IntN(hi-lo+1)) }
	pick := func(options ...string) string { return options[r.IntN(len(options))] }
	second := pick("0", num(0, 59), num(0, 29)+","+num(30, 59))
	minute := pick("0", num(0, 59), num(0, 59)+"/"+num(25, 59), num(50, 59)+"-"+num(0, 1))
	hour := pick("0", "2", num(0, 23), num(0, 23)+","+num(0, 23), num(22, 23)+"-"+num(0, 1), "*/"+num(8, 23))
	month := pick("*", "*", num(1, 12), "MAR,OCT,NOV", num(10, 12)+"-"+num(1, 4), num(1, 4)+"/"+num(2, 6))
	dom, dow := "?", "?"
	if r.IntN(2) == 0 {
		dom = pick("*", num(1, 31), num(1, 31)+"W", "L", "LW", "L-"+num(1, 30), "L-"+num(1, 5)+"W", num(20, 31)+"-"+num(1, 9), num(1, 9)+"/"+num(2, 20), num(1, 31)+","+num(1, 31))
	} else {
		dow = pick("*", num(1, 7), num(1, 7)+"L", num(1, 7)+"#"+num(1, 5), "FRI-TUE", "MON-FRI", num(1, 3)+"/"+num(2, 4), "SUN,WED", "L")
	}
	year := pick("", "", "", " 2006-2024", " */3", " 2010,2011,2020")
	return second + " " + minute + " " + hour + " " + dom + " " + month + " " + dow + year
}

// bruteForce lists the instants in [from, to), by reading the expression anew for each value and day, and by asking the
// zone what clocks show instead of computing it.
func bruteForce(text string, loc *time.Location, from, to time.Time) []time.Time {
	f := append(strings.Fields(text), "*")
	var clock []int
	for s := range 24 * 3600 {
		if in(f[2], s/3600, 0, 23, nil) && in(f[1], s/60%60, 0, 59, nil) && in(f[0], s%60, 0, 59, nil) {
			clock = append(clock, s)
		}
	}
	counting := strings.ContainsAny(f[0]+f[1]+f[2], "*/")
	found := map[int64]bool{}
	for day := from.AddDate(0, 0, -3); day.Before(to.AddDate(0, 0, 3)); day = day.AddDate(0, 0, 1) {
		if !in(f[4], int(day.Month()), 1, 12, []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}) ||
			!in(f[6], day.Year(), 1970, 2199, nil) || !dayIn(f[3], f[5], day) {
			continue
		}
		for _, s := range clock {
			for _, at := range instants(day.Add(time.Duration(s)*time.Second), loc, counting) {
				if at >= from.Unix() && at < to.Unix() {
					found[at] = true
				}
			}
		}
	}
	var out []time.Time
	for at := range found {
		out = append(out, time.Unix(at, 0))
	}
	slices.SortFunc(out, time.Time.Compare)
	return out
}

// instants finds when clocks in loc show the wall time w.
func instants(w time.Time, loc *time.Location, counting bool) []int64 {
	shows := func(u int64) int64 {
		t := time.Unix(u, 0).In(loc)
		return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.UTC).Unix()
	}
	var out []int64
	for _, around := range []int64{-26 * 3600, 26 * 3600} {
		u := w.Unix() - (shows(w.Unix()+around) - (w.Unix() + around))
		if shows(u) == w.Unix() && !slices.Contains(out, u) {
			out = append(out, u)
		}
	}
	slices.Sort(out)
	switch {
	case len(out) == 0: // skipped: the first instant whose clock shows something later
		for u := w.Unix() - 27*3600 - w.Unix()%60; ; u += 60 {
			if shows(u) > w.Unix() {
				return []int64{u}
			}
		}
	case len(out) == 2 && !counting:
		return out[:1]
	default:
		return out
	}
}

// in reads one field for one value.
func in(text string, v, low, high int, names []string) bool {
	value := func(s string) int {
		if i := slices.Index(names, s); i >= 0 {
			return low + i
		}
		n, err := strconv.Atoi(s)
		if err != nil {
			panic(s)
		}
		return n
	}
	for part := range strings.SplitSeq(text, ",") {
		body, stepText, stepped := strings.Cut(part, "/")
		a, b := low, high
		if body != "*" {
			first, last, ranged := strings.Cut(body, "-")
			a = value(first)
			switch {
			case ranged:
				b = value(last)
			case !stepped:
				b = a
			}
		}
		step := 1
		if stepped {
			step = value(stepText)
		}
		for x := a; ; x += step {
			if b >= a && x > b || b < a && x > b+high-low+1 {
				break
			}
			if y := x; y == v || y-(high-low+1) == v {
				return true
			}
		}
	}
	return false
}

var weekdays = []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}

// dayIn reads the day fields for one day, with the calendar counted out day by day.
func dayIn(month, week string, day time.Time) bool {
	var days []time.Time // of day's month
	for d := time.Date(day.Year(), day.Month(), 1, 0, 0, 0, 0, time.UTC); d.Month() == day.Month(); d = d.AddDate(0, 0, 1) {
		days = append(days, d)
	}
	is := func(i int) bool { return i >= 0 && i < len(days) && days[i].Equal(day) }
	nearest := func(i int) bool {
		if i < 0 || i >= len(days) {
			return false
		}
		for _, j := range []int{i, i - 1, i + 1, i - 2, i + 2} { // on a Saturday the day before is nearest, on a Sunday the day after
			if j >= 0 && j < len(days) && days[j].Weekday() != time.Saturday && days[j].Weekday() != time.Sunday {
				return is(j)
			}
		}
		return false
	}
	if week == "?" {
		body, work := strings.CutSuffix(month, "W")
		if rest, last := strings.CutPrefix(body, "L"); last {
			back := 0
			if rest != "" {
				back, _ = strconv.Atoi(rest[1:])
			}
			if work {
				return nearest(len(days) - 1 - back)
			}
			return is(len(days) - 1 - back)
		}
		if work {
			n, _ := strconv.Atoi(body)
			return nearest(n - 1)
		}
		return in(month, day.Day(), 1, 31, nil)
	}
	name := func(s string) int {
		if i := slices.Index(weekdays, s); i >= 0 {
			return i + 1
		}
		n, _ := strconv.Atoi(s)
		return n
	}
	var same []time.Time // days of the month with the wanted weekday
	collect := func(d int) {
		for _, x := range days {
			if int(x.Weekday())+1 == d {
				same = append(same, x)
			}
		}
	}
	if d, nth, ok := strings.Cut(week, "#"); ok {
		collect(name(d))
		n, _ := strconv.Atoi(nth)
		return n <= len(same) && same[n-1].Equal(day)
	}
	if week == "L" {
		return day.Weekday() == time.Saturday
	}
	if d, ok := strings.CutSuffix(week, "L"); ok {
		collect(name(d))
		return same[len(same)-1].Equal(day)
	}
	return in(week, int(day.Weekday())+1, 1, 7, weekdays)
}
