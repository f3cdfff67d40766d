package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/treeline-ml/treeline/cmd/ctl/internal/command"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/console"
)

// TestHelp compares the help text of every command with testdata/help; go test ./cmd/ctl -run TestHelp -update rewrites
// the files.
func TestHelp(t *testing.T) {
	want := map[string]bool{}
	walk(command.New(&console.Console{Getenv: func(string) string { return "" }}), func(cmd *cobra.Command) {
		path := strings.Fields(cmd.CommandPath())
		t.Run(strings.Join(path, "_"), func(t *testing.T) {
			name := strings.Join(path, "_") + ".txt"
			want[name] = true
			checkHelp(t, filepath.Join("testdata", "help", name), path[1:])
		})
	})
	files, err := os.ReadDir(filepath.Join("testdata", "help"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !want[f.Name()] {
			t.Errorf("testdata/help/%s belongs to no command: remove it", f.Name())
		}
	}
}

func walk(cmd *cobra.Command, visit func(*cobra.Command)) {
	visit(cmd)
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() && sub.Name() != "help" {
			walk(sub, visit)
		}
	}
}

func checkHelp(t *testing.T, golden string, path []string) {
	var out, errs bytes.Buffer
	c := &console.Console{Out: &out, Err: &errs, Getenv: func(string) string { return "" }}
	if code := command.Execute(t.Context(), c, append(path, "--help")); code != 0 {
		t.Fatalf("exit code %d, want 0", code)
	}
	if errs.Len() > 0 {
		t.Errorf("help wrote to standard error: %s", &errs)
	}
	if !strings.Contains(out.String(), "\nExamples:\n") {
		t.Error("the help text has no example")
	}
	for line := range strings.Lines(out.String()) {
		if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 140 {
			t.Errorf("a line has %d columns, want at most 140: %s", n, line)
		}
	}
	if *update {
		if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), out.String()); diff != "" {
		t.Errorf("help (-want +got):\n%s", diff)
	}
}
