package scoring

import (
	"context"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// tree writes spans as "name(child child ...)", children by name.
func tree(spans tracetest.SpanStubs, parent tracetest.SpanStub) string {
	var children []string
	for _, s := range spans {
		if s.Parent.SpanID() == parent.SpanContext.SpanID() {
			children = append(children, tree(spans, s))
		}
	}
	name := parent.Name
	if parent.Status.Code == codes.Error {
		name += "!"
	}
	if len(children) == 0 {
		return name
	}
	slices.Sort(children)
	return name + "(" + strings.Join(children, " ") + ")"
}

func TestBatchSpans(t *testing.T) {
	for name, tc := range map[string]struct {
		broken string
		want   string
	}{
		"success": {want: "call(batch(bind commit read resolve score snapshot write))"},
		"write":   {broken: "write", want: "call(batch!(bind read resolve score snapshot write!))"},
		"absent":  {broken: "describe", want: "call(batch!(resolve snapshot!))"},
	} {
		t.Run(name, func(t *testing.T) {
			exporter := tracetest.NewInMemoryExporter()
			provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))
			s := newShelf(t, features(500))
			s.at = func(_ context.Context, step string, _ int) error {
				if step == tc.broken {
					return errBroken
				}
				return nil
			}
			b, _ := newTestBatcher(t, s, func(d *Deps) { d.Tracer = provider })
			ctx, call := provider.Tracer("test").Start(t.Context(), "call")
			batch, err := b.Run(ctx, Request{Model: "m"}, nil)
			if (err != nil) != (tc.broken != "") {
				t.Fatal(err)
			}
			call.End()
			if err := b.Drain(t.Context()); err != nil {
				t.Fatal(err)
			}
			spans := exporter.GetSpans()
			for _, s := range spans {
				if s.Name == "call" {
					if got := tree(spans, s); got != tc.want {
						t.Errorf("got  %s\nwant %s", got, tc.want)
					}
				}
				for _, a := range s.Attributes {
					if s.Name == "batch" && a.Key == "treeline.score_batch_id" && a.Value.AsString() != string(batch.ID) {
						t.Errorf("batch span is of %s", a.Value.AsString())
					}
				}
			}
			if err := provider.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOnlineSpans(t *testing.T) {
	exporter := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))
	o, mem := newTestOnline(t, provider)
	ctx, call := provider.Tracer("test").Start(t.Context(), "call")
	if _, err := o.Open(ctx, OnlineOptions{Model: "m"}, features(1).schema); err == nil {
		t.Fatal("a list column was accepted")
	}
	rec := onlineRecord(mem, 0, 5)
	defer rec.Release()
	s, err := o.Open(ctx, OnlineOptions{Model: "m"}, rec.Schema())
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Score(ctx, rec)
	if err != nil {
		t.Fatal(err)
	}
	out.Release()
	call.End()
	spans := exporter.GetSpans()
	if got, want := tree(spans, spans[len(spans)-1]), "call(bind bind! resolve resolve score)"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
