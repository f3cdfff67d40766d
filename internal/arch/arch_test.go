// Package arch holds the import rules of docs/ARCHITECTURE.md as a test over the real dependency graph.
package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"sort"
	"strings"
	"testing"
)

const module = "github.com/treeline-ml/treeline/"

// ban forbids packages below From to depend, directly or not, on packages below any of Never.
type ban struct {
	From   string
	Except []string // packages below From that the rule does not hold for
	Never  []string // module-relative, or a full import path
	But    []string // of Never: these very packages are allowed, those below them are not
	Reason string
}

const (
	grpcPackage   = "google.golang.org/grpc"
	arrowPackage  = "github.com/apache/arrow/go/v17"
	leavesPackage = "github.com/dmitryikh/leaves"
	duckdbPackage = "github.com/duckdb/duckdb-go"
	sqlitePackage = "modernc.org/sqlite"
)

var everythingOfOurs = []string{
	"forest", "loader", "engine", "frame", "scoring", "warehouse", "registry", "lifecycle", "monitor", "store",
	"server", "client", "config", "gen", "internal/app", "cmd", "bench",
}

func without(list []string, drop ...string) []string {
	var out []string
	for _, s := range list {
		keep := true
		for _, d := range drop {
			keep = keep && s != d
		}
		if keep {
			out = append(out, s)
		}
	}
	return out
}

var bans = []ban{
	{
		From: "forest", Never: append(without(everythingOfOurs, "forest"), arrowPackage),
		Reason: "everyone shares forest: it is a leaf package of plain data",
	},
	{
		From: "internal/libm", Never: everythingOfOurs,
		Reason: "loaders and the engine share these functions",
	},
	{
		From: "internal/arrowguard", Never: everythingOfOurs,
		Reason: "hostile Arrow bytes are checked by code that can be tested alone",
	},
	{
		From: "loader", Never: append(without(everythingOfOurs, "loader", "forest"), arrowPackage),
		Reason: "hostile model bytes stay in the loaders, testable alone",
	},
	{
		From: "engine", Never: append(without(everythingOfOurs, "engine", "forest"), arrowPackage, grpcPackage, "log", "log/slog"),
		Reason: "the hot path takes slices and logs nothing",
	},
	{
		From: "frame", Never: without(everythingOfOurs, "frame", "engine", "forest"),
		Reason: "binding knows columns and blocks, not transports",
	},
	{
		From: "warehouse", Never: []string{"engine", "forest", "lifecycle", "scoring", "server", "gen", "registry", "store"},
		Reason: "a warehouse moves rows and does not know what they mean",
	},
	{
		From: "registry", Never: []string{"engine", "lifecycle", "scoring", "server", "store", "gen", arrowPackage},
		Reason: "a registry keeps bytes",
	},
	{
		From: "internal/stat", Never: append(slices.Clone(everythingOfOurs), arrowPackage),
		Reason: "figures are functions of numbers",
	},
	{
		From: "monitor", Never: []string{"lifecycle", "gen", "server", "scoring", "config", "registry", duckdbPackage, sqlitePackage},
		Reason: "statistics of rows decide nothing",
	},
	{
		From: "store", Never: append(without(everythingOfOurs, "store"), arrowPackage),
		Reason: "state is rows of our own types",
	},
	{
		From: "scoring", Never: []string{"gen", "lifecycle", "server", "store", "config", duckdbPackage, sqlitePackage},
		Reason: "scoring meets the lifecycle only in internal/app, and no transport",
	},
	{
		From: "lifecycle", Never: []string{"gen", "server", "scoring", "config", "registry/mlflow", "registry/local", duckdbPackage, sqlitePackage},
		Reason: "the state machine knows seams, not drivers or transports",
	},
	{
		From: "server", Never: []string{"internal/app", "cmd", duckdbPackage, sqlitePackage},
		Reason: "handlers convert and call; formats and drivers are wired in internal/app",
	},
	{
		From: "config", Never: without(everythingOfOurs, "config"),
		Reason: "configuration is data",
	},
	{
		From: "client", Never: []string{"server", "scoring", "lifecycle", "store", "internal/app", duckdbPackage, sqlitePackage},
		Reason: "a client knows the protocol only",
	},
	{
		From: "cmd/ctl", Never: []string{"server", "scoring", "lifecycle", "store", "internal/app", duckdbPackage, sqlitePackage},
		But:    []string{"lifecycle/schedule", "store"},
		Reason: "the command line is a client; offline verbs need only loader, engine, frame and the parser of Quartz expressions",
	},
}

// directBans forbid direct imports only: the package may still be reached through the one that is allowed to use it.
var directBans = []ban{
	{From: "server", Never: []string{"loader/lightgbm", "loader/xgboost", "loader/legacy", "loader/sklearn", "loader/mlmodel"}, Reason: "the server knows the loader's errors, not its formats"},
	{From: "", Except: []string{"cmd/scorer", "bench", "internal/app"}, Never: []string{"internal/app"}, Reason: "only the daemon, the benchmark and whole-server tests wire everything"},
	// Not transitive: pqarrow itself imports Arrow Flight, and so gRPC.
	{From: "", Except: []string{"server", "client", "cmd", "internal/app", "internal/telemetry", "gen", "bench"}, Never: []string{grpcPackage}, Reason: "transport stays in server and client"},
	{From: "", Except: []string{"bench/score"}, Never: []string{leavesPackage}, Reason: "leaves is an oracle in tests: its trees are private and it is wrong at equality (docs/design/0003-legacy-xgboost-binary.md)"},
	{From: "", Except: []string{"warehouse/duckdb"}, Never: []string{duckdbPackage}, Reason: "one package owns the DuckDB instance"},
	{From: "", Except: []string{"store/sqlite"}, Never: []string{sqlitePackage}, Reason: "one package owns the SQLite file"},
}

type pkg struct {
	ImportPath string   `json:"ImportPath"`
	Imports    []string `json:"Imports"`
	Deps       []string `json:"Deps"`
}

func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Imports,Deps", module+"...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var pkgs []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(p.ImportPath, module) {
			pkgs = append(pkgs, p)
		}
	}
	if len(pkgs) < 10 {
		t.Fatalf("go list found %d packages of this module, want the whole tree", len(pkgs))
	}
	return pkgs
}

func below(path, prefix string) bool {
	full := prefix
	if !strings.Contains(strings.SplitN(prefix, "/", 2)[0], ".") {
		full = strings.TrimSuffix(module+prefix, "/")
		// Standard-library bans name packages that are not in this module.
		if path == prefix {
			return true
		}
	}
	return path == full || strings.HasPrefix(path, full+"/") || strings.HasPrefix(path, full+".")
}

func applies(b ban, path string) bool {
	if b.From != "" && !below(path, b.From) {
		return false
	}
	for _, e := range b.Except {
		if below(path, e) {
			return false
		}
	}
	return true
}

func TestImportRules(t *testing.T) {
	pkgs := list(t)
	var found []string
	check := func(rules []ban, edges func(pkg) []string, verb string) {
		for _, p := range pkgs {
			for _, b := range rules {
				if !applies(b, p.ImportPath) {
					continue
				}
				for _, d := range edges(p) {
					for _, never := range b.Never {
						if below(d, never) && (b.From == "" || !below(d, b.From)) && !slices.Contains(b.But, strings.TrimPrefix(d, module)) {
							found = append(found, strings.TrimPrefix(p.ImportPath, module)+" "+verb+" "+strings.TrimPrefix(d, module)+": "+b.Reason)
						}
					}
				}
			}
		}
	}
	check(bans, func(p pkg) []string { return p.Deps }, "depends on")
	check(directBans, func(p pkg) []string { return p.Imports }, "imports")
	sort.Strings(found)
	for _, f := range found {
		t.Error(f)
	}
}

// The rules themselves must be able to fail.
func TestRulesBite(t *testing.T) {
	for _, c := range []struct {
		path, prefix string
		want         bool
	}{
		{module + "engine/internal/kernel", "engine", true},
		{module + "enginetest", "engine", false},
		{"github.com/duckdb/duckdb-go/v2", duckdbPackage, true},
		{"log", "log", true},
		{module + "loader", "loader/legacy", false},
	} {
		if got := below(c.path, c.prefix); got != c.want {
			t.Errorf("below(%q, %q) = %v, want %v", c.path, c.prefix, got, c.want)
		}
	}
	for _, b := range append(append([]ban{}, bans...), directBans...) {
		if b.Reason == "" || len(b.Never) == 0 {
			t.Errorf("rule for %q has no reason or bans nothing", b.From)
		}
	}
}
