package daemon

import (
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestWhoDoesNotAnswer: a registry that the daemon cannot reach is not taken for a daemon that does not answer.
func TestWhoDoesNotAnswer(t *testing.T) {
	transport := status.New(codes.Unavailable, `connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:1: connect: connection refused"`)
	if got := Describe(transport.Err()).Error(); got != "no daemon answers at 127.0.0.1:1: connection refused" {
		t.Error(got)
	}
	said, err := status.New(codes.Unavailable, "mlflow: server not available: dial tcp 127.0.0.1:5000: connect: connection refused").
		WithDetails(&errdetails.ErrorInfo{Domain: "treeline", Reason: "ERROR_REASON_REGISTRY_UNAVAILABLE"})
	if err != nil {
		t.Fatal(err)
	}
	if got := Describe(said.Err()).Error(); !strings.HasPrefix(got, "mlflow: server not available") {
		t.Error(got)
	}
}
