package scoring

import (
	"context"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// steps measures the overlapping steps of one pipe: a span each, open while the pipe runs, whose treeline.busy_ms is the
// time that the step's own work took, summed over its workers. The same sums are the batch's timings.
type steps struct {
	read, bind, score, stamp, write *step
	profile                         *step // nil when no statistics are kept
	postProcess                     *step // nil when the scores are the engine's own
}

type step struct {
	name string
	span trace.Span // nil for a step without one
	busy atomic.Int64
}

// newSteps opens the spans of the steps under the batch span in ctx.
func (j *job) newSteps(ctx context.Context) *steps {
	open := func(name string) *step {
		_, span := j.b.tracer.Start(ctx, name) //nolint:spancheck // steps.end ends it
		return &step{name: name, span: span}   //nolint:spancheck // steps.end ends it
	}
	s := &steps{read: open("read"), bind: open("bind"), score: open("score"), stamp: &step{name: "stamp"}, write: open("write")}
	if j.recorder != nil {
		s.profile = &step{name: "profile"}
	}
	if j.plan.cfg.PostProcessor != nil {
		s.postProcess = open("post_process")
	}
	return s
}

func (s *steps) all() []*step {
	all := []*step{s.read, s.bind, s.score, s.stamp, s.write}
	if s.profile != nil {
		all = append(all, s.profile)
	}
	if s.postProcess != nil {
		all = append(all, s.postProcess)
	}
	return all
}

// add counts the time since start.
func (s *step) add(start time.Time) { s.busy.Add(int64(time.Since(start))) }

// failed marks the step's span and passes the error on. A step that ends because the pipe ended is not at fault.
func (s *step) failed(ctx context.Context, err error) error {
	if s.span != nil && ctx.Err() == nil {
		return failed(s.span, err)
	}
	return err
}

func (s *steps) end() {
	for _, one := range s.all() {
		if one.span != nil {
			one.span.SetAttributes(attribute.Float64("treeline.busy_ms", float64(one.busy.Load())/1e6))
			one.span.End()
		}
	}
}

func (s *steps) timings() []Timing {
	var out []Timing
	for _, one := range s.all() {
		out = append(out, Timing{Step: one.name, Duration: time.Duration(one.busy.Load())})
	}
	return out
}
