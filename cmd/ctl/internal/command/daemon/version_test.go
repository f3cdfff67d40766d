package daemon_test

import (
	"testing"

	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/daemon"
)

func TestVersionIsANumberWithOrWithoutV(t *testing.T) {
	for in, want := range map[string]daemon.Version{
		"2": 2, "v2": 2, "v10": 10, "0": 0, "-1": 0, "v": 0, "vv2": 0, "latest": 0, "": 0, "9223372036854775808": 0,
	} {
		var got daemon.Version
		if err := got.Set(in); got != want || (err == nil) != (want > 0) {
			t.Errorf("Set(%q): %d, %v, want %d", in, got, err, want)
		}
	}
}
