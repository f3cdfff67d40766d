package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"golang.org/x/sync/semaphore"

	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
	"github.com/treeline-ml/treeline/internal/arrowguard"
	"github.com/treeline-ml/treeline/scoring"
)

// sliceBytes bounds the margins and predictions of one pass: a record that claims many rows in few bytes (bits, nulls) is
// scored in slices of this size.
const sliceBytes = 4 << 20

// scoringService scores rows that callers send.
type scoringService struct {
	scoringv1.UnimplementedScoringServiceServer

	online Online
	limits arrowguard.Limits
	answer int // bytes that one answer may have
	slice  int // sliceBytes
	budget *semaphore.Weighted
	drain  *drain
	alloc  memory.Allocator
}

func newScoringService(d Deps, o Options, dr *drain) *scoringService {
	limits := o.Arrow
	if limits.MaxMessageBytes <= 0 || limits.MaxMessageBytes > int64(o.StreamBytes) {
		limits.MaxMessageBytes = int64(o.StreamBytes)
	}
	return &scoringService{
		online: d.Online, limits: limits, answer: o.StreamBytes, slice: sliceBytes, drain: dr, alloc: memory.DefaultAllocator,
		budget: semaphore.NewWeighted(o.ScoreBytes),
	}
}

// Score scores one Arrow stream and answers with another one.
func (s *scoringService) Score(ctx context.Context, r *scoringv1.ScoreRequest) (*scoringv1.ScoreResponse, error) {
	var c check
	c.ref("model", r.GetModel())
	if len(r.GetArrowIpc()) == 0 {
		c.failf("arrow_ipc", "is empty; send an Arrow IPC stream")
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	// The request itself, and its body once more as Arrow memory.
	held := int64(2 * len(r.GetArrowIpc()))
	if !s.budget.TryAcquire(held) {
		return nil, errBusy
	}
	defer func() { s.budget.Release(held) }()

	in, err := arrowguard.NewReader(bytes.NewReader(r.GetArrowIpc()), s.limits, arrowguard.WithAllocator(s.alloc))
	if err != nil {
		return nil, fmt.Errorf("arrow_ipc: %w", err)
	}
	defer func() { _ = in.Close() }() // it only holds memory
	session, err := s.online.Open(ctx, onlineOptions(r.GetModel(), r.GetOptions()), in.Schema())
	if err != nil {
		return nil, err
	}
	out := &answerWriter{service: s, held: &held}
	w := ipc.NewWriter(out, ipc.WithSchema(session.Schema()), ipc.WithAllocator(s.alloc))
	if err := s.scoreAll(ctx, session, in, w.Write); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	if err := w.Close(); err != nil {
		return nil, out.cause(err)
	}
	return &scoringv1.ScoreResponse{
		ArrowIpc:  out.buf.Bytes(),
		Lineage:   lineageProto(session.Lineage()),
		RequestId: callOf(ctx).id,
		Rows:      session.Rows(),
	}, nil
}

// scoreAll hands the scores of every record to write, in order.
func (s *scoringService) scoreAll(
	ctx context.Context, session *scoring.Session, in *arrowguard.Reader, write func(arrow.Record) error,
) error {
	for {
		rec, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("arrow_ipc: %w", err)
		}
		err = s.scoreSlices(ctx, session, rec, write)
		rec.Release()
		if err != nil {
			return err
		}
	}
}

// scoreSlices scores a record in slices and hands each answer to emit, which must not keep it. A
// record without rows gives one answer without rows.
func (s *scoringService) scoreSlices(
	ctx context.Context, session *scoring.Session, rec arrow.Record, emit func(arrow.Record) error,
) error {
	step := int64(max(1, s.slice/(8*max(1, session.Schema().NumFields()))))
	for first := int64(0); first == 0 || first < rec.NumRows(); first += step {
		slice := rec.NewSlice(first, min(first+step, rec.NumRows()))
		out, err := session.Score(ctx, slice)
		slice.Release()
		if err != nil {
			return err
		}
		err = emit(out)
		out.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

func onlineOptions(ref *scoringv1.ModelRef, o *scoringv1.ScoreOptions) scoring.OnlineOptions {
	return scoring.OnlineOptions{
		Model: ref.GetName(), Version: ref.GetVersion(), Margin: o.GetMargin(), NullRowErrors: o.GetNullRowErrors(),
	}
}

// answerWriter collects an answer, within the limit of one answer and the budget of all calls.
type answerWriter struct {
	service *scoringService
	held    *int64 // bytes of the budget that the call has
	buf     bytes.Buffer
	err     error
}

func (w *answerWriter) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	if n := w.buf.Len() + len(p); n > w.service.answer {
		w.err = fmt.Errorf("the answer has more than %d bytes: send fewer rows, or use ScoreStream: %w",
			w.service.answer, errTooLarge)
		return 0, w.err
	}
	if !w.service.budget.TryAcquire(int64(len(p))) {
		w.err = errBusy
		return 0, w.err
	}
	*w.held += int64(len(p))
	return w.buf.Write(p)
}

// cause prefers the writer's own error over the Arrow library's report of it.
func (w *answerWriter) cause(err error) error {
	if w.err != nil {
		return w.err
	}
	return err
}
