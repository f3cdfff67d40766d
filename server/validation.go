package server

import (
	"context"
	"sync"

	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
	"github.com/treeline-ml/treeline/lifecycle/gate"
)

// validationService runs the gates.
type validationService struct {
	lifecyclev1.UnimplementedValidationServiceServer

	gates Gates
	drain *drain
}

// Validate runs the gates of a version. A gate that says no is an answer, not an error.
func (s *validationService) Validate(
	ctx context.Context, r *lifecyclev1.ValidateRequest,
) (*lifecyclev1.ValidateResponse, error) {
	var c check
	c.model("model_name", r.GetModelName())
	c.version("version", r.GetVersion())
	c.actor("actor", r.GetActor())
	if err := c.err(); err != nil {
		return nil, err
	}
	report, err := s.gates.Validate(ctx, gate.Request{
		Model: r.GetModelName(), Version: r.GetVersion(),
		Actor: actor(ctx, r.GetActor()), AuthMethod: authMethod, RequestID: callOf(ctx).id,
	})
	if err != nil {
		return nil, err
	}
	return &lifecyclev1.ValidateResponse{Report: reportProto(report)}, nil
}

// StreamValidate runs the gates of a version and tells of each.
func (s *validationService) StreamValidate(
	r *lifecyclev1.StreamValidateRequest, stream lifecyclev1.ValidationService_StreamValidateServer,
) error {
	var c check
	c.model("model_name", r.GetModelName())
	c.version("version", r.GetVersion())
	c.actor("actor", r.GetActor())
	if err := c.err(); err != nil {
		return err
	}
	ctx, stop := s.drain.bind(stream.Context())
	defer stop(nil)
	// There are few gates and their results are small: a caller that does not read fills the transport's window and is
	// gone with its context, it does not hold the gates up.
	var sending sync.Mutex
	send := func(e *lifecyclev1.StreamValidateResponse) error {
		sending.Lock()
		defer sending.Unlock()
		if err := stream.Send(e); err != nil {
			err = &wireError{err}
			stop(err)
			return err
		}
		return nil
	}
	report, err := s.gates.Validate(ctx, gate.Request{
		Model: r.GetModelName(), Version: r.GetVersion(),
		Actor: actor(ctx, r.GetActor()), AuthMethod: authMethod, RequestID: callOf(ctx).id,
		Progress: func(name string, result *gate.Result) {
			e := &lifecyclev1.StreamValidateResponse{Event: &lifecyclev1.StreamValidateResponse_Started{Started: name}}
			if result != nil {
				e.Event = &lifecyclev1.StreamValidateResponse_Gate{Gate: gateProto(*result)}
			}
			_ = send(e) // ends ctx when it fails
		},
	})
	if err != nil {
		return drainCause(ctx, err)
	}
	return send(&lifecyclev1.StreamValidateResponse{
		Event: &lifecyclev1.StreamValidateResponse_Report{Report: reportProto(report)},
	})
}

// GetReport returns the stored evidence of the latest validation.
func (s *validationService) GetReport(
	ctx context.Context, r *lifecyclev1.GetReportRequest,
) (*lifecyclev1.GetReportResponse, error) {
	var c check
	c.model("model_name", r.GetModelName())
	c.version("version", r.GetVersion())
	if err := c.err(); err != nil {
		return nil, err
	}
	report, err := s.gates.Report(ctx, r.GetModelName(), r.GetVersion())
	if err != nil {
		return nil, err
	}
	return &lifecyclev1.GetReportResponse{Report: reportProto(report)}, nil
}

// Waive accepts a version in spite of gates.
func (s *validationService) Waive(
	ctx context.Context, r *lifecyclev1.WaiveRequest,
) (*lifecyclev1.WaiveResponse, error) {
	var c check
	c.model("model_name", r.GetModelName())
	c.version("version", r.GetVersion())
	c.gates("gates", r.GetGates())
	c.reason("reason", r.GetReason())
	c.actor("actor", r.GetActor())
	if err := c.err(); err != nil {
		return nil, err
	}
	report, err := s.gates.Waive(ctx, gate.WaiveRequest{
		Model: r.GetModelName(), Version: r.GetVersion(), Gates: r.GetGates(), Reason: r.GetReason(),
		Actor: actor(ctx, r.GetActor()), AuthMethod: authMethod, RequestID: callOf(ctx).id,
	})
	if err != nil {
		return nil, err
	}
	return &lifecyclev1.WaiveResponse{Report: reportProto(report)}, nil
}
