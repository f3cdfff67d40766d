package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strconv"
)

// peer is a Python process.
type peer struct {
	cmd      *exec.Cmd
	in       io.WriteCloser
	out      *bufio.Scanner
	versions string
}

func startPeer(ctx context.Context, j job, name string, threads int) (*peer, error) {
	cmd := command(ctx, python, "bench/pipeline/peer.py", name, j.model, j.features, j.key, j.name, strconv.Itoa(threads))
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
		Versions json.RawMessage `json:"versions"`
	}
	if err := p.read(&hello); err != nil {
		p.stop()
		return nil, err
	}
	p.versions = string(hello.Versions)
	return p, nil
}

func (p *peer) read(v any) error {
	if !p.out.Scan() {
		return fmt.Errorf("the Python peer ended: %w", io.ErrUnexpectedEOF)
	}
	return json.Unmarshal(p.out.Bytes(), v)
}

func (p *peer) run(output string) (once, error) {
	if _, err := fmt.Fprintf(p.in, "run %s\n", output); err != nil {
		return once{}, err
	}
	var answer struct {
		Seconds float64            `json:"seconds"`
		Rows    int64              `json:"rows"`
		Share   map[string]float64 `json:"share"`
	}
	err := p.read(&answer)
	return once{seconds: answer.Seconds, rows: answer.Rows, steps: answer.Share}, err
}

func (p *peer) stop() {
	p.in.Close()
	_ = p.cmd.Wait() // it has answered everything
}
