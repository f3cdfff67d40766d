// Package telemetry sets up logs and traces of the daemon.
//
// Traces are exported by OTLP over gRPC when the standard environment names an endpoint (OTEL_EXPORTER_OTLP_ENDPOINT or
// OTEL_EXPORTER_OTLP_TRACES_ENDPOINT); all other OTEL_ variables (headers, sampler, resource attributes, limits) mean what
// the OpenTelemetry specification says. Without an endpoint nothing is recorded and nothing is dialled.
package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/treeline-ml/treeline/internal/buildinfo"
)

// Traces is where spans go.
type Traces struct {
	Provider trace.TracerProvider
	// Propagator reads the caller's W3C trace context.
	Propagator propagation.TextMapPropagator
	shutdown   func(context.Context) error
}

// NewTraces exports to the endpoint in the environment, or nowhere when there is none or enabled is false.
func NewTraces(ctx context.Context, enabled bool, info buildinfo.Info) (*Traces, error) {
	t := &Traces{
		Provider:   noop.NewTracerProvider(),
		Propagator: propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}),
		shutdown:   func(context.Context) error { return nil },
	}
	if !enabled || os.Getenv("OTEL_SDK_DISABLED") == "true" ||
		os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" {
		return t, nil
	}
	exporter, err := otlptracegrpc.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("telemetry: OTLP exporter: %w", err)
	}
	res, err := resource.New(ctx,
		resource.WithAttributes(
			attribute.String("service.name", "treeline-scorer"),
			attribute.String("service.version", info.Version),
			attribute.String("treeline.git_revision", info.Revision),
			attribute.String("treeline.engine_build", info.Engine),
		),
		resource.WithFromEnv(), // OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win
	)
	if err != nil {
		return nil, fmt.Errorf("telemetry: resource: %w", err)
	}
	p := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(res))
	t.Provider, t.shutdown = p, p.Shutdown
	return t, nil
}

// Shutdown exports what is left and closes the exporter.
func (t *Traces) Shutdown(ctx context.Context) error { return t.shutdown(ctx) }

// NewLogger writes to w. Level is debug, info, warn or error; format is text or json.
func NewLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("telemetry: log level %q: %w", level, err)
	}
	opts := &slog.HandlerOptions{Level: l}
	switch format {
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	default:
		return nil, fmt.Errorf("telemetry: log format %q, want text or json", format)
	}
}
