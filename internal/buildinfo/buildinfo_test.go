package buildinfo

import (
	"runtime/debug"
	"strings"
	"testing"

	"github.com/treeline-ml/treeline/engine"
)

func TestString(t *testing.T) {
	base := Info{Version: "devel", Go: "go1.26.8", Engine: "treeline-engine/1 portable"}
	for want, b := range map[string]*debug.BuildInfo{
		"devel (no revision), treeline-engine/1 portable, go1.26.8": {Main: debug.Module{Version: "(devel)"}},
		"v0.1.0 (0123456789ab, modified), treeline-engine/1 portable, go1.26.8": {
			Main: debug.Module{Version: "v0.1.0"},
			Settings: []debug.BuildSetting{
				{Key: "vcs.revision", Value: "0123456789abcdef0123456789abcdef01234567"},
				{Key: "vcs.modified", Value: "true"},
				{Key: "vcs.time", Value: "2026-11-02T03:04:05Z"},
			},
		},
	} {
		if got := base.with(b).String(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestReadNamesTheEngine(t *testing.T) {
	if got := Read(); got.Engine != engine.Build() || !strings.HasPrefix(got.Go, "go") {
		t.Errorf("%+v", got)
	}
}
