package exit_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/exit"
)

func TestCodeAndHint(t *testing.T) {
	gate := exit.Gate("look at the report", "parity: %w", io.EOF)
	for name, c := range map[string]struct {
		err  error
		code int
		hint string
	}{
		"nil":                          {nil, 0, ""},
		"plain":                        {io.EOF, 1, ""},
		"usage":                        {exit.Usage("say --x", "no x"), 2, "say --x"},
		"gate":                         {gate, 3, "look at the report"},
		"wrapped":                      {fmt.Errorf("validating: %w", gate), 3, "look at the report"},
		"a hint keeps the code":        {exit.Hinted(gate, "try again"), 3, "try again"},
		"an empty hint passes through": {exit.Hinted(gate, ""), 3, "look at the report"},
		"hint of a plain error":        {exit.Hinted(io.EOF, "try again"), 1, "try again"},
		"hint of nil":                  {exit.Hinted(nil, "try again"), 0, ""},
	} {
		if got := exit.Code(c.err); got != c.code {
			t.Errorf("%s: code %d, want %d", name, got, c.code)
		}
		if got := exit.Hint(c.err); got != c.hint {
			t.Errorf("%s: hint %q, want %q", name, got, c.hint)
		}
	}
	if !errors.Is(gate, io.EOF) {
		t.Error("the cause is lost")
	}
}
