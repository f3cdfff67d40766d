package command

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/treeline-ml/treeline/client"
	"github.com/treeline-ml/treeline/config"
	"github.com/treeline-ml/treeline/lifecycle/schedule"
	"github.com/treeline-ml/treeline/loader"
)

func TestErrorsDoNotNamePackages(t *testing.T) {
	absent := filepath.Join(t.TempDir(), "absent.txt")
	_, loading := loader.Open(absent)
	if _, ok := errors.AsType[*loader.Error](loading); !ok {
		t.Fatalf("%v is no error of the loader: the test is worthless", loading)
	}
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"the end":           {fmt.Errorf("a.yml:3:1: key: %w", config.ErrInvalid), "a.yml:3:1: key: invalid"},
		"two of them":       {errors.Join(fmt.Errorf("a: %w", config.ErrInvalid), fmt.Errorf("b: %w", config.ErrInvalid)), "a: invalid\nb: invalid"},
		"the beginning":     {fmt.Errorf("%w: 10.0.0.1", client.ErrAddress), "address not allowed: 10.0.0.1"},
		"a loader's":        {fmt.Errorf("reading: %w", loading), "reading: " + loading.Error()[len("loader: "):]},
		"a schedule's":      {fmt.Errorf("%w: five fields", schedule.ErrInvalid), "not valid: five fields"},
		"a key of the file": {errors.New("config: want keys"), "config: want keys"},
		"a file's name":     {fmt.Errorf("my config: invalid: %w", config.ErrInvalid), "my config: invalid: invalid"},
	} {
		if got := spoken(c.err); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
