package client

import (
	"context"
	"errors"
	"io"
	"iter"

	"google.golang.org/grpc"

	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
)

// WatchTraining follows a training: its state first and after each change, and its output from a byte offset on, until it
// has ended. An error ends the sequence. Breaking out of the loop ends the call and leaves the training running.
func (c *Client) WatchTraining(
	ctx context.Context, id string, offset int64,
) iter.Seq2[*lifecyclev1.WatchTrainingResponse, error] {
	return receive(ctx, func(ctx context.Context) (grpc.ServerStreamingClient[lifecyclev1.WatchTrainingResponse], error) {
		return c.Training.WatchTraining(ctx, &lifecyclev1.WatchTrainingRequest{TrainingId: id, LogOffset: offset})
	})
}

// WatchRun follows a run: as it is first and after each change, until it has ended. Breaking out of the loop ends the call
// and leaves the run going on.
func (c *Client) WatchRun(ctx context.Context, id string) iter.Seq2[*lifecyclev1.WatchRunResponse, error] {
	return receive(ctx, func(ctx context.Context) (grpc.ServerStreamingClient[lifecyclev1.WatchRunResponse], error) {
		return c.Runs.WatchRun(ctx, &lifecyclev1.WatchRunRequest{RunId: id})
	})
}

// StreamValidate runs the gates of a version and tells of each; the last event has the report. Breaking out of the loop
// ends the validation.
func (c *Client) StreamValidate(
	ctx context.Context, req *lifecyclev1.StreamValidateRequest,
) iter.Seq2[*lifecyclev1.StreamValidateResponse, error] {
	return receive(ctx, func(ctx context.Context) (grpc.ServerStreamingClient[lifecyclev1.StreamValidateResponse], error) {
		return c.Validation.StreamValidate(ctx, req)
	})
}

// receive yields what a stream sends until it ends.
func receive[R any](
	ctx context.Context, open func(context.Context) (grpc.ServerStreamingClient[R], error),
) iter.Seq2[*R, error] {
	return func(yield func(*R, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := open(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		for {
			answer, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return
			}
			if !yield(answer, err) || err != nil {
				return
			}
		}
	}
}
