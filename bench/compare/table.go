package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// printTables prints a table for each model: at most 100 columns.
func printTables(w io.Writer, r *report) {
	fmt.Fprintf(w, "\n%s; %s, commit %s, %d measurements\n", r.Context.Machine, r.Context.Command, r.Context.Commit, len(r.Results))
	fmt.Fprintf(w, "ns per row, elapsed; x: how many times faster treeline is; equal: the native library's bits, or\n")
	fmt.Fprintf(w, "the largest difference; build: seconds to compile the model\n")
	for _, m := range models {
		printModel(w, r, m)
	}
}

func printModel(w io.Writer, r *report, m string) {
	engines := r.engines(m)
	if len(engines) == 0 {
		return
	}
	title := m
	if p := r.program(m, ours); p != nil {
		title += fmt.Sprintf(": %d trees, %d leaves; %s", p.Trees, p.Nodes-p.Splits, p.Explain)
	}
	fmt.Fprintf(w, "\n%s\n", clip(title))
	fmt.Fprintf(w, "%-17s %10s %7s %9s %7s %9s %9s %9s %8s %6s\n",
		"engine", "1 thread", "x", "2 threads", "x", "b 1000", "b 64", "b 1", "equal", "build")
	for _, e := range engines {
		line := fmt.Sprintf("%-17s %10s %7s %9s %7s %9s %9s %9s %8s %6s", e,
			r.ns(m, e, 1, allRows), r.times(m, e, 1, allRows), r.ns(m, e, 2, allRows), r.times(m, e, 2, allRows),
			r.ns(m, e, 1, 1000), r.ns(m, e, 1, 64), r.ns(m, e, 1, 1), r.equality(m, e), r.build(m, e))
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
	for _, x := range r.Context.Refusals {
		if x.Model == m {
			fmt.Fprintln(w, clip(fmt.Sprintf("%-17s %s", x.Engine, x.Text)))
		}
	}
	for _, x := range r.Context.Notes {
		if x.Model == m {
			fmt.Fprintln(w, clip(fmt.Sprintf("  %s: %s", x.Engine, x.Text)))
		}
	}
	if line := roofline(r, m); line != "" {
		fmt.Fprintln(w, line)
	}
}

// engines lists who was measured on a model: ours, then the others from the fastest on.
func (r *report) engines(m string) []string {
	var out []string
	for i := range r.Results {
		if e := r.Results[i].Engine; r.Results[i].Model == m && !slices.Contains(out, e) {
			out = append(out, e)
		}
	}
	slices.SortStableFunc(out, func(a, b string) int {
		x, y := r.at(m, a, 1, allRows), r.at(m, b, 1, allRows)
		mine := func(e string) bool { return strings.HasPrefix(e, ours) }
		switch {
		case mine(a) != mine(b):
			if mine(a) {
				return -1
			}
			return 1
		case mine(a) || x == nil || y == nil:
			return 0
		case x.NsPerRow < y.NsPerRow:
			return -1
		default:
			return 1
		}
	})
	return out
}

func (r *report) ns(m, e string, threads, batch int) string {
	x := r.at(m, e, threads, batch)
	switch {
	case x == nil:
		return "-"
	case x.NsPerRow < 1000:
		return fmt.Sprintf("%.1f", x.NsPerRow)
	default:
		return fmt.Sprintf("%.0f", x.NsPerRow)
	}
}

func (r *report) times(m, e string, threads, batch int) string {
	v := r.ratio(m, e, ours, threads, batch)
	if v == 0 || e == ours {
		return ""
	}
	return fmt.Sprintf("%.1fx", v)
}

// equality is about all settings of an engine.
func (r *report) equality(m, e string) string {
	most, exact := 0.0, true
	for i := range r.Results {
		if x := &r.Results[i]; x.Model == m && x.Engine == e {
			most, exact = max(most, x.MaxDiff), exact && x.Exact
		}
	}
	switch {
	case exact:
		return "yes"
	case most > 1e300:
		return "NaN"
	default:
		return fmt.Sprintf("%.0e", most)
	}
}

func (r *report) build(m, e string) string {
	if p := r.program(m, e); p != nil {
		return fmt.Sprintf("%.2f", p.CompileSeconds)
	}
	for _, c := range r.Context.Compilations {
		if c.Model == m && c.Engine == e {
			return fmt.Sprintf("%.0f", c.Seconds)
		}
	}
	return ""
}

func clip(s string) string {
	const width = 100
	if runes := []rune(s); len(runes) > width {
		return string(runes[:width-3]) + "..."
	}
	return s
}

// printGoals prints the goals; its last line lists those that were missed.
func printGoals(w io.Writer, r *report, goals []goal) {
	fmt.Fprintf(w, "\n%-34s %12s %10s %14s\n", "goal (1 thread, batches of 100,000)", "wanted", "reach", "measured")
	for i := range goals {
		g := &goals[i]
		sign, verdict := ">= ", "met"
		if g.AtMost {
			sign = "<= "
		}
		measured, reach := g.value(g.Got), ""
		if g.Reach > 0 {
			reach = g.value(g.Reach)
		}
		switch {
		case !g.Measured:
			verdict, measured = "not measured", "-"
		case !g.met():
			verdict = "MISSED"
		case g.Reach > 0 && g.Got >= g.Reach:
			verdict = "met, and reached"
		}
		fmt.Fprintf(w, "%-35s %12s %10s %14s  %s\n", g.Name, sign+g.value(g.Want), reach, measured, verdict)
	}
	if r.Context.Mode != "full" {
		fmt.Fprintln(w, "\nthis was a quick run: make bench measures every peer")
	}
	names := missed(goals)
	if len(names) == 0 {
		names = []string{"none"}
	}
	fmt.Fprintf(w, "\ngoals missed: %s\n", strings.Join(names, ", "))
}
