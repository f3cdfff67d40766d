package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// daemon is a scorer process with the job's model as Champion.
type daemon struct {
	cmd         *exec.Cmd
	data, admin string // addresses
}

// daemonDir is the data directory of the i-th daemon.
func daemonDir(j job, i int) string { return filepath.Join(j.scratch, "daemon-"+strconv.Itoa(i)) }

// startDaemon starts a daemon on an empty data directory and makes the model its Champion. Everything but the number of
// threads is as by default.
func startDaemon(ctx context.Context, j job, i, threads int) (*daemon, error) {
	dir := daemonDir(j, i)
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	d := &daemon{data: fmt.Sprintf("127.0.0.1:%d", 17070+2*i), admin: fmt.Sprintf("127.0.0.1:%d", 17071+2*i)}
	log, err := os.Create(filepath.Join(dir, "scorer.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	d.cmd = exec.CommandContext(ctx, "bin/scorer", "--config", j.config, "--data-dir", dir, "--listen", d.data, "--admin-listen", d.admin)
	n := strconv.Itoa(threads)
	d.cmd.Env = append(os.Environ(), "GOMAXPROCS="+n, "SCORER_SCORING_THREADS="+n, "SCORER_WAREHOUSE_THREADS="+n)
	d.cmd.Stdout, d.cmd.Stderr = log, log
	if err := d.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting bin/scorer (make build): %w", err)
	}
	if err := d.ready(ctx); err != nil {
		d.stop()
		return nil, fmt.Errorf("%w; see %s", err, log.Name())
	}
	for _, args := range [][]string{
		{"model", "register", j.name, j.model, "--golden", j.golden}, {"validate", j.name}, {"promote", j.name, "--reason", "benchmark"},
	} {
		if err := d.ctl(ctx, args...).Run(); err != nil {
			d.stop()
			return nil, fmt.Errorf("ctl %s: %w", strings.Join(args, " "), err)
		}
	}
	return d, nil
}

func (d *daemon) ctl(ctx context.Context, args ...string) *exec.Cmd {
	cmd := command(ctx, "bin/ctl", args...)
	cmd.Env = append(os.Environ(), "SCORER_ADDR="+d.data, "SCORER_ADMIN_ADDR="+d.admin)
	return cmd
}

// ready waits until the process answers.
func (d *daemon) ready(ctx context.Context) error {
	for range 300 {
		check := d.ctl(ctx, "doctor")
		check.Stderr = nil
		if check.Run() == nil {
			return nil
		}
		<-time.After(100 * time.Millisecond)
	}
	return errors.New("the daemon did not get ready")
}

// score is timed around the command: what a user waits for.
func (d *daemon) score(ctx context.Context, j job, output string) (once, error) {
	args := []string{"score", j.name, "--input", j.features, "-o", "json"}
	if output != "" {
		args = append(args, "--output-file", output)
	}
	cmd := d.ctl(ctx, args...)
	cmd.Stderr = nil
	start := time.Now()
	out, err := cmd.Output()
	seconds := time.Since(start).Seconds()
	if err != nil {
		return once{}, fmt.Errorf("ctl score: %w: %s", err, out)
	}
	var receipt struct {
		Batch struct {
			Rows    json.Number `json:"rows"`
			Timings []struct {
				Step  string      `json:"step"`
				Nanos json.Number `json:"nanos"`
			} `json:"timings"`
		} `json:"batch"`
	}
	if err := json.Unmarshal(out, &receipt); err != nil {
		return once{}, fmt.Errorf("reading the receipt: %w: %s", err, out)
	}
	one := once{seconds: seconds, steps: map[string]float64{}}
	for _, t := range receipt.Batch.Timings {
		nanos, err := t.Nanos.Float64()
		if err != nil {
			return once{}, fmt.Errorf("reading the receipt: step %s: %w", t.Step, err)
		}
		one.steps[t.Step] = nanos / 1e9
	}
	one.rows, err = receipt.Batch.Rows.Int64()
	return one, err
}

func (d *daemon) stop() {
	_ = d.cmd.Process.Signal(os.Interrupt)
	_ = d.cmd.Wait() // its data directory is the benchmark's own
}
