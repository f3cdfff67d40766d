// Command compare measures treeline side by side with every peer, checks that the results are equal, and says which goals
// are met.
//
//	go run ./bench/compare [-quick] [-models a,b] [-rounds N] [-tier portable,avx2] [-pipeline] [-report]
//
// Engines are processes that work only between a command and its answer: bench/score for Go, bench/peers/worker.py for
// Python. In every round each engine runs once with each number of threads and batch size, one after another; medians of
// the rounds count. See docs/design/0009-benchmarks.md.
//
// It writes bench/results/latest.jsonl (an object a measurement), context.json (machine, programs, refusals) and plots,
// prints a table for each model, a roofline line and the goals, and exits with status 1 when a goal is missed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
)

type options struct {
	quick, pipeline, report, readme, plots bool
	models, engines, tiers                 string
	rounds                                 int
	limit                                  float64
	results                                string
}

func main() {
	var o options
	flag.BoolVar(&o.quick, "quick", false, "the engines that goals name, batches of 1 and 100,000, 3 rounds")
	flag.StringVar(&o.models, "models", "", "only these models, separated by commas")
	flag.StringVar(&o.engines, "engines", "", "only these engines, and the native library")
	flag.StringVar(&o.tiers, "tier", "portable", "tiers of treeline to measure besides the processor's best, separated by commas")
	flag.IntVar(&o.rounds, "rounds", 0, "rounds (0: 5, or 3 with -quick)")
	flag.Float64Var(&o.limit, "limit", 0, "seconds that a peer may compile a model (0: 600, C compilers 240; 60 with -quick)")
	flag.BoolVar(&o.pipeline, "pipeline", false, "run bench/pipeline too; its goal counts")
	flag.BoolVar(&o.report, "report", false, "measure nothing: report the last results")
	flag.BoolVar(&o.readme, "readme", false, "write the headline numbers into README.md")
	flag.BoolVar(&o.plots, "plots", true, "draw bench/results/*.svg")
	flag.StringVar(&o.results, "results", "bench/results", "directory of the results")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "compare: arguments %q\n", flag.Args())
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, &o)
	stop()
	if errors.Is(err, errMissed) {
		os.Exit(1)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

// errMissed says that a goal was missed, which the last line has told already.
var errMissed = errors.New("goals missed")

func run(ctx context.Context, o *options) error {
	r, err := obtain(ctx, o)
	if err != nil {
		return err
	}
	if o.plots {
		if err := plot(ctx, o.results); err != nil {
			return err
		}
	}
	goals := evaluate(r)
	if o.readme {
		if err := writeReadme("README.md", r, goals); err != nil {
			return err
		}
	}
	printTables(os.Stdout, r)
	printGoals(os.Stdout, r, goals)
	if len(missed(goals)) > 0 {
		return errMissed
	}
	return nil
}

// obtain measures, or reads what was measured last.
func obtain(ctx context.Context, o *options) (*report, error) {
	if o.report {
		return readReport(o.results)
	}
	s, err := newSuite(ctx, o)
	if err != nil {
		return nil, err
	}
	r, err := s.measure(ctx)
	s.stop()
	if err != nil {
		return nil, err
	}
	if o.pipeline {
		r.Context.Pipeline = runPipeline(ctx)
	}
	return r, r.write(o.results)
}

func list(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}
