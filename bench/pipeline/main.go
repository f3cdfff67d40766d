// Command pipeline measures the whole batch job side by side with the same job in Python.
//
//	go run ./bench/pipeline [-runs N] [-rows full|sample]
//
// The job: read the flights feature table from Parquet, score it with the LightGBM model of examples/flights, write the
// predictions with their lineage columns. Treeline does it through its daemon (`ctl score flights --input F`), which pins
// the input, commits atomically into a DuckDB table and verifies it; the Python variants of peer.py write a Parquet file.
// Runs are interleaved in one process tree; medians are reported. Before anything is timed the two outputs are compared
// bit for bit.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	model    = "examples/flights/lightgbm"
	dataDir  = "bench/data"
	dataAddr = "127.0.0.1:17070"
	adminAdr = "127.0.0.1:17071"
)

func main() {
	runs := flag.Int("runs", 7, "measured runs of each variant, interleaved")
	out := flag.String("out", "bench/results/pipeline.jsonl", "results file")
	flag.Parse()
	if err := bench(context.Background(), *runs, *out); err != nil {
		fmt.Fprintln(os.Stderr, "pipeline:", err)
		os.Exit(1)
	}
}

// result is one line of the results file.
type result struct {
	Job      string    `json:"job"`
	Engine   string    `json:"engine"`
	Variant  string    `json:"variant"`
	Rows     int64     `json:"rows"`
	Runs     int       `json:"runs"`
	Threads  int       `json:"threads"`
	Median   float64   `json:"median_seconds"`
	Seconds  []float64 `json:"seconds"`
	Ratio    float64   `json:"speedup_of_treeline"`
	Exact    bool      `json:"exact"`
	Machine  string    `json:"machine"`
	Versions string    `json:"versions"`
}

func bench(ctx context.Context, runs int, out string) error {
	if err := os.MkdirAll(dataDir, 0o755); err != nil {
		return err
	}
	features, err := filepath.Abs(filepath.Join(dataDir, "flights.parquet"))
	if err != nil {
		return err
	}
	if _, err := os.Stat(features); err != nil {
		if err := command(ctx, ".venv/bin/python", "examples/flights/train.py", "--full", features).Run(); err != nil {
			return fmt.Errorf("making the full flights table (is .venv there? make python): %w", err)
		}
	}
	peer, err := startPeer(ctx, features)
	if err != nil {
		return err
	}
	defer peer.stop()
	daemon, err := startDaemon(ctx)
	if err != nil {
		return err
	}
	defer daemon.stop()

	// One unmeasured run of each warms the page cache and gives the outputs to compare.
	warm, err := daemon.score(ctx, features)
	if err != nil {
		return err
	}
	for _, v := range peer.variants {
		if _, err := peer.run(v); err != nil {
			return err
		}
	}
	exact, err := compare(ctx, daemon, peer)
	if err != nil {
		return err
	}

	ours, theirs := []float64{}, map[string][]float64{}
	for i := range runs {
		o, err := daemon.score(ctx, features)
		if err != nil {
			return err
		}
		ours = append(ours, o.seconds)
		for _, v := range peer.variants {
			s, err := peer.run(v)
			if err != nil {
				return err
			}
			theirs[v] = append(theirs[v], s)
		}
		fmt.Fprintf(os.Stderr, "run %d of %d\n", i+1, runs)
	}
	return report(out, warm.rows, ours, theirs, peer, exact)
}

func report(out string, rows int64, ours []float64, theirs map[string][]float64, p *peer, exact bool) error {
	base := result{
		Job: "flights 300 x 31 leaves, categoricals, Parquet in, stamped predictions out", Rows: rows, Runs: len(ours),
		Threads: runtime.NumCPU(), Exact: exact, Machine: machine(), Versions: p.versions,
	}
	mine := base
	mine.Engine, mine.Variant, mine.Seconds, mine.Median, mine.Ratio = "treeline", "daemon", ours, median(ours), 1
	results := []result{mine}
	best := 0.0
	for _, v := range p.variants {
		r := base
		r.Engine, r.Variant, r.Seconds, r.Median = "python", v, theirs[v], median(theirs[v])
		r.Ratio = r.Median / mine.Median
		if best == 0 || r.Ratio < best {
			best = r.Ratio
		}
		results = append(results, r)
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	defer f.Close()
	enc := json.NewEncoder(f)
	fmt.Printf("\n%s, %d rows, %d threads, %d interleaved runs, %s\n\n", base.Job, rows, base.Threads, base.Runs, base.Machine)
	fmt.Printf("%-10s %-8s %10s %12s %10s %7s\n", "engine", "variant", "median s", "rows/s", "treeline", "equal")
	for _, r := range results {
		fmt.Printf("%-10s %-8s %10.3f %12.0f %9.2fx %7v\n", r.Engine, r.Variant, r.Median, float64(rows)/r.Median, r.Ratio, exact)
		if err := enc.Encode(r); err != nil {
			return err
		}
	}
	fmt.Printf("\ntreeline against the fastest Python variant: %.2fx (goal 2x)\n", best)
	if best < 2 || !exact {
		return fmt.Errorf("goal missed: %.2fx, exact %v", best, exact)
	}
	return f.Close()
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	n := len(s)
	if n%2 == 1 {
		return s[n/2]
	}
	return (s[n/2-1] + s[n/2]) / 2
}

func machine() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return fmt.Sprintf("%s, %d cores", strings.TrimSpace(value), runtime.NumCPU())
		}
	}
	return runtime.GOARCH
}

func command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = os.Stderr
	return cmd
}

// peer is the Python process.
type peer struct {
	cmd      *exec.Cmd
	in       io.WriteCloser
	out      *bufio.Scanner
	variants []string
	versions string
}

func startPeer(ctx context.Context, features string) (*peer, error) {
	cmd := command(ctx, ".venv/bin/python", "bench/pipeline/peer.py", model+"/model.txt", features, strconv.Itoa(runtime.NumCPU()))
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the Python peer (make python): %w", err)
	}
	p := &peer{cmd: cmd, in: in, out: bufio.NewScanner(out)}
	var hello struct {
		Variants []string          `json:"variants"`
		Versions map[string]string `json:"versions"`
	}
	if err := p.read(&hello); err != nil {
		return nil, err
	}
	p.variants = hello.Variants
	versions, err := json.Marshal(hello.Versions)
	p.versions = string(versions)
	return p, err
}

func (p *peer) read(v any) error {
	if !p.out.Scan() {
		return fmt.Errorf("the Python peer ended: %w", io.ErrUnexpectedEOF)
	}
	return json.Unmarshal(p.out.Bytes(), v)
}

func (p *peer) output(variant string) string {
	return filepath.Join(dataDir, "python-"+variant+".parquet")
}

func (p *peer) run(variant string) (float64, error) {
	if _, err := fmt.Fprintf(p.in, "run %s %s\n", variant, p.output(variant)); err != nil {
		return 0, err
	}
	var answer struct {
		Seconds float64 `json:"seconds"`
	}
	err := p.read(&answer)
	return answer.Seconds, err
}

func (p *peer) stop() {
	p.in.Close()
	_ = p.cmd.Wait() // it has answered everything
}

// daemon is the scorer process with the flights model as Champion.
type daemon struct {
	cmd *exec.Cmd
	dir string
}

type scored struct {
	seconds float64
	rows    int64
}

func (d *daemon) ctl(ctx context.Context, args ...string) *exec.Cmd {
	cmd := command(ctx, "bin/ctl", args...)
	cmd.Env = append(os.Environ(), "SCORER_ADDR="+dataAddr, "SCORER_ADMIN_ADDR="+adminAdr)
	return cmd
}

// startDaemon starts a daemon on an empty data directory and makes the flights model its Champion.
func startDaemon(ctx context.Context) (*daemon, error) {
	d := &daemon{dir: filepath.Join(dataDir, "daemon")}
	if err := os.RemoveAll(d.dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(d.dir, 0o755); err != nil {
		return nil, err
	}
	if err := d.start(ctx); err != nil {
		return nil, err
	}
	for _, args := range [][]string{
		{"model", "register", "flights", model + "/model.txt", "--golden", model + "/golden.parquet"},
		{"validate", "flights"},
		{"promote", "flights", "--reason", "benchmark"},
	} {
		if err := d.ctl(ctx, args...).Run(); err != nil {
			d.stop()
			return nil, fmt.Errorf("ctl %s: %w", strings.Join(args, " "), err)
		}
	}
	return d, nil
}

// start starts the process and waits until it answers.
func (d *daemon) start(ctx context.Context) error {
	log, err := os.OpenFile(filepath.Join(d.dir, "scorer.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	d.cmd = exec.CommandContext(ctx, "bin/scorer", "--config", "examples/scorer.yml", "--data-dir", d.dir, "--listen", dataAddr, "--admin-listen", adminAdr)
	d.cmd.Stdout, d.cmd.Stderr = log, log
	if err := d.cmd.Start(); err != nil {
		return fmt.Errorf("starting bin/scorer (make build): %w", err)
	}
	for range 300 {
		check := d.ctl(ctx, "doctor")
		check.Stderr = nil
		if check.Run() == nil {
			return nil
		}
		<-time.After(100 * time.Millisecond)
	}
	d.stop()
	return fmt.Errorf("the daemon did not get ready; see %s", log.Name())
}

func (d *daemon) score(ctx context.Context, features string) (scored, error) {
	cmd := d.ctl(ctx, "score", "flights", "--input", features, "-o", "json")
	cmd.Stderr = nil
	start := time.Now()
	out, err := cmd.Output()
	seconds := time.Since(start).Seconds()
	if err != nil {
		return scored{}, fmt.Errorf("ctl score flights: %w: %s", err, out)
	}
	var receipt struct {
		Batch struct {
			Rows json.Number `json:"rows"`
		} `json:"batch"`
	}
	if err := json.Unmarshal(out, &receipt); err != nil {
		return scored{}, fmt.Errorf("reading the receipt: %w: %s", err, out)
	}
	rows, err := receipt.Batch.Rows.Int64()
	return scored{seconds: seconds, rows: rows}, err
}

func (d *daemon) stop() {
	_ = d.cmd.Process.Signal(os.Interrupt)
	_ = d.cmd.Wait() // its data directory is the benchmark's own
}

// compare stops the daemon (DuckDB files have one owner), compares its table with Python's files bit for bit, and starts it again.
func compare(ctx context.Context, d *daemon, p *peer) (bool, error) {
	d.stop()
	out, err := command(ctx, ".venv/bin/python", "bench/pipeline/compare.py",
		filepath.Join(d.dir, "warehouse", "nyc.duckdb"), p.output("numpy"), p.output("pandas"), p.output("duckdb")).Output()
	if err != nil {
		return false, fmt.Errorf("comparing the outputs: %w", err)
	}
	fmt.Fprint(os.Stderr, string(out))
	return strings.HasPrefix(string(out), "equal"), d.start(ctx)
}
