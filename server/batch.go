package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow/go/v17/arrow/ipc"

	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
	"github.com/treeline-ml/treeline/scoring"
	"github.com/treeline-ml/treeline/warehouse"
)

// defaultRowsLimit is what GetBatchRows shows unless told otherwise.
const defaultRowsLimit = 10

// batchService runs batches.
type batchService struct {
	scoringv1.UnimplementedBatchServiceServer

	batches Batches
	options Options
	drain   *drain
}

// RunBatch starts a batch and follows it.
func (s *batchService) RunBatch(r *scoringv1.RunBatchRequest, stream scoringv1.BatchService_RunBatchServer) error {
	var c check
	c.ref("model", r.GetModel())
	c.date("date", r.GetDate())
	c.line("input", r.GetInput(), maxPathBytes)
	c.table("output_table", r.GetOutputTable())
	c.outputFile("output_file", r.GetOutputFile())
	if err := c.err(); err != nil {
		return err
	}
	w, err := s.batches.Start(stream.Context(), scoring.Request{
		Model: r.GetModel().GetName(), Version: r.GetModel().GetVersion(), Date: r.GetDate(),
		InputFiles: r.GetInput(), OutputTable: r.GetOutputTable(), OutputFile: r.GetOutputFile(),
	})
	if err != nil {
		return err
	}
	last, err := s.follow(stream.Context(), w, func(e *scoringv1.BatchEvent) error {
		return stream.Send(&scoringv1.RunBatchResponse{Event: e})
	})
	if err != nil {
		return err
	}
	return last.Err
}

// WatchBatch follows a batch. That the batch failed is in its last event; the call itself succeeds.
func (s *batchService) WatchBatch(r *scoringv1.WatchBatchRequest, stream scoringv1.BatchService_WatchBatchServer) error {
	var c check
	c.batchID("score_batch_id", r.GetScoreBatchId())
	if err := c.err(); err != nil {
		return err
	}
	w, err := s.batches.Watch(stream.Context(), warehouse.BatchID(r.GetScoreBatchId()))
	if err != nil {
		return err
	}
	_, err = s.follow(stream.Context(), w, func(e *scoringv1.BatchEvent) error {
		return stream.Send(&scoringv1.WatchBatchResponse{Event: e})
	})
	return err
}

// follow sends the events of a batch until its last one, which it returns, or until the server stops. A slow caller gets
// fewer events, never late ones: the watcher holds only the newest.
func (s *batchService) follow(
	ctx context.Context, w *scoring.Watcher, send func(*scoringv1.BatchEvent) error,
) (scoring.Event, error) {
	ctx, stop := s.drain.bind(ctx)
	defer stop(nil)
	for {
		e, err := w.Next(ctx)
		if errors.Is(err, io.EOF) {
			return scoring.Event{}, nil
		}
		if err != nil {
			return scoring.Event{}, err
		}
		if err := send(eventProto(e)); err != nil {
			return scoring.Event{}, &wireError{err}
		}
		if e.Last() {
			return e, nil
		}
	}
}

// GetBatch returns the ledger row of a batch.
func (s *batchService) GetBatch(
	ctx context.Context, r *scoringv1.GetBatchRequest,
) (*scoringv1.GetBatchResponse, error) {
	var c check
	c.batchID("score_batch_id", r.GetScoreBatchId())
	if err := c.err(); err != nil {
		return nil, err
	}
	b, err := s.batches.Get(ctx, warehouse.BatchID(r.GetScoreBatchId()))
	if err != nil {
		return nil, err
	}
	return &scoringv1.GetBatchResponse{Batch: batchProto(b)}, nil
}

// ListBatches lists ledger rows, newest first.
func (s *batchService) ListBatches(
	ctx context.Context, r *scoringv1.ListBatchesRequest,
) (*scoringv1.ListBatchesResponse, error) {
	rows, next, err := list(r, nil, func(p page) ([]scoring.Batch, string, error) {
		return s.batches.List(ctx, r.GetModelName(), p.size, p.token)
	}, batchProto)
	if err != nil {
		return nil, err
	}
	return &scoringv1.ListBatchesResponse{Batches: rows, NextPageToken: next}, nil
}

// CancelBatch stops a running batch.
func (s *batchService) CancelBatch(
	ctx context.Context, r *scoringv1.CancelBatchRequest,
) (*scoringv1.CancelBatchResponse, error) {
	var c check
	c.batchID("score_batch_id", r.GetScoreBatchId())
	if err := c.err(); err != nil {
		return nil, err
	}
	b, err := s.batches.Cancel(ctx, warehouse.BatchID(r.GetScoreBatchId()))
	if err != nil {
		return nil, err
	}
	return &scoringv1.CancelBatchResponse{Batch: batchProto(b)}, nil
}

// GetBatchRows returns the first rows that a batch wrote as an Arrow stream.
func (s *batchService) GetBatchRows(
	ctx context.Context, r *scoringv1.GetBatchRowsRequest,
) (*scoringv1.GetBatchRowsResponse, error) {
	var c check
	c.batchID("score_batch_id", r.GetScoreBatchId())
	c.rowsLimit("limit", r.GetLimit())
	if err := c.err(); err != nil {
		return nil, err
	}
	limit := int(r.GetLimit())
	if limit == 0 {
		limit = defaultRowsLimit
	}
	rows, err := s.batches.Rows(ctx, warehouse.BatchID(r.GetScoreBatchId()), limit)
	if err != nil {
		return nil, err
	}
	body, err := s.encodeRows(ctx, rows)
	if err := errors.Join(err, rows.Close()); err != nil {
		return nil, err
	}
	return &scoringv1.GetBatchRowsResponse{ArrowIpc: body}, nil
}

func (s *batchService) encodeRows(ctx context.Context, rows warehouse.RecordStream) ([]byte, error) {
	var buf bytes.Buffer
	w := ipc.NewWriter(&buf, ipc.WithSchema(rows.Schema()))
	for {
		rec, err := rows.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, errors.Join(err, w.Close())
		}
		err = w.Write(rec)
		rec.Release()
		if err != nil {
			return nil, errors.Join(err, w.Close())
		}
		if buf.Len() > s.options.StreamBytes {
			return nil, errors.Join(fmt.Errorf("the rows have more than %d bytes: ask for fewer: %w",
				s.options.StreamBytes, errTooLarge), w.Close())
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}
