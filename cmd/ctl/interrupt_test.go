package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/treeline-ml/treeline/cmd/ctl/internal/command"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/console"
)

// TestInterrupt: a command that is interrupted ends with 1, says so, and leaves nothing behind.
func TestInterrupt(t *testing.T) {
	dir := t.TempDir()
	example := filepath.Join("..", "..", "examples", "churn", "v1")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	c := &console.Console{Out: &out, Err: &errs, Getenv: func(string) string { return "" }}
	code := command.Execute(ctx, c, []string{
		"model", "score", "--model", example, "--input", filepath.Join(example, "golden.parquet"),
		"--output", filepath.Join(dir, "o.parquet"), "--ignore-extra",
	})
	if code != 1 || !strings.Contains(errs.String(), "interrupted") {
		t.Errorf("exit code %d, errors %q; want 1 and a word about the interrupt", code, &errs)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}
