package client

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestDialAcceptsLoopbackOnly(t *testing.T) {
	for _, c := range []struct {
		addr string
		ok   bool
	}{
		{"", true},
		{"127.0.0.1:7070", true},
		{"127.8.9.10:1", true},
		{"[::1]:7070", true},
		{"localhost:7070", true},
		{"0.0.0.0:7070", false},
		{"10.0.0.1:7070", false},
		{"example.com:7070", false},
		{"localhost.example.com:7070", false},
		{"127.0.0.1", false},
		{"127.0.0.1:http", false},
		{"127.0.0.1:0", false},
		{"127.0.0.1:70700", false},
		{"[::]:7070", false},
		{"dns:///127.0.0.1:7070", false},
		{"unix:///run/x", false},
	} {
		for _, o := range []Options{{Addr: c.addr}, {AdminAddr: c.addr}} {
			cl, err := Dial(t.Context(), o)
			if (err == nil) != c.ok {
				t.Errorf("%+v: %v, accepted should be %v", o, err, c.ok)
			}
			if err != nil && !errors.Is(err, ErrAddress) {
				t.Errorf("%+v: %v is not ErrAddress", o, err)
			}
			if err != nil && Describe(err).Hint == "" {
				t.Errorf("%+v: no hint for %v", o, err)
			}
			if cl != nil {
				if err := cl.Close(); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

// closedPort returns an address where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestDaemonThatIsDown(t *testing.T) {
	addr := closedPort(t)
	c, err := Dial(t.Context(), Options{Addr: addr, AdminAddr: addr})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	model := filepath.Join(t.TempDir(), "m.txt")
	if err := os.WriteFile(model, []byte("tree"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]func() error{
		"unary": func() error {
			_, err := c.Catalog.ListModels(t.Context(), &scoringv1.ListModelsRequest{})
			return err
		},
		"events": func() error {
			for _, err := range c.RunBatch(t.Context(), &scoringv1.RunBatchRequest{}) {
				return err
			}
			return nil
		},
		"register": func() error {
			_, err := c.RegisterPath(t.Context(), "m", model, "", RegisterMeta{}, nil)
			return err
		},
		"upload": func() error {
			for _, err := range c.UploadBatch(t.Context(), &scoringv1.UploadBatchStart{}, model, nil) {
				return err
			}
			return nil
		},
	} {
		d := Describe(call())
		if d.Code != codes.Unavailable || !strings.Contains(d.Hint, "is the daemon running? start it with: scorer --config") {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

func TestDescribeTakesAnErrorApart(t *testing.T) {
	s, err := status.New(codes.ResourceExhausted, "too much is being scored").WithDetails(
		&errdetails.ErrorInfo{Domain: "treeline", Reason: "ERROR_REASON_OVERLOADED"},
		&errdetails.RequestInfo{RequestId: "req-9"},
		&errdetails.RetryInfo{RetryDelay: durationpb.New(3 * time.Second)},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
			{Field: "date", Description: "is no day"}, {Field: "model", Description: "is missing"},
		}},
	)
	if err != nil {
		t.Fatal(err)
	}
	d := Describe(errors.Join(errors.New("while scoring"), s.Err()))
	if d.Code != codes.ResourceExhausted || d.Message != "too much is being scored" || d.RequestID != "req-9" ||
		d.Reason != lifecyclev1.ErrorReason_ERROR_REASON_OVERLOADED || d.RetryIn != 3*time.Second || len(d.Fields) != 2 {
		t.Errorf("got %#v", d)
	}
	want := "too much is being scored\n  date: is no day\n  model: is missing\nhint: try again in 3s"
	if d.String() != want {
		t.Errorf("got  %q\nwant %q", d.String(), want)
	}
}

func TestDescribeOtherErrors(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		code codes.Code
		hint string
	}{
		{"nil", nil, codes.OK, ""},
		{"deadline", context.DeadlineExceeded, codes.DeadlineExceeded, "in time"},
		{"cancelled", context.Canceled, codes.Canceled, ""},
		{"local", os.ErrNotExist, codes.Unknown, ""},
		{"other service", status.Error(codes.Unimplemented, "unknown service"), codes.Unimplemented, "--admin-addr"},
		{"web server", status.Error(codes.Unavailable, "connection error: error reading server preface: EOF"), codes.Unavailable, "something else"},
		{"died", status.Error(codes.Unavailable, "error reading from server: EOF"), codes.Unavailable, "start it again"},
		{"died early", status.Error(codes.Unavailable, "connection error: read: connection reset by peer"), codes.Unavailable, "start it again"},
	} {
		d := Describe(c.err)
		if d.Code != c.code || !strings.Contains(d.Hint, c.hint) || (c.hint == "") != (d.Hint == "") {
			t.Errorf("%s: %#v", c.name, d)
		}
	}
}

func TestDescribeSpeaksToPeople(t *testing.T) {
	for in, want := range map[string]string{
		"a: store: model not found; register it, or name one that ListModels shows": "a: store: model not found",
		"a version 9: store: version not found; name one that ListVersions shows":   "a version 9: store: version not found",
		"b: scoring: batch not found; name one that ListBatches shows":              "b: scoring: batch not found",
		"b: something else; try again":                                              "b: something else; try again",
	} {
		if got := Describe(status.Error(codes.NotFound, in)).Message; got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if got := Describe(status.Error(codes.Unavailable, "error reading from server: EOF")).Message; got != wentAway {
		t.Errorf("a daemon that died: %q", got)
	}
}

func TestEveryReasonWithAWayOutHasAHint(t *testing.T) {
	for _, r := range []lifecyclev1.ErrorReason{
		lifecyclev1.ErrorReason_ERROR_REASON_MODEL_NOT_FOUND, lifecyclev1.ErrorReason_ERROR_REASON_NO_CHAMPION,
		lifecyclev1.ErrorReason_ERROR_REASON_WRONG_STAGE, lifecyclev1.ErrorReason_ERROR_REASON_STORAGE_FULL,
		lifecyclev1.ErrorReason_ERROR_REASON_TABLE_EMPTY, lifecyclev1.ErrorReason_ERROR_REASON_BATCH_CANCELLED,
		lifecyclev1.ErrorReason_ERROR_REASON_BATCH_INTERRUPTED,
		lifecyclev1.ErrorReason_ERROR_REASON_GENERATION_MISMATCH, lifecyclev1.ErrorReason_ERROR_REASON_DRAINING,
		lifecyclev1.ErrorReason_ERROR_REASON_REGISTRY_UNAVAILABLE,
	} {
		s, err := status.New(codes.FailedPrecondition, "x").WithDetails(&errdetails.ErrorInfo{Domain: "treeline", Reason: r.String()})
		if err != nil {
			t.Fatal(err)
		}
		if Describe(s.Err()).Hint == "" {
			t.Errorf("%v has no hint", r)
		}
	}
}

// A gate may be refused a waiver because its name is misspelt, because it passes, or because of what it is: the hint must fit
// all of them.
func TestHintOfAGateThatIsNotWaived(t *testing.T) {
	reason := lifecyclev1.ErrorReason_ERROR_REASON_GATE_NOT_WAIVABLE
	s, err := status.New(codes.FailedPrecondition, `the report has no gate "slice"`).WithDetails(
		&errdetails.ErrorInfo{Domain: "treeline", Reason: reason.String()})
	if err != nil {
		t.Fatal(err)
	}
	hint := Describe(s.Err()).Hint
	for _, want := range []string{"ctl validate NAME --show", "stand in the way", "artifact and parity"} {
		if !strings.Contains(hint, want) {
			t.Errorf("%q does not say %q", hint, want)
		}
	}
	if strings.HasPrefix(hint, "train") {
		t.Errorf("%q sends people to train for a spelling mistake", hint)
	}
}

func TestIsCancelled(t *testing.T) {
	batch, err := status.New(codes.Canceled, "batch was cancelled").WithDetails(
		&errdetails.ErrorInfo{Domain: "treeline", Reason: "ERROR_REASON_BATCH_CANCELLED"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		err  error
		want bool
	}{
		{context.Canceled, true},
		{status.Error(codes.Canceled, "context canceled"), true},
		{batch.Err(), false}, // someone else cancelled the batch
		{status.Error(codes.Aborted, "x"), false},
		{nil, false},
	} {
		if got := IsCancelled(c.err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
}

func TestRegisterPathChecksFilesFirst(t *testing.T) {
	c, err := Dial(t.Context(), Options{Addr: closedPort(t), AdminAddr: closedPort(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	dir := t.TempDir()
	model, other := filepath.Join(dir, "m.txt"), filepath.Join(dir, "sub", "m.txt")
	if err := os.Mkdir(filepath.Dir(other), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{model, other} {
		if err := os.WriteFile(p, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct{ name, path, golden, want string }{
		{"absent", filepath.Join(dir, "no"), "", "no such file"},
		{"directory", dir, "", "not a regular file"},
		{"absent golden rows", model, filepath.Join(dir, "no"), "no such file"},
		{"same base names", model, other, "rename one"},
	} {
		_, err := c.RegisterPath(t.Context(), "m", tc.path, tc.golden, RegisterMeta{}, nil)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
}
