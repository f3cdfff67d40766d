package server

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/treeline-ml/treeline/client"
	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
	"github.com/treeline-ml/treeline/lifecycle/audit"
	"github.com/treeline-ml/treeline/lifecycle/gate"
	"github.com/treeline-ml/treeline/lifecycle/promotion"
)

// probe is a gate and audit service that tells what reached it.
type probe struct {
	refusals

	validate func(ctx context.Context, r gate.Request) (gate.Report, error)
}

func (p probe) Validate(ctx context.Context, r gate.Request) (gate.Report, error) {
	return p.validate(ctx, r)
}

func validateRequest() *lifecyclev1.ValidateRequest {
	return &lifecyclev1.ValidateRequest{ModelName: "churn"}
}

func TestRequestID(t *testing.T) {
	var seen string
	f := serveTest(t, Deps{Gates: probe{validate: func(_ context.Context, r gate.Request) (gate.Report, error) {
		seen = r.RequestID
		return gate.Report{}, nil
	}}}, Options{})
	for _, c := range []struct {
		sent string
		kept bool
	}{
		{"job-17.step_3", true},
		{"", false},
		{"has space", false},
		{strings.Repeat("x", 65), false},
		{"semi;colon", false},
	} {
		ctx := t.Context()
		if c.sent != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "x-request-id", c.sent)
		}
		var header, trailer metadata.MD
		_, err := f.client.Validation.Validate(ctx, validateRequest(), grpc.Header(&header), grpc.Trailer(&trailer))
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Join(header.Get("x-request-id"), ",")
		if got == "" || got != seen || strings.Join(trailer.Get("x-request-id"), ",") != got {
			t.Errorf("sent %q: header %q, trailer %q, service saw %q", c.sent, got, trailer.Get("x-request-id"), seen)
		}
		if (got == c.sent) != c.kept {
			t.Errorf("sent %q: got %q, kept should be %v", c.sent, got, c.kept)
		}
	}
}

func TestActor(t *testing.T) {
	var seen, method string
	f := serveTest(t, Deps{Gates: probe{validate: func(_ context.Context, r gate.Request) (gate.Report, error) {
		seen, method = r.Actor, r.AuthMethod
		return gate.Report{}, nil
	}}}, Options{})
	unnamed := f.dial(t, client.Options{})
	for _, c := range []struct {
		name, field, want string
		via               *client.Client
	}{
		{"nobody", "", "anonymous", unnamed},
		{"metadata", "", "tester", f.client},
		{"field before metadata", "field", "field", f.client},
	} {
		if _, err := c.via.Validation.Validate(t.Context(), &lifecyclev1.ValidateRequest{ModelName: "churn", Actor: c.field}); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if seen != c.want || method != "none" {
			t.Errorf("%s: actor %q by %q, want %q by none", c.name, seen, method, c.want)
		}
	}
	long := f.dial(t, client.Options{Actor: strings.Repeat("a", 129)})
	if _, err := long.Validation.Validate(t.Context(), validateRequest()); status.Code(err) != codes.InvalidArgument {
		t.Errorf("an actor of 129 bytes: %v", err)
	}
}

func TestPanicIsInternalAndServerGoesOn(t *testing.T) {
	f := serveTest(t, Deps{Gates: probe{validate: func(context.Context, gate.Request) (gate.Report, error) {
		panic("row 7 has value 42.5")
	}}}, Options{})
	for range 3 {
		_, err := f.client.Validation.Validate(t.Context(), validateRequest())
		d := client.Describe(err)
		if d.Code != codes.Internal || d.RequestID == "" || strings.Contains(d.Message, "42.5") {
			t.Errorf("got %+v", d)
		}
		if !strings.Contains(f.log.String(), d.RequestID) || !strings.Contains(f.log.String(), "42.5") {
			t.Errorf("the log lacks the cause of %s", d.RequestID)
		}
	}
}

func TestAccessLogHasOneLineACall(t *testing.T) {
	f := serveTest(t, Deps{Gates: probe{validate: func(context.Context, gate.Request) (gate.Report, error) {
		return gate.Report{}, gate.ErrNotPassed
	}}}, Options{})
	_, err := f.client.Validation.Validate(t.Context(), validateRequest())
	if status.Code(err) != codes.FailedPrecondition {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(f.log.String()), "\n")
	if len(lines) != 1 {
		t.Fatalf("%d lines:\n%s", len(lines), f.log.String())
	}
	var line map[string]any
	if err := json.Unmarshal([]byte(lines[0]), &line); err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]string{
		"level": "INFO", "code": "FailedPrecondition", "actor": "tester", "reason": "ERROR_REASON_GATE_FAILED",
		"method": "treeline.lifecycle.v1.ValidationService/Validate", "err": "gate: not passed",
		"request_id": client.Describe(err).RequestID,
	} {
		if line[k] != want {
			t.Errorf("%s is %v, want %s", k, line[k], want)
		}
	}
}

func TestUnaryCallsGetADeadlineAndKeepTheirs(t *testing.T) {
	var left time.Duration
	f := serveTest(t, Deps{Gates: probe{validate: func(ctx context.Context, _ gate.Request) (gate.Report, error) {
		d, ok := ctx.Deadline()
		if !ok {
			return gate.Report{}, errors.New("no deadline")
		}
		left = time.Until(d)
		return gate.Report{}, nil
	}}}, Options{UnaryTimeout: time.Hour})
	if _, err := f.client.Validation.Validate(t.Context(), validateRequest()); err != nil {
		t.Fatal(err)
	}
	if left < 50*time.Minute || left > time.Hour {
		t.Errorf("default deadline in %v, want about an hour", left)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := f.client.Validation.Validate(ctx, validateRequest()); err != nil {
		t.Fatal(err)
	}
	if left > time.Minute {
		t.Errorf("the caller's deadline became %v", left)
	}
}

func TestMessageLimits(t *testing.T) {
	f := serveTest(t, Deps{}, Options{UnaryBytes: 1 << 10, StreamBytes: 64 << 10})
	ref := &scoringv1.ModelRef{Name: "churn"}
	_, err := f.client.Scoring.Score(t.Context(), &scoringv1.ScoreRequest{Model: ref, ArrowIpc: make([]byte, 2<<10)})
	d := client.Describe(err)
	if d.Code != codes.ResourceExhausted || d.Reason != lifecyclev1.ErrorReason_ERROR_REASON_LIMIT_EXCEEDED {
		t.Errorf("over the unary limit: %+v", d)
	}
	if !strings.Contains(d.Message, "1024") {
		t.Errorf("the message does not name the limit: %q", d.Message)
	}
	// Over the transport's limit: refused before it is read.
	_, err = f.client.Scoring.Score(t.Context(), &scoringv1.ScoreRequest{Model: ref, ArrowIpc: make([]byte, 1<<20)})
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("over the transport's limit: %v", err)
	}
	stream, err := f.client.Scoring.ScoreStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Send may already see the refusal; Recv has it in any case.
	_ = stream.Send(&scoringv1.ScoreStreamRequest{Message: &scoringv1.ScoreStreamRequest_ArrowMessage{ArrowMessage: make([]byte, 1<<20)}})
	_, err = stream.Recv()
	// The transport answers by itself here, without details; the request id is in the header.
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("stream message over the limit: %v", err)
	}
	header, err := stream.Header()
	if err != nil || len(header.Get("x-request-id")) != 1 {
		t.Errorf("header %v, %v", header, err)
	}
}

func TestHealthFollowsReadiness(t *testing.T) {
	f := serveTest(t, Deps{}, Options{})
	want := func(s healthpb.HealthCheckResponse_ServingStatus) {
		t.Helper()
		for service, h := range map[string]healthpb.HealthClient{
			"": f.client.DataHealth, "treeline.scoring.v1.ScoringService": f.client.DataHealth,
			"treeline.scoring.v1.BatchService": f.client.DataHealth, "treeline.scoring.v1.CatalogService": f.client.DataHealth,
			"treeline.lifecycle.v1.RegistryService": f.client.AdminHealth, "treeline.lifecycle.v1.AuditService": f.client.AdminHealth,
			"treeline.lifecycle.v1.ValidationService": f.client.AdminHealth, "treeline.lifecycle.v1.PromotionService": f.client.AdminHealth,
		} {
			r, err := h.Check(t.Context(), &healthpb.HealthCheckRequest{Service: service})
			if err != nil {
				t.Fatalf("%q: %v", service, err)
			}
			if r.GetStatus() != s {
				t.Errorf("%q is %v, want %v", service, r.GetStatus(), s)
			}
		}
	}
	want(healthpb.HealthCheckResponse_SERVING)
	f.server.SetReady(false)
	want(healthpb.HealthCheckResponse_NOT_SERVING)
	f.server.SetReady(true)
	want(healthpb.HealthCheckResponse_SERVING)
}

// TestHealthWatcherDoesNotHoldUpTheStop stops, in the fixture's cleanup, with a watcher open.
func TestHealthWatcherDoesNotHoldUpTheStop(t *testing.T) {
	f := serveTest(t, Deps{}, Options{})
	w, err := f.client.DataHealth.Watch(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := w.Recv(); err != nil || r.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Fatalf("%v, %v", r, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := f.server.GracefulStop(ctx); err != nil {
		t.Errorf("stopping with a health watcher: %v", err)
	}
}

func TestStopCutsOffWhatDoesNotEnd(t *testing.T) {
	entered := make(chan struct{})
	f := serveTest(t, Deps{Gates: probe{validate: func(ctx context.Context, _ gate.Request) (gate.Report, error) {
		close(entered)
		<-ctx.Done()
		return gate.Report{}, ctx.Err()
	}}}, Options{})
	result := make(chan error, 1)
	go func() {
		_, err := f.client.Validation.Validate(t.Context(), validateRequest())
		result <- err
	}()
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.server.GracefulStop(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("stop with a call in flight: %v, want context.Canceled", err)
	}
	if err := <-result; status.Code(err) != codes.Unavailable && status.Code(err) != codes.Canceled {
		t.Errorf("the call that was cut off: %v", err)
	}
}

func TestReflectionOnAdminOnly(t *testing.T) {
	f := serveTest(t, Deps{}, Options{})
	list := func(cc grpc.ClientConnInterface) ([]string, error) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s, err := reflectionpb.NewServerReflectionClient(cc).ServerReflectionInfo(ctx)
		if err != nil {
			return nil, err
		}
		// The answer to Recv says it all.
		_ = s.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}})
		r, err := s.Recv()
		if err != nil {
			return nil, err
		}
		var names []string
		for _, n := range r.GetListServicesResponse().GetService() {
			names = append(names, n.GetName())
		}
		return names, errors.Join(s.CloseSend())
	}
	data, admin := f.client.Conns()
	names, err := list(admin)
	if err != nil || !slices.Contains(names, "treeline.lifecycle.v1.PromotionService") {
		t.Errorf("admin: %v, %v", names, err)
	}
	if _, err := list(data); status.Code(err) != codes.Unimplemented {
		t.Errorf("data: %v, want Unimplemented", err)
	}
}

func TestListenerMustBeLoopback(t *testing.T) {
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	d := Deps{}
	fillRefusals(&d)
	s, err := New(d, Options{UploadDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.ServeData(l); !errors.Is(err, ErrListener) {
		t.Errorf("serving on 0.0.0.0: %v, want ErrListener", err)
	}
	if err := s.GracefulStop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestNewNamesMissingServices(t *testing.T) {
	_, err := New(Deps{Audit: auditRefusals{}}, Options{})
	if err == nil || !strings.Contains(err.Error(), "Deps.Promotions") || strings.Contains(err.Error(), "Deps.Audit") {
		t.Errorf("got %v", err)
	}
}

// TestErrorsPassEveryCall injects an error into each service and looks at what its calls return.
func TestErrorsPassEveryCall(t *testing.T) {
	want := promotion.ErrGeneration
	f := serveTest(t, Deps{
		Online: refusals{want}, Batches: refusals{want}, Resolver: refusals{want}, Models: refusals{want},
		Registry: refusals{want}, Versions: versionRefusals{want}, Gates: refusals{want}, Promotions: refusals{want},
		Audit: auditRefusals{want}, Trainings: trainingRefusals{want}, Triggers: triggerRefusals{want},
		Schedules: scheduleRefusals{want}, Runs: runRefusals{want}, Deliveries: deliveryRefusals{want},
		Reconciler: reconcilerRefusals{want}, Monitor: monitorRefusals{want},
	}, Options{})
	for name, call := range everyCall(t, f.client) {
		if slices.Contains([]string{"Score", "ScoreStream", "PreviewSchedule"}, name) {
			continue // refused before a service is asked: their bytes are no Arrow and no expression here
		}
		err := call(t.Context())
		d := client.Describe(err)
		if d.Code != codes.Aborted || d.Reason != lifecyclev1.ErrorReason_ERROR_REASON_GENERATION_MISMATCH || d.RequestID == "" {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

var _ Audit = (*audit.Service)(nil)
