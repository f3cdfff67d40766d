package client

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
)

// Description is an error of a call, taken apart for people.
type Description struct {
	Code      codes.Code
	Message   string
	Reason    lifecyclev1.ErrorReason // ERROR_REASON_UNSPECIFIED when the daemon gave none
	RequestID string                  // finds the call in the daemon's log; "" when the daemon was not reached
	Fields    []Field                 // what is wrong with which field of the request
	RetryIn   time.Duration           // how long to wait before trying again; 0 when the daemon did not say
	Hint      string                  // what to do next; "" when the message says it all
}

// Field is one invalid field of a request.
type Field struct{ Name, Problem string }

// String renders the description over one or more lines: message, fields, hint, request id.
func (d Description) String() string {
	var b strings.Builder
	b.WriteString(d.Message)
	if len(d.Fields) > 1 {
		for _, f := range d.Fields {
			fmt.Fprintf(&b, "\n  %s: %s", f.Name, f.Problem)
		}
	}
	if d.Hint != "" {
		fmt.Fprintf(&b, "\nhint: %s", d.Hint)
	}
	if d.RequestID != "" && (d.Code == codes.Internal || d.Code == codes.Unknown) {
		fmt.Fprintf(&b, "\nrequest id: %s", d.RequestID)
	}
	return b.String()
}

// Describe takes an error of any method of Client apart. The description of nil is the zero value with codes.OK.
func Describe(err error) Description {
	if err == nil {
		return Description{}
	}
	// Not status.FromError: it puts "rpc error: code = ..." into the message of a wrapped status.
	s := status.FromContextError(err)
	var wire interface{ GRPCStatus() *status.Status }
	if errors.As(err, &wire) {
		s = wire.GRPCStatus()
	} else if s.Code() == codes.Unknown {
		return Description{Code: codes.Unknown, Message: err.Error(), Hint: localHint(err)}
	}
	d := Description{Code: s.Code(), Message: plain(s.Code(), s.Message())}
	for _, detail := range s.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			if detail.GetDomain() == "treeline" {
				d.Reason = lifecyclev1.ErrorReason(lifecyclev1.ErrorReason_value[detail.GetReason()])
			}
		case *errdetails.RequestInfo:
			d.RequestID = detail.GetRequestId()
		case *errdetails.RetryInfo:
			d.RetryIn = detail.GetRetryDelay().AsDuration()
		case *errdetails.BadRequest:
			for _, v := range detail.GetFieldViolations() {
				d.Fields = append(d.Fields, Field{Name: v.GetField(), Problem: v.GetDescription()})
			}
		}
	}
	d.Hint = hint(d)
	return d
}

// pointers are the ends of messages that name a method to call next. The hint names the command instead.
var pointers = regexp.MustCompile(`; (register it, or )?name one that List\w+ shows$`)

// wentAway is what is said when the connection ends in the middle of a call.
const wentAway = "the daemon went away during the call"

// plain puts what the transport or the daemon says to programs into words for people.
func plain(code codes.Code, message string) string {
	if code == codes.Unavailable {
		for _, s := range []string{"error reading from server", "connection reset by peer", "transport is closing", "broken pipe"} {
			if strings.Contains(message, s) {
				return wentAway
			}
		}
	}
	return pointers.ReplaceAllString(message, "")
}

func localHint(err error) string {
	if errors.Is(err, ErrAddress) {
		return "set --addr and --admin-addr, or SCORER_ADDR and SCORER_ADMIN_ADDR, to loopback addresses"
	}
	return ""
}

// hint says what a person at a terminal can do. Reasons come first: they say more than codes.
func hint(d Description) string {
	if h := reasonHint(d.Reason); h != "" {
		return h
	}
	switch d.Code {
	case codes.Unavailable:
		return unavailableHint(d.Message)
	case codes.Unimplemented:
		if d.Reason == lifecyclev1.ErrorReason_ERROR_REASON_UNSPECIFIED {
			return "the daemon does not know this call: is --addr the data listener and --admin-addr the admin listener, " +
				"and is the daemon as new as this command?"
		}
	case codes.DeadlineExceeded:
		return "the daemon did not answer in time; see its log, or allow more time"
	case codes.Internal, codes.Unknown:
		if d.RequestID != "" {
			return "this is a bug in the daemon; its log has the cause under the request id"
		}
	case codes.ResourceExhausted:
		if d.RetryIn > 0 {
			return fmt.Sprintf("try again in %s", d.RetryIn)
		}
	}
	return ""
}

func unavailableHint(message string) string {
	switch {
	case message == wentAway:
		return "start it again and run the same command; its log says why it ended"
	case strings.Contains(message, "connection refused"):
		return "is the daemon running? start it with: scorer --config FILE"
	case strings.Contains(message, "error reading server preface"), strings.Contains(message, "tls:"):
		return "something else than a treeline daemon answers at this address"
	}
	return "try again; if it stays so, see the daemon's log"
}

func reasonHint(reason lifecyclev1.ErrorReason) string {
	switch reason {
	case lifecyclev1.ErrorReason_ERROR_REASON_MODEL_NOT_FOUND:
		return "register it with ctl model register, or list the models with: ctl model list"
	case lifecyclev1.ErrorReason_ERROR_REASON_VERSION_NOT_FOUND:
		return "list the versions with: ctl model versions NAME"
	case lifecyclev1.ErrorReason_ERROR_REASON_NO_CHAMPION:
		return "make one with: ctl validate NAME, then ctl promote NAME --reason R; or score with another version: ctl score NAME --version V"
	case lifecyclev1.ErrorReason_ERROR_REASON_WRONG_STAGE:
		return "see the stages with: ctl model versions NAME"
	case lifecyclev1.ErrorReason_ERROR_REASON_GENERATION_MISMATCH:
		return "someone else changed the champion first: look at ctl model list, then decide again"
	case lifecyclev1.ErrorReason_ERROR_REASON_BATCH_NOT_FOUND:
		return "list the batches with: ctl batch list"
	case lifecyclev1.ErrorReason_ERROR_REASON_BATCH_CANCELLED:
		return "nothing was committed; run the same command again to score it after all"
	case lifecyclev1.ErrorReason_ERROR_REASON_BATCH_INTERRUPTED:
		return "start the daemon again and run the same command: it completes the same batch"
	case lifecyclev1.ErrorReason_ERROR_REASON_TABLE_EMPTY:
		return "fill the table, or name a day that it has rows of with --date, or other rows with --input or --upload"
	case lifecyclev1.ErrorReason_ERROR_REASON_TRAINING_NOT_FOUND:
		return "list the trainings with: ctl training list"
	case lifecyclev1.ErrorReason_ERROR_REASON_TRAINING_NOT_ACTIVE:
		return "see how it ended with: ctl training show ID"
	case lifecyclev1.ErrorReason_ERROR_REASON_RUN_NOT_FOUND:
		return "list the runs with: ctl runs list"
	case lifecyclev1.ErrorReason_ERROR_REASON_SCHEDULE_NOT_FOUND:
		return "list the schedules with: ctl schedule list"
	case lifecyclev1.ErrorReason_ERROR_REASON_SCHEDULE_INVALID:
		return "six or seven fields: second minute hour day-of-month month day-of-week [year], one of the two days ?; " +
			"try it with: ctl schedule next EXPR"
	case lifecyclev1.ErrorReason_ERROR_REASON_DELIVERY_NOT_FOUND:
		return "list the deliveries with: ctl outbox list"
	case lifecyclev1.ErrorReason_ERROR_REASON_STATISTICS_NOT_FOUND:
		return "score a batch of the model first: ctl score NAME"
	case lifecyclev1.ErrorReason_ERROR_REASON_REPORT_NOT_FOUND:
		return "validate the version first: ctl validate NAME --version V"
	case lifecyclev1.ErrorReason_ERROR_REASON_GATE_NOT_WAIVABLE:
		return "only gates that stand in the way can be waived, by the names that ctl validate NAME --show has; what artifact " +
			"and parity find cannot be waived: train or register another version"
	case lifecyclev1.ErrorReason_ERROR_REASON_DRAINING:
		return "the daemon is shutting down; try again when it is back"
	case lifecyclev1.ErrorReason_ERROR_REASON_REGISTRY_UNAVAILABLE:
		return "is the external registry running? its address is mlflow.tracking_uri in the daemon's configuration"
	case lifecyclev1.ErrorReason_ERROR_REASON_STORAGE_FULL:
		return "free disk space on the daemon's machine, then run the same command again"
	default:
		return ""
	}
}

// IsCancelled reports whether err says that the caller gave up: its own context was cancelled. A batch that someone
// cancelled is another matter.
func IsCancelled(err error) bool {
	d := Describe(err)
	return d.Code == codes.Canceled && d.Reason != lifecyclev1.ErrorReason_ERROR_REASON_BATCH_CANCELLED
}
