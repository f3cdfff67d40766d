// Command pipeline measures a whole batch job side by side with the same job in Python.
//
//	go run ./bench/pipeline [-runs N] [-threads N] [-flights]
//
// The job: 2,000,000 rows of 28 doubles in Parquet are read, scored with 100 LightGBM trees of 31 leaves, and written with
// their lineage columns. Treeline does it through its daemon on the embedded default (`ctl score NAME --input F`), which
// pins the input by its digest, checks its keys, keeps statistics of the rows, commits atomically and verifies: into a
// Parquet file (the variant that is compared) and into a DuckDB table (shown beside it). The Python variants of peer.py
// write the same columns into a Parquet file with the same settings and do nothing else.
//
// -flights measures the flights of examples/flights besides: 336,776 rows, categories, 300 trees. It has no goal.
//
// Every variant is a process of its own. Runs are interleaved; medians are reported, and the peak of resident memory since
// the variant's run began. Before anything is timed all outputs are compared bit for bit. The exit status is 1 when the
// outputs differ or a goal is missed.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
)

// The goals of the synthetic job.
const (
	goalRatio = 8.0 // times as fast as the fastest Python variant
	goalMiB   = 512 // peak resident memory of the daemon
)

func main() {
	runs := flag.Int("runs", 5, "measured runs of each variant, interleaved")
	threads := flag.Int("threads", 2, "threads of every variant")
	flights := flag.Bool("flights", false, "measure the flights job, too")
	results := flag.String("results", "bench/results", "directory of the results files")
	flag.Parse()
	if err := all(context.Background(), os.Stdout, *runs, *threads, *flights, *results); err != nil {
		fmt.Fprintln(os.Stderr, "pipeline:", err)
		os.Exit(1)
	}
}

func all(ctx context.Context, out io.Writer, runs, threads int, flights bool, results string) error {
	if flights {
		j, err := flightsJob(ctx)
		if err != nil {
			return err
		}
		if _, err := measure(ctx, out, j, runs, threads, results); err != nil {
			return err
		}
	}
	j, err := syntheticJob(ctx)
	if err != nil {
		return err
	}
	r, err := measure(ctx, out, j, runs, threads, results)
	if err != nil {
		return err
	}
	return r.goals(out)
}

// measure compares the outputs of all variants, then runs them in turns.
func measure(ctx context.Context, out io.Writer, j job, runs, threads int, results string) (*report, error) {
	if err := os.MkdirAll(j.scratch, 0o755); err != nil {
		return nil, err
	}
	vs, versions, stop, err := start(ctx, j, threads)
	if err != nil {
		return nil, err
	}
	defer stop()
	for _, v := range vs { // warms the page cache, and gives the outputs to compare
		if _, err := v.run(ctx); err != nil {
			return nil, err
		}
	}
	exact, err := compare(ctx, j, vs)
	if err != nil {
		return nil, err
	}
	r := &report{job: j, threads: threads, exact: exact, versions: versions, quantise: -1}
	for _, v := range vs {
		r.variants = append(r.variants, measured{variant: v})
	}
	for i := range runs {
		for k, v := range vs {
			one, err := v.run(ctx)
			if err != nil {
				return nil, err
			}
			r.variants[k].runs = append(r.variants[k].runs, one)
		}
		fmt.Fprintf(os.Stderr, "run %d of %d\n", i+1, runs)
	}
	if r.quantise, err = quantiseShare(j); err != nil {
		return nil, err
	}
	return r, r.write(out, results)
}
