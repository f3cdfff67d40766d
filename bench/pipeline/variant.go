package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// variant is one way to do the job, in a process of its own.
type variant struct {
	engine, name string
	output       string // Parquet file; empty for the table
	pid          int
	work         func(ctx context.Context) (once, error)
}

// once is one run.
type once struct {
	seconds float64
	rows    int64
	steps   map[string]float64 // seconds by step, as the variant itself measures them
	mib     float64            // peak of resident memory
}

// run does the job and measures the peak of resident memory meanwhile.
func (v *variant) run(ctx context.Context) (once, error) {
	// 5 sets the peak to what is resident now.
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", v.pid), []byte("5"), 0o200); err != nil {
		return once{}, fmt.Errorf("%s %s: resetting the peak of memory: %w", v.engine, v.name, err)
	}
	one, err := v.work(ctx)
	if err != nil {
		return once{}, fmt.Errorf("%s %s: %w", v.engine, v.name, err)
	}
	one.mib, err = peakMiB(v.pid)
	return one, err
}

func peakMiB(pid int) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, found := bytes.Cut(status, []byte("VmHWM:"))
	fields := strings.Fields(string(rest))
	if !found || len(fields) == 0 {
		return 0, fmt.Errorf("process %d shows no peak of memory", pid)
	}
	kib, err := strconv.ParseFloat(fields[0], 64)
	return kib / 1024, err
}

// pythonVariants are those of peer.py that suit a job.
func pythonVariants() []string { return []string{"duckdb", "pandas", "numpy", "lean"} }

// start starts all processes. The two variants of Treeline have a daemon each.
func start(ctx context.Context, j job, threads int) (vs []*variant, versions string, stop func(), err error) {
	var stops []func()
	stop = func() {
		for _, s := range stops {
			s()
		}
	}
	defer func() {
		if err != nil {
			stop()
		}
	}()
	for i, output := range []string{filepath.Join(j.scratch, "treeline.parquet"), ""} {
		if output != "" {
			if err := os.RemoveAll(output); err != nil {
				return nil, "", nil, err
			}
		}
		d, err := startDaemon(ctx, j, i, threads)
		if err != nil {
			return nil, "", nil, err
		}
		stops = append(stops, d.stop)
		name := "parquet"
		if output == "" {
			name = "table"
		}
		vs = append(vs, &variant{engine: "treeline", name: name, output: output, pid: d.cmd.Process.Pid, work: func(ctx context.Context) (once, error) {
			return d.score(ctx, j, output)
		}})
	}
	for _, name := range pythonVariants() {
		output := filepath.Join(j.scratch, "python-"+name+".parquet")
		p, err := startPeer(ctx, j, name, threads)
		if err != nil {
			return nil, "", nil, err
		}
		stops = append(stops, p.stop)
		versions = p.versions
		vs = append(vs, &variant{engine: "python", name: name, output: output, pid: p.cmd.Process.Pid, work: func(context.Context) (once, error) {
			return p.run(output)
		}})
	}
	return vs, versions, stop, nil
}

// compare reports whether all outputs are equal, bit for bit. DuckDB's files have one owner, so that the table is compared
// from a copy.
func compare(ctx context.Context, j job, vs []*variant) (bool, error) {
	source := filepath.Join(daemonDir(j, 1), "warehouse", j.catalog+".duckdb")
	copied := filepath.Join(j.scratch, "table.duckdb")
	b, err := os.ReadFile(source)
	if err == nil {
		err = os.WriteFile(copied, b, 0o600)
	}
	if err != nil {
		return false, fmt.Errorf("copying the table: %w", err)
	}
	args := []string{"bench/pipeline/compare.py", j.key, j.name, copied, j.table}
	for _, v := range vs {
		if v.output != "" {
			args = append(args, v.output)
		}
	}
	out, err := command(ctx, python, args...).Output()
	if err != nil {
		return false, errors.Join(fmt.Errorf("comparing the outputs: %w", err), os.Remove(copied))
	}
	fmt.Fprint(os.Stderr, string(out))
	return strings.HasPrefix(string(out), "equal"), os.Remove(copied)
}
