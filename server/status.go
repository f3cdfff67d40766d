package server

import (
	"context"
	"errors"
	"path/filepath"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/treeline-ml/treeline/frame"
	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
	"github.com/treeline-ml/treeline/loader"
)

// errorDomain is the domain of every ErrorInfo.
const errorDomain = "treeline"

// wireError is an error of the transport, from receiving or sending a message: its own status is kept.
type wireError struct{ err error }

func (e *wireError) Error() string { return e.err.Error() }
func (e *wireError) Unwrap() error { return e.err }

// statusError turns the outcome of a call into what the caller sees: code and text by the table, with ErrorInfo,
// RequestInfo, and RetryInfo or BadRequest where they apply. Errors outside the table are Internal and show nothing but
// the request id.
func statusError(ctx context.Context, requestID string, err error) error {
	if err == nil {
		return nil
	}
	v := judge(ctx, err)
	v.message = spoken(v.message)
	if v.code == codes.Internal {
		v.message = "internal error; the daemon's log has the cause under request id " + requestID
	}
	details := []protoadapt.MessageV1{
		&errdetails.ErrorInfo{Reason: v.reason.String(), Domain: errorDomain},
		&errdetails.RequestInfo{RequestId: requestID},
	}
	if v.retry > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(v.retry)})
	}
	if v.fields != nil {
		details = append(details, &errdetails.BadRequest{FieldViolations: v.fields})
	}
	s := status.New(v.code, v.message)
	full, detailErr := s.WithDetails(details...)
	if detailErr != nil {
		// Only a message that cannot be marshalled gets here; the bare status still tells the truth.
		return s.Err()
	}
	return full.Err()
}

// verdict is what the caller learns of an error.
type verdict struct {
	rule

	message string
	fields  []*errdetails.BadRequest_FieldViolation
}

// judge finds the rule of an error and words it.
func judge(ctx context.Context, err error) verdict {
	var (
		req    *requestError
		schema *frame.SchemaError
		wire   *wireError
	)
	switch {
	case errors.As(err, &req):
		v := judged(codes.InvalidArgument, lifecyclev1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, err.Error())
		v.fields = req.fields
		return v
	case errors.As(err, &schema):
		return judged(codes.InvalidArgument, lifecyclev1.ErrorReason_ERROR_REASON_SCHEMA_MISMATCH, err.Error())
	case errors.As(err, &wire):
		return judgeWire(status.Convert(wire.err))
	}
	for _, r := range table() {
		if errors.Is(err, r.err) {
			return verdict{rule: r, message: reword(err, r)}
		}
	}
	// Below a driver, the end of the call may look like any failure.
	if c := context.Cause(ctx); c != nil && ctx.Err() != nil {
		for _, r := range table() {
			if errors.Is(c, r.err) || errors.Is(ctx.Err(), r.err) {
				return verdict{rule: r, message: r.err.Error()}
			}
		}
	}
	return judged(codes.Internal, lifecyclev1.ErrorReason_ERROR_REASON_INTERNAL, err.Error())
}

func judged(code codes.Code, reason lifecyclev1.ErrorReason, message string) verdict {
	return verdict{rule: rule{code: code, reason: reason}, message: message}
}

// judgeWire keeps the transport's code and adds the reason that goes with it.
func judgeWire(s *status.Status) verdict {
	switch s.Code() {
	case codes.ResourceExhausted:
		return judged(s.Code(), lifecyclev1.ErrorReason_ERROR_REASON_LIMIT_EXCEEDED, s.Message())
	case codes.Canceled, codes.DeadlineExceeded, codes.Unavailable:
		return judged(s.Code(), lifecyclev1.ErrorReason_ERROR_REASON_CALL_ENDED, s.Message())
	default:
		// What is left is a message that is no protobuf. (The transport has told the caller by then; this is for the log.)
		return judged(codes.InvalidArgument, lifecyclev1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT,
			"reading the stream: "+s.Message())
	}
}

// reword is the error's text for the caller, with the way out. A loader's error names the file without the directory in
// which the daemon keeps it, and without its hint, which is for people at the daemon's terminal.
func reword(err error, r rule) string {
	message := err.Error()
	var load *loader.Error
	if errors.As(err, &load) && load.Path != "" {
		message = strings.ReplaceAll(message, load.Path, filepath.Base(load.Path))
	}
	if r.next != "" {
		message += "; " + r.next
	}
	return message
}

// spoken takes the names of our packages out of a message: "churn version 9: store: version not found" is "churn version
// 9: version not found". Only whole texts of errors in the table count, so that nothing of a caller's own is lost.
func spoken(message string) string {
	for _, r := range table() {
		pkg, _, _ := strings.Cut(r.name, ".")
		text := r.err.Error()
		short, ok := strings.CutPrefix(text, pkg+": ")
		if !ok {
			continue
		}
		if rest, at := strings.CutPrefix(message, text); at {
			message = short + rest
		}
		message = strings.ReplaceAll(message, ": "+text, ": "+short)
	}
	return message
}

// reasonOf reads the reason out of a status for the log.
func reasonOf(err error) string {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}
