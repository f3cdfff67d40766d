package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"github.com/treeline-ml/treeline/internal/buildinfo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type sink struct {
	collector.UnimplementedTraceServiceServer
	got chan *collector.ExportTraceServiceRequest
}

func (s *sink) Export(_ context.Context, r *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	s.got <- r
	return &collector.ExportTraceServiceResponse{}, nil
}

// The exporter is configured by nothing but the standard variables.
func TestExportsToTheEndpointInTheEnvironment(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{got: make(chan *collector.ExportTraceServiceRequest, 1)}
	g := grpc.NewServer()
	collector.RegisterTraceServiceServer(g, s)
	served := make(chan error, 1)
	go func() { served <- g.Serve(l) }()
	defer func() {
		g.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+l.Addr().String())
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=uat")

	traces, err := NewTraces(t.Context(), true, buildinfo.Info{Version: "v9.9.9"})
	if err != nil {
		t.Fatal(err)
	}
	_, span := traces.Provider.Tracer("test").Start(t.Context(), "batch")
	span.End()
	if err := traces.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := <-s.got
	attrs := map[string]string{}
	for _, a := range r.GetResourceSpans()[0].GetResource().GetAttributes() {
		attrs[a.GetKey()] = a.GetValue().GetStringValue()
	}
	if attrs["service.name"] != "treeline-scorer" || attrs["service.version"] != "v9.9.9" || attrs["deployment.environment"] != "uat" {
		t.Errorf("resource %v", attrs)
	}
	if name := r.GetResourceSpans()[0].GetScopeSpans()[0].GetSpans()[0].GetName(); name != "batch" {
		t.Errorf("span %q", name)
	}
}

func TestRecordsNothingWithoutAnEndpoint(t *testing.T) {
	for _, env := range []map[string]string{
		{"OTEL_EXPORTER_OTLP_ENDPOINT": "", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": ""},
		{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
	} {
		for k, v := range env {
			t.Setenv(k, v)
		}
		traces, err := NewTraces(t.Context(), true, buildinfo.Info{})
		if err != nil {
			t.Fatal(err)
		}
		_, span := traces.Provider.Tracer("test").Start(t.Context(), "batch")
		if span.IsRecording() {
			t.Error("records spans that nobody asked for")
		}
		if err := traces.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestLogger(t *testing.T) {
	var b bytes.Buffer
	l, err := NewLogger(&b, "warn", "json")
	if err != nil {
		t.Fatal(err)
	}
	l.Info("hidden")
	l.Warn("shown", "rows", 3)
	var line map[string]any
	if err := json.Unmarshal(b.Bytes(), &line); err != nil || line["msg"] != "shown" || line["rows"] != 3.0 {
		t.Errorf("%v, %v", line, err)
	}
	for _, bad := range [][2]string{{"loud", "text"}, {"info", "xml"}} {
		if _, err := NewLogger(&b, bad[0], bad[1]); err == nil {
			t.Errorf("accepted %v", bad)
		}
	}
}
