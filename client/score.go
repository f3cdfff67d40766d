package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/apache/arrow/go/v17/arrow/memory"

	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
	"github.com/treeline-ml/treeline/internal/arrowguard"
)

// Scored is the answer to ScoreRecords.
type Scored struct {
	Records   []arrow.Record // together one row per input row: [raw columns,] pred columns
	Rows      int64
	Lineage   *scoringv1.Lineage
	RequestID string
}

// Release releases the records.
func (s *Scored) Release() {
	for _, r := range s.Records {
		r.Release()
	}
	s.Records = nil
}

// ScoreRecords scores records of one schema in a single call. It suits small inputs: the daemon refuses requests over
// its unary limit (4 MiB unless configured), for which ScoreStream is there.
func (c *Client) ScoreRecords(
	ctx context.Context, mem memory.Allocator, model *scoringv1.ModelRef, options *scoringv1.ScoreOptions,
	schema *arrow.Schema, records ...arrow.Record,
) (*Scored, error) {
	body, err := EncodeRecords(mem, schema, records...)
	if err != nil {
		return nil, err
	}
	answer, err := c.Scoring.Score(ctx, &scoringv1.ScoreRequest{Model: model, ArrowIpc: body, Options: options})
	if err != nil {
		return nil, err
	}
	_, out, err := DecodeRecords(mem, answer.GetArrowIpc())
	if err != nil {
		return nil, err
	}
	return &Scored{Records: out, Rows: answer.GetRows(), Lineage: answer.GetLineage(), RequestID: answer.GetRequestId()}, nil
}

// EncodeRecords writes records as one uncompressed Arrow IPC stream.
func EncodeRecords(mem memory.Allocator, schema *arrow.Schema, records ...arrow.Record) ([]byte, error) {
	var buf bytes.Buffer
	w := ipc.NewWriter(&buf, ipc.WithSchema(schema), ipc.WithAllocator(mem))
	for i, r := range records {
		if err := w.Write(r); err != nil {
			return nil, errors.Join(fmt.Errorf("writing record %d: %w", i, err), w.Close())
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// ScoreStream is a ScoreStream call in progress. One goroutine may Send while another one calls Recv; a sender that
// never receives stalls once the flow-control windows are full.
type ScoreStream struct {
	stream  scoringv1.ScoringService_ScoreStreamClient
	encoder *arrowguard.Encoder
	cancel  context.CancelFunc
	mem     memory.Allocator
	started *scoringv1.ScoreStreamStarted
	decoder *arrowguard.MessageDecoder // nil until the daemon has accepted the stream
}

// ScoredRecord is one answer of a stream. A large record may be answered in several pieces, always in row order.
type ScoredRecord struct {
	Record    arrow.Record
	RowOffset int64 // index in the stream of the first row
}

// ScoreStream opens a stream for records of the schema and waits for the daemon's acceptance. Close must be called.
func (c *Client) ScoreStream(
	ctx context.Context, mem memory.Allocator, model *scoringv1.ModelRef, options *scoringv1.ScoreOptions,
	schema *arrow.Schema,
) (*ScoreStream, error) {
	encoder, err := arrowguard.NewEncoder(schema, mem)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &ScoreStream{encoder: encoder, cancel: cancel, mem: mem}
	if err := s.open(ctx, c, model, options); err != nil {
		_ = s.Close() // err says why
		return nil, err
	}
	return s, nil
}

func (s *ScoreStream) open(
	ctx context.Context, c *Client, model *scoringv1.ModelRef, options *scoringv1.ScoreOptions,
) (err error) {
	s.stream, err = c.Scoring.ScoreStream(ctx)
	if err != nil {
		return err
	}
	start := &scoringv1.ScoreStreamStart{Model: model, Options: options, ArrowSchema: s.encoder.SchemaMessage()}
	err = s.stream.Send(&scoringv1.ScoreStreamRequest{Message: &scoringv1.ScoreStreamRequest_Start{Start: start}})
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	answer, err := s.stream.Recv()
	if err != nil {
		return err
	}
	if answer.GetStarted() == nil {
		return errors.New("the daemon answered the start of a score stream with something else")
	}
	s.started = answer.GetStarted()
	s.decoder, err = arrowguard.NewMessageDecoder(
		s.started.GetArrowSchema(), arrowguard.DefaultLimits(), arrowguard.WithAllocator(s.mem))
	if err != nil {
		return fmt.Errorf("reading the daemon's arrow schema: %w", err)
	}
	return nil
}

// Lineage names what scores the stream: pinned when it was opened.
func (s *ScoreStream) Lineage() *scoringv1.Lineage { return s.started.GetLineage() }

// RequestID is the daemon's id of the call.
func (s *ScoreStream) RequestID() string { return s.started.GetRequestId() }

// Send sends one record. io.EOF means that the daemon ended the stream: Recv has the reason.
func (s *ScoreStream) Send(rec arrow.Record) error {
	messages, err := s.encoder.Encode(rec)
	if err != nil {
		return err
	}
	for _, m := range messages {
		err := s.stream.Send(&scoringv1.ScoreStreamRequest{Message: &scoringv1.ScoreStreamRequest_ArrowMessage{ArrowMessage: m}})
		if err != nil {
			return err
		}
	}
	return nil
}

// CloseSend tells the daemon that no record follows.
func (s *ScoreStream) CloseSend() error { return s.stream.CloseSend() }

// Recv returns the next answer, or io.EOF after the last one. The caller releases the record.
func (s *ScoreStream) Recv() (ScoredRecord, error) {
	answer, err := s.stream.Recv()
	if err != nil {
		return ScoredRecord{}, err
	}
	batch := answer.GetBatch()
	if batch == nil {
		return ScoredRecord{}, errors.New("the daemon sent a score stream message without a batch")
	}
	rec, err := s.decoder.Decode(batch.GetArrowMessage())
	if err != nil {
		return ScoredRecord{}, fmt.Errorf("reading the daemon's arrow message: %w", err)
	}
	if rec == nil {
		return ScoredRecord{}, errors.New("the daemon sent a dictionary where scores belong")
	}
	if rec.NumRows() != batch.GetRows() {
		defer rec.Release()
		return ScoredRecord{}, fmt.Errorf("the daemon announced %d rows and sent %d", batch.GetRows(), rec.NumRows())
	}
	return ScoredRecord{Record: rec, RowOffset: batch.GetRowOffset()}, nil
}

// Close ends the call and frees what it holds; records that were received stay valid.
func (s *ScoreStream) Close() error {
	s.cancel()
	err := s.encoder.Close()
	if s.decoder != nil {
		err = errors.Join(err, s.decoder.Close())
	}
	return err
}
