package server

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/treeline-ml/treeline/frame"
	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
	"github.com/treeline-ml/treeline/lifecycle/version"
	"github.com/treeline-ml/treeline/loader"
	"github.com/treeline-ml/treeline/scoring"
	"github.com/treeline-ml/treeline/store"
	"github.com/treeline-ml/treeline/warehouse"
)

var update = flag.Bool("update", false, "rewrite docs/errors.md")

// sentinelRoots are the packages below which every exported Err variable needs a rule.
var sentinelRoots = []string{
	"warehouse", "registry", "store", "lifecycle", "monitor", "scoring", "frame", "loader", "forest", "engine", "internal/arrowguard",
}

// sentinels lists the exported package-level Err variables of the product as "package.ErrName".
func sentinels(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, root := range sentinelRoots {
		err := filepath.WalkDir(filepath.Join("..", root), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() {
				// Packages below another one's internal directory reach callers through their parent's names.
				if d.Name() == "internal" || d.Name() == "testdata" {
					return filepath.SkipDir
				}
				return nil
			}
			if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return nil
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			for _, decl := range file.Decls {
				gen, ok := decl.(*ast.GenDecl)
				if !ok || gen.Tok != token.VAR {
					continue
				}
				for _, spec := range gen.Specs {
					for _, name := range spec.(*ast.ValueSpec).Names {
						if strings.HasPrefix(name.Name, "Err") && name.IsExported() {
							found[file.Name.Name+"."+name.Name] = path
						}
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

func TestEverySentinelHasARule(t *testing.T) {
	rules := map[string]bool{}
	for _, r := range table() {
		if rules[r.name] {
			t.Errorf("%s has two rules", r.name)
		}
		rules[r.name] = true
	}
	found := sentinels(t)
	if len(found) < 40 {
		t.Fatalf("found %d sentinels, want at least 40: the scan is broken", len(found))
	}
	for name, path := range found {
		if !rules[name] {
			t.Errorf("%s (%s) has no rule in server/table.go: a caller would see Internal", name, path)
		}
	}
}

// TestRuleNamesAreTheirErrors reads table.go, because a name beside another error would make the test above worthless.
func TestRuleNamesAreTheirErrors(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "table.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	ast.Inspect(file, func(n ast.Node) bool {
		lit, ok := n.(*ast.CompositeLit)
		if !ok || len(lit.Elts) != 6 {
			return true
		}
		name, ok := lit.Elts[0].(*ast.BasicLit)
		if !ok {
			return true
		}
		var value string
		switch e := lit.Elts[1].(type) {
		case *ast.SelectorExpr:
			value = e.X.(*ast.Ident).Name + "." + e.Sel.Name
		case *ast.Ident:
			value = "server." + e.Name
		}
		if strings.Trim(name.Value, `"`) != value {
			t.Errorf("rule %s is about %s", name.Value, value)
		}
		seen++
		return true
	})
	if seen != len(table()) {
		t.Errorf("read %d rules, table has %d", seen, len(table()))
	}
}

func details(t *testing.T, err error) (info *errdetails.ErrorInfo, retry *errdetails.RetryInfo, bad *errdetails.BadRequest, id string) {
	t.Helper()
	for _, d := range status.Convert(err).Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			info = d
		case *errdetails.RetryInfo:
			retry = d
		case *errdetails.BadRequest:
			bad = d
		case *errdetails.RequestInfo:
			id = d.GetRequestId()
		}
	}
	if info == nil {
		t.Fatalf("%v has no ErrorInfo", err)
	}
	if info.GetDomain() != "treeline" {
		t.Errorf("domain %q", info.GetDomain())
	}
	if _, ok := lifecyclev1.ErrorReason_value[info.GetReason()]; !ok {
		t.Errorf("reason %q is not in the enum", info.GetReason())
	}
	return info, retry, bad, id
}

func TestEveryRuleByWrappedError(t *testing.T) {
	for _, r := range table() {
		t.Run(r.name, func(t *testing.T) {
			err := statusError(t.Context(), "req-1", fmt.Errorf("scoring 12 rows of secret: %w", r.err))
			// Two sentinels may be one value under two names: the first rule speaks for both.
			want := r
			for _, earlier := range table() {
				if errors.Is(r.err, earlier.err) {
					want = earlier
					break
				}
			}
			if status.Code(err) != want.code {
				t.Errorf("code %v, want %v", status.Code(err), want.code)
			}
			info, retry, _, id := details(t, err)
			if info.GetReason() != want.reason.String() {
				t.Errorf("reason %s, want %s", info.GetReason(), want.reason)
			}
			if id != "req-1" {
				t.Errorf("request id %q", id)
			}
			if got := retry.GetRetryDelay().AsDuration(); got != want.retry {
				t.Errorf("retry after %v, want %v", got, want.retry)
			}
			message := status.Convert(err).Message()
			if want.code == codes.Internal {
				if strings.Contains(message, "secret") || !strings.Contains(message, "req-1") {
					t.Errorf("an internal error shows %q", message)
				}
				return
			}
			if !strings.Contains(message, "scoring 12 rows") || !strings.HasSuffix(message, want.next) {
				t.Errorf("message %q lacks the context or the way out %q", message, want.next)
			}
		})
	}
}

func TestMessagesDoNotNamePackages(t *testing.T) {
	for in, want := range map[string]string{
		"churn version 9: store: version not found":                 "churn version 9: version not found",
		"store: version not found":                                  "version not found",
		"a: warehouse: query: b: store: version not found; list":    "a: query: b: version not found; list",
		"restore: version not found":                                "restore: version not found",
		"a file called store: and a table called store: version":    "a file called store: and a table called store: version",
		"churn: training: column 'x' of training: store is missing": "churn: training: column 'x' of training: store is missing",
	} {
		if got := spoken(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	err := fmt.Errorf("churn version 9: %w", store.ErrVersionNotFound)
	if got := status.Convert(statusError(t.Context(), "req-1", err)).Message(); got != "churn version 9: version not found; name one that ListVersions shows" {
		t.Errorf("%q", got)
	}
}

func TestUnknownErrorIsScrubbed(t *testing.T) {
	for _, err := range []error{
		errors.New("open /var/lib/treeline/state.db: permission denied"),
		&fs.PathError{Op: "open", Path: "/var/lib/treeline/x", Err: fs.ErrPermission},
		&panicError{value: context.Canceled},
		status.Error(codes.NotFound, "a status of some driver's own"),
	} {
		got := statusError(t.Context(), "req-2", err)
		if status.Code(got) != codes.Internal {
			t.Errorf("%v: code %v, want Internal", err, status.Code(got))
		}
		want := "internal error; the daemon's log has the cause under request id req-2"
		if m := status.Convert(got).Message(); m != want {
			t.Errorf("%v: message %q, want %q", err, m, want)
		}
	}
}

func TestEndOfCallHidesDriverErrors(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := status.Code(statusError(ctx, "r", errors.New("driver: interrupted"))); got != codes.Canceled {
		t.Errorf("code %v, want Canceled", got)
	}
	ctx, cancel = context.WithDeadline(t.Context(), time.Unix(1, 0))
	defer cancel()
	if got := status.Code(statusError(ctx, "r", errors.New("driver: interrupted"))); got != codes.DeadlineExceeded {
		t.Errorf("code %v, want DeadlineExceeded", got)
	}
	// A known cause is still told.
	if got := status.Code(statusError(ctx, "r", warehouse.ErrTableNotFound)); got != codes.NotFound {
		t.Errorf("code %v, want NotFound", got)
	}
}

func TestCausesComeBeforeWrappers(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		code codes.Code
	}{
		{"model that is not supported", fmt.Errorf("%w: %w", version.ErrModel, loader.ErrNotSupported), codes.Unimplemented},
		{"cancelled batch", fmt.Errorf("%w: %w", scoring.ErrCancelled, context.Canceled), codes.Canceled},
		{"interrupted batch", fmt.Errorf("%w: %w", scoring.ErrInterrupted, context.Canceled), codes.Unavailable},
		{"schema", fmt.Errorf("binding: %w", &frame.SchemaError{}), codes.InvalidArgument},
		{"refused row", &scoring.RowError{Row: 3, Column: "x", Reason: "infinite"}, codes.InvalidArgument},
	} {
		if got := status.Code(statusError(t.Context(), "r", c.err)); got != c.code {
			t.Errorf("%s: code %v, want %v", c.name, got, c.code)
		}
	}
	got := statusError(t.Context(), "r", fmt.Errorf("%w: %w", scoring.ErrCancelled, context.Canceled))
	if info, _, _, _ := details(t, got); info.GetReason() != "ERROR_REASON_BATCH_CANCELLED" {
		t.Errorf("a cancelled batch has reason %s", info.GetReason())
	}
}

func TestLoaderErrorKeepsDirectoriesAndHintsToItself(t *testing.T) {
	err := fmt.Errorf("%w: %w", version.ErrModel, &loader.Error{
		Format: "lightgbm-text", Path: "/var/lib/treeline/registry/ab12/model.txt", Where: "tree 17, node 4",
		Hint: "open it with a text editor", Err: loader.ErrMalformed,
	})
	m := status.Convert(statusError(t.Context(), "r", err)).Message()
	if strings.Contains(m, "/var/lib") || strings.Contains(m, "text editor") {
		t.Errorf("message shows what stays here: %q", m)
	}
	if !strings.Contains(m, "model.txt") || !strings.Contains(m, "tree 17, node 4") {
		t.Errorf("message does not place the fault: %q", m)
	}
}

func TestFieldViolations(t *testing.T) {
	var c check
	c.model("model_name", "")
	c.version("version", -3)
	c.date("date", "2026-02-30")
	got := make([]string, 0, 3)
	_, _, bad, id := details(t, statusError(t.Context(), "r", c.err()))
	for _, f := range bad.GetFieldViolations() {
		got = append(got, f.GetField())
	}
	if id != "r" {
		t.Errorf("request id %q", id)
	}
	if want := "model_name version date"; strings.Join(got, " ") != want {
		t.Errorf("fields %q, want %q", got, want)
	}
}

// TestErrorsDocument compares docs/errors.md with the table.
func TestErrorsDocument(t *testing.T) {
	path := filepath.Join("..", "docs", "errors.md")
	want := errorsDocument()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("docs/errors.md is not what server/table.go says; run: go test ./server -run TestErrorsDocument -update")
	}
}

func errorsDocument() string {
	var b strings.Builder
	b.WriteString(`# Errors

Generated from server/table.go by ` + "`go test ./server -run TestErrorsDocument -update`" + `; a test fails when they differ, and when an
exported error of the product has no rule.

Every error of a call carries

- a gRPC code and a message that says what was wrong, where, and what to do,
- ` + "`google.rpc.ErrorInfo`" + ` with domain ` + "`treeline`" + ` and a reason from the enum treeline.lifecycle.v1.ErrorReason,
- ` + "`google.rpc.RequestInfo`" + ` with the request id, which is also in the header and trailer ` + "`x-request-id`" + ` and in the daemon's log,
- ` + "`google.rpc.RetryInfo`" + ` where the same call may succeed later,
- ` + "`google.rpc.BadRequest`" + ` with one entry a field where fields of the request are wrong.

Messages carry no values of rows. Internal errors carry nothing but the request id; the log has the cause.

| kind of error | code | reason | retry | what to do |
|---|---|---|---|---|
| wrong fields of a request | InvalidArgument | INVALID_ARGUMENT | | correct the fields that BadRequest lists |
| frame.SchemaError: columns missing, unexpected or of a wrong type | InvalidArgument | SCHEMA_MISMATCH | | send the columns that CatalogService.GetModel lists |
| message over the transport's limit | ResourceExhausted | LIMIT_EXCEEDED | | send smaller messages |
`)
	for _, r := range table() {
		retry := ""
		if r.retry > 0 {
			retry = r.retry.String()
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", r.name, r.code,
			strings.TrimPrefix(r.reason.String(), "ERROR_REASON_"), retry, r.next)
	}
	b.WriteString("| anything else, and panics | Internal | INTERNAL | | report it with the request id and the log |\n")
	return b.String()
}
