package server

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow/go/v17/arrow"

	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
	"github.com/treeline-ml/treeline/internal/arrowguard"
	"github.com/treeline-ml/treeline/scoring"
)

// ScoreStream scores record batches as they arrive. At most two messages of a stream are held: the one being scored and
// the next one; everything else waits in the transport, whose flow control stops the sender.
func (s *scoringService) ScoreStream(stream scoringv1.ScoringService_ScoreStreamServer) error {
	ctx := stream.Context()
	first, err := stream.Recv()
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("the stream ended before its start message: %w", errSequence)
	}
	if err != nil {
		return &wireError{err}
	}
	st, err := s.openStream(ctx, first)
	if err != nil {
		return err
	}
	defer st.close()
	if err := st.announce(stream); err != nil {
		return err
	}
	next, stop := receive(stream)
	defer stop()
	for {
		select {
		case <-s.drain.begun.Done():
			return errDraining
		case <-ctx.Done():
			return context.Cause(ctx)
		case m := <-next:
			if errors.Is(m.err, io.EOF) {
				return nil
			}
			if m.err != nil {
				return &wireError{m.err}
			}
			if err := st.handle(ctx, stream, m.request); err != nil {
				return err
			}
		}
	}
}

// received is one outcome of Recv.
type received struct {
	request *scoringv1.ScoreStreamRequest
	err     error
}

// receive reads the stream in a goroutine of its own, so that an idle stream can be told to end. The goroutine ends with
// the stream's first error; when the handler returns before that, the transport ends the stream. stop lets it go.
func receive(stream scoringv1.ScoringService_ScoreStreamServer) (<-chan received, func()) {
	out, done := make(chan received), make(chan struct{})
	go func() {
		for {
			r, err := stream.Recv()
			select {
			case out <- received{r, err}:
			case <-done:
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return out, func() { close(done) }
}

// scoreStream is one stream that was accepted.
type scoreStream struct {
	service *scoringService
	decoder *arrowguard.MessageDecoder
	encoder *arrowguard.Encoder
	session *scoring.Session
}

func (s *scoringService) openStream(ctx context.Context, r *scoringv1.ScoreStreamRequest) (*scoreStream, error) {
	start := r.GetStart()
	if start == nil {
		return nil, fmt.Errorf("the first message of a stream must be its start: %w", errSequence)
	}
	var c check
	c.ref("start.model", start.GetModel())
	if len(start.GetArrowSchema()) == 0 {
		c.failf("start.arrow_schema", "is empty; send the encapsulated Arrow schema message")
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	decoder, err := arrowguard.NewMessageDecoder(start.GetArrowSchema(), s.limits, arrowguard.WithAllocator(s.alloc))
	if err != nil {
		return nil, fmt.Errorf("arrow_schema: %w", err)
	}
	session, err := s.online.Open(ctx, onlineOptions(start.GetModel(), start.GetOptions()), decoder.Schema())
	if err != nil {
		return nil, errors.Join(err, decoder.Close())
	}
	encoder, err := arrowguard.NewEncoder(session.Schema(), s.alloc)
	if err != nil {
		return nil, errors.Join(err, decoder.Close())
	}
	return &scoreStream{service: s, decoder: decoder, encoder: encoder, session: session}, nil
}

func (st *scoreStream) close() {
	// Neither has anything to lose: decoder and encoder only hold memory.
	_ = st.decoder.Close()
	_ = st.encoder.Close()
}

func (st *scoreStream) announce(stream scoringv1.ScoringService_ScoreStreamServer) error {
	return send(stream, &scoringv1.ScoreStreamResponse{Message: &scoringv1.ScoreStreamResponse_Started{
		Started: &scoringv1.ScoreStreamStarted{
			Lineage:     lineageProto(st.session.Lineage()),
			RequestId:   callOf(stream.Context()).id,
			ArrowSchema: st.encoder.SchemaMessage(),
		},
	}})
}

// handle answers one record batch, or takes in one dictionary.
func (st *scoreStream) handle(
	ctx context.Context, stream scoringv1.ScoringService_ScoreStreamServer, r *scoringv1.ScoreStreamRequest,
) error {
	if r.GetStart() != nil {
		return fmt.Errorf("a second start: a stream scores with one model, open another stream: %w", errSequence)
	}
	message := r.GetArrowMessage()
	if len(message) == 0 {
		return fmt.Errorf("an empty arrow message: %w", errSequence)
	}
	cost := st.cost(len(message))
	if err := st.service.budget.Acquire(ctx, cost); err != nil {
		return err
	}
	defer st.service.budget.Release(cost)
	rec, err := st.decoder.Decode(message)
	if err != nil {
		return fmt.Errorf("arrow message after row %d: %w", st.session.Rows(), err)
	}
	if rec == nil {
		return nil // a dictionary
	}
	defer rec.Release()
	offset := st.session.Rows()
	return st.service.scoreSlices(ctx, st.session, rec, func(out arrow.Record) error {
		messages, err := st.encoder.Encode(out)
		if err != nil {
			return err
		}
		if len(messages) != 1 {
			return fmt.Errorf("the answer to one record has %d messages, want 1", len(messages))
		}
		err = send(stream, &scoringv1.ScoreStreamResponse{Message: &scoringv1.ScoreStreamResponse_Batch{
			Batch: &scoringv1.ScoredBatch{ArrowMessage: messages[0], RowOffset: offset, Rows: out.NumRows()},
		}})
		offset += out.NumRows()
		return err
	})
}

// cost estimates what a message holds while it is answered: itself, its Arrow memory, and one slice of scores. A byte
// can be eight rows.
func (st *scoreStream) cost(message int) int64 {
	n := int64(message)
	return 2*n + min(int64(st.service.slice), 64*n*int64(st.session.Schema().NumFields()))
}

func send(stream scoringv1.ScoringService_ScoreStreamServer, m *scoringv1.ScoreStreamResponse) error {
	if err := stream.Send(m); err != nil {
		return &wireError{err}
	}
	return nil
}
