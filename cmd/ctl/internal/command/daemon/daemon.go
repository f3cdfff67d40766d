// Package daemon connects commands to a scorer daemon and turns its answers into errors with advice.
package daemon

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"

	"github.com/treeline-ml/treeline/client"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/console"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/exit"
	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
)

// Environment variables that stand in for flags.
const (
	AddrVariable      = "SCORER_ADDR"
	AdminAddrVariable = "SCORER_ADMIN_ADDR"
	ActorVariable     = "SCORER_ACTOR"
)

// Access is where the daemon is and who asks. Its fields are filled by flags.
type Access struct {
	Console *console.Console

	addr, adminAddr, actor string
}

// Flags adds the connection flags to cmd and all commands below it.
func (a *Access) Flags(cmd *cobra.Command) {
	f := cmd.PersistentFlags()
	f.StringVar(&a.addr, "addr", "", "data listener at `HOST:PORT`, or $"+AddrVariable+" (default "+client.DefaultAddr+")")
	f.StringVar(&a.adminAddr, "admin-addr", "", "admin listener at `HOST:PORT`, or $"+AdminAddrVariable+" (default "+client.DefaultAdminAddr+")")
	f.StringVar(&a.actor, "actor", "", "act as `NAME` in the audit trail, or $"+ActorVariable+" (default the user's name)")
}

// Addr is the data listener's address.
func (a *Access) Addr() string { return a.Console.Setting(a.addr, AddrVariable, client.DefaultAddr) }

// AdminAddr is the admin listener's address.
func (a *Access) AdminAddr() string {
	return a.Console.Setting(a.adminAddr, AdminAddrVariable, client.DefaultAdminAddr)
}

// Actor names who acts.
func (a *Access) Actor() string {
	if s := a.Console.Setting(a.actor, ActorVariable, ""); s != "" {
		return s
	}
	return a.Console.UserName()
}

// With runs f with a client that is connected to both listeners and describes the error that f returns.
func (a *Access) With(ctx context.Context, f func(context.Context, *client.Client) error) error {
	c, err := client.Dial(ctx, client.Options{Addr: a.Addr(), AdminAddr: a.AdminAddr(), Actor: a.Actor()})
	if err != nil {
		return Describe(err)
	}
	err = f(ctx, c)
	if closeErr := c.Close(); err == nil {
		err = closeErr
	}
	return Describe(err)
}

// Known fails with the daemon's "not found" unless a model of this name is registered: an empty list of what it has does
// not tell.
func Known(ctx context.Context, cl *client.Client, model string) error {
	_, err := cl.Registry.ListVersions(ctx, &lifecyclev1.ListVersionsRequest{ModelName: model})
	return err
}

// Describe turns an error of a call into one with the daemon's own words and advice. Errors that have an exit code
// already are left alone.
func Describe(err error) error {
	if err == nil || exit.Has(err) {
		return err
	}
	d := client.Describe(err)
	var b strings.Builder
	b.WriteString(message(d))
	if len(d.Fields) > 1 {
		for _, f := range d.Fields {
			fmt.Fprintf(&b, "\n  %s: %s", f.Name, f.Problem)
		}
	}
	if d.RequestID != "" && (d.Code == codes.Internal || d.Code == codes.Unknown) {
		fmt.Fprintf(&b, "\n  request id: %s", d.RequestID)
	}
	code := exit.Failure
	if d.Reason == lifecyclev1.ErrorReason_ERROR_REASON_GATE_FAILED {
		code = exit.Refused
	}
	return &exit.Error{Code: code, Hint: d.Hint, Err: described{text: b.String(), cause: err}}
}

// refused is how the transport words that nobody listens at an address. What the daemon itself could not reach comes with a
// reason.
var refused = regexp.MustCompile(`dial tcp (\S+): connect: ([^"]*)`)

func message(d client.Description) string {
	m := refused.FindStringSubmatch(d.Message)
	if d.Code == codes.Unavailable && d.Reason == lifecyclev1.ErrorReason_ERROR_REASON_UNSPECIFIED && m != nil {
		return fmt.Sprintf("no daemon answers at %s: %s", m[1], m[2])
	}
	return d.Message
}

// described shows the daemon's words instead of the transport's.
type described struct {
	text  string
	cause error
}

func (d described) Error() string { return d.text }
func (d described) Unwrap() error { return d.cause }
