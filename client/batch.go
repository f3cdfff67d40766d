package client

import (
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"

	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
)

// Events is the progress of a batch. The last event has its Batch set; an error ends the sequence. Breaking out of the
// loop ends the call and leaves the batch running.
//
//	for event, err := range c.RunBatch(ctx, req) { ... }
type Events = iter.Seq2[*scoringv1.BatchEvent, error]

// RunBatch starts a batch, or joins it when the same batch is running.
func (c *Client) RunBatch(ctx context.Context, req *scoringv1.RunBatchRequest) Events {
	return func(yield func(*scoringv1.BatchEvent, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := c.Batches.RunBatch(ctx, req)
		if err != nil {
			yield(nil, err)
			return
		}
		receiveEvents(stream.Recv, yield)
	}
}

// WatchBatch follows a batch that is running or has ended.
func (c *Client) WatchBatch(ctx context.Context, batchID string) Events {
	return func(yield func(*scoringv1.BatchEvent, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := c.Batches.WatchBatch(ctx, &scoringv1.WatchBatchRequest{ScoreBatchId: batchID})
		if err != nil {
			yield(nil, err)
			return
		}
		receiveEvents(stream.Recv, yield)
	}
}

// UploadBatch streams a file (.parquet, .arrow, .csv) from this machine and runs a batch over its rows. start.FileName
// may be empty: the base name of path is sent. progress reports the upload and may be nil; events follow it.
func (c *Client) UploadBatch(
	ctx context.Context, start *scoringv1.UploadBatchStart, path string, progress Progress,
) Events {
	return func(yield func(*scoringv1.BatchEvent, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		f, err := os.Open(path)
		if err != nil {
			yield(nil, err)
			return
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			yield(nil, err)
			return
		}
		head := &scoringv1.UploadBatchStart{
			Model: start.GetModel(), FileName: start.GetFileName(), OutputTable: start.GetOutputTable(),
			OutputFile: start.GetOutputFile(),
		}
		if head.GetFileName() == "" {
			head.FileName = filepath.Base(path)
		}
		stream, err := c.Batches.UploadBatch(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		err = stream.Send(&scoringv1.UploadBatchRequest{Message: &scoringv1.UploadBatchRequest_Start{Start: head}})
		if err == nil {
			err = sendChunks(f, &meter{total: info.Size(), report: progress}, func(chunk []byte) error {
				return stream.Send(&scoringv1.UploadBatchRequest{
					Message: &scoringv1.UploadBatchRequest_Chunk{Chunk: chunk},
				})
			})
		}
		if err == nil {
			err = stream.CloseSend()
		}
		// io.EOF means that the server ended the stream: Recv has its status.
		if err != nil && !errors.Is(err, io.EOF) {
			yield(nil, err)
			return
		}
		receiveEvents(stream.Recv, yield)
	}
}

// receiveEvents yields what recv returns until the end of the stream.
func receiveEvents[R interface{ GetEvent() *scoringv1.BatchEvent }](
	recv func() (R, error), yield func(*scoringv1.BatchEvent, error) bool,
) {
	for {
		answer, err := recv()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			yield(nil, err)
			return
		}
		if !yield(answer.GetEvent(), nil) {
			return
		}
	}
}
