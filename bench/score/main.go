// Command score is the Go side of the benchmark: one engine as a process, commands in, answers out, a JSON line each.
//
//	score treeline|leaves
//
//	{"op": "load", "directory": D, "model": NAME}             -> facts about the compiled model, or {"refused": "why"}
//	{"op": "check", "threads": T, "batch": B, "rows": N, "out": FILE} -> {"width": columns}; FILE holds N x columns doubles
//	{"op": "run", "threads": T, "batch": B, "seconds": S}     -> {"ns_per_row": x}
//	{"op": "probe"}                                           -> what one core of this machine can do
//
// It is the counterpart of bench/peers/worker.py and works only between a command and its answer. TREELINE_ENGINE_TIER
// chooses the engine's tier.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

func main() {
	if err := serve(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "score:", err)
		os.Exit(1)
	}
}

// engine is one way to score the benchmark's models.
type engine interface {
	versions() map[string]string
	// load takes a model; the answer goes to the controller as it is.
	load(m *model) (map[string]any, error)
	// width is the number of predictions a row.
	width() int
	// score writes the predictions of rows lo to hi, row-major.
	score(dst []float64, lo, hi, threads int) error
}

type command struct {
	Op        string  `json:"op"`
	Directory string  `json:"directory"`
	Model     string  `json:"model"`
	Threads   int     `json:"threads"`
	Batch     int     `json:"batch"`
	Rows      int     `json:"rows"`
	Out       string  `json:"out"`
	Seconds   float64 `json:"seconds"`
}

func serve(args []string, in io.Reader, out io.Writer) error {
	if len(args) != 1 || args[0] != "treeline" && args[0] != "leaves" {
		return fmt.Errorf("arguments %q, want treeline or leaves", args)
	}
	var e engine = &treeline{}
	if args[0] == "leaves" {
		e = &leavesEngine{}
	}
	w := &worker{engine: e}
	answers := json.NewEncoder(out)
	if err := answers.Encode(map[string]any{"versions": e.versions()}); err != nil {
		return err
	}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var c command
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			return err
		}
		answer, err := w.do(&c)
		if err != nil {
			answer = map[string]any{"error": err.Error()}
		}
		if err := answers.Encode(answer); err != nil {
			return err
		}
	}
	return lines.Err()
}
