// Package buildinfo says which build is running: the release, the git revision that the Go toolchain stamped into the
// binary, and the scoring engine.
package buildinfo

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/treeline-ml/treeline/engine"
)

// Info describes the running binary.
type Info struct {
	Version  string // module version: a release tag, a pseudo-version, or "devel"
	Revision string // git commit; empty when the build had none
	Modified bool   // the working tree had uncommitted changes
	Time     string // RFC 3339 time of the commit
	Go       string
	Engine   string // what lineage records
}

// Read returns the information of this binary.
func Read() Info {
	info := Info{Version: "devel", Go: runtime.Version(), Engine: engine.Build()}
	b, ok := debug.ReadBuildInfo()
	if !ok {
		return info
	}
	return info.with(b)
}

func (i Info) with(b *debug.BuildInfo) Info {
	if v := b.Main.Version; v != "" && v != "(devel)" {
		i.Version = v
	}
	for _, s := range b.Settings {
		switch s.Key {
		case "vcs.revision":
			i.Revision = s.Value
		case "vcs.modified":
			i.Modified = s.Value == "true"
		case "vcs.time":
			i.Time = s.Value
		}
	}
	return i
}

// String is one line: "v0.1.0 (3f2a9c1d7e55, modified), treeline-engine/1 portable, go1.26.8".
func (i Info) String() string {
	rev := i.Revision
	if len(rev) > 12 {
		rev = rev[:12]
	}
	if rev == "" {
		rev = "no revision"
	}
	if i.Modified {
		rev += ", modified"
	}
	return fmt.Sprintf("%s (%s), %s, %s", i.Version, rev, i.Engine, i.Go)
}
