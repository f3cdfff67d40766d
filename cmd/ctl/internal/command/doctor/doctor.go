// Package doctor holds "ctl doctor": is the daemon there, does it answer on both listeners, and is it healthy?
package doctor

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/treeline-ml/treeline/client"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/console"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/daemon"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/exit"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/render"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/version"
	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
)

// New returns "ctl doctor".
func New(c *console.Console, access *daemon.Access) *cobra.Command {
	format := render.Table
	timeout := 5 * time.Second
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check that the daemon answers on both listeners and is healthy",
		Long: `Check that the daemon answers on both listeners and is healthy.

Exit code 0: every check passed. 1: some check did not.`,
		Example: `  ctl doctor
  until ctl doctor >/dev/null 2>&1; do sleep 1; done`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return access.With(cmd.Context(), func(ctx context.Context, cl *client.Client) error {
				e := examination{OK: true, Version: version.Build(), Checks: []check{}}
				e.run(ctx, timeout, access, cl)
				if err := e.write(c, format); err != nil {
					return err
				}
				return e.verdict()
			})
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", timeout, "how long each check may take")
	cmd.Flags().VarP(&format, "output", "o", "output format")
	return cmd
}

// examination is the document of "ctl doctor".
type examination struct {
	OK      bool         `json:"ok"`
	Version version.Info `json:"ctl"`
	Checks  []check      `json:"checks"`
}

type check struct {
	Check   string `json:"check"`
	Address string `json:"address"`
	OK      bool   `json:"ok"`
	Detail  string `json:"detail"`
	Nanos   int64  `json:"nanos"`
	hint    string
}

func (e *examination) run(ctx context.Context, timeout time.Duration, access *daemon.Access, cl *client.Client) {
	try := func(name, addr string, f func(context.Context) (string, error)) bool {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		begun := time.Now()
		detail, err := f(ctx)
		ch := check{Check: name, Address: addr, OK: err == nil, Detail: detail, Nanos: time.Since(begun).Nanoseconds()}
		if err != nil {
			err = daemon.Describe(err)
			ch.Detail, ch.hint = err.Error(), exit.Hint(err)
			e.OK = false
		}
		e.Checks = append(e.Checks, ch)
		return err == nil
	}
	if try("data listener", access.Addr(), func(ctx context.Context) (string, error) { return health(ctx, cl.DataHealth) }) {
		try("catalog", access.Addr(), func(ctx context.Context) (string, error) { return catalog(ctx, cl) })
	}
	if try("admin listener", access.AdminAddr(), func(ctx context.Context) (string, error) { return health(ctx, cl.AdminHealth) }) {
		try("registry", access.AdminAddr(), func(ctx context.Context) (string, error) {
			answer, err := cl.Registry.ListModels(ctx, &lifecyclev1.ListModelsRequest{})
			return render.Plural(int64(len(answer.GetModels())), "model"), err
		})
	}
}

// health asks one listener how it is. A daemon that answers "not serving" is starting or draining.
func health(ctx context.Context, h healthpb.HealthClient) (string, error) {
	answer, err := h.Check(ctx, &healthpb.HealthCheckRequest{})
	if err != nil {
		return "", err
	}
	if s := answer.GetStatus(); s != healthpb.HealthCheckResponse_SERVING {
		return "", status.Errorf(codes.Unavailable, "the daemon answers %s: it is starting or shutting down", s)
	}
	return "serving", nil
}

// catalog lists what can be scored and, where a Champion exists, the engine that scores it.
func catalog(ctx context.Context, cl *client.Client) (string, error) {
	answer, err := cl.Catalog.ListModels(ctx, &scoringv1.ListModelsRequest{})
	if err != nil {
		return "", err
	}
	champions, name := 0, ""
	for _, m := range answer.GetModels() {
		if m.GetChampionVersion() != 0 {
			champions++
			name = m.GetName()
		}
	}
	detail := fmt.Sprintf("%s, %d with a Champion", render.Plural(int64(len(answer.GetModels())), "model"), champions)
	if name == "" {
		return detail, nil
	}
	m, err := cl.Catalog.GetModel(ctx, &scoringv1.GetModelRequest{Model: &scoringv1.ModelRef{Name: name}})
	if err != nil {
		return "", err
	}
	return detail + ", engine " + m.GetLineage().GetEngineBuild(), nil
}

func (e *examination) write(c *console.Console, format render.Format) error {
	if format != render.Table {
		return render.Document(c.Out, format, e)
	}
	g := render.NewGrid(c.Width, "CHECK", "ADDRESS", "RESULT", ">TOOK", "~DETAIL")
	for _, ch := range e.Checks {
		result := "ok"
		if !ch.OK {
			result = "FAILED"
		}
		g.Row(ch.Check, ch.Address, result, render.Duration(time.Duration(ch.Nanos)), ch.Detail)
	}
	return g.Write(c.Out)
}

func (e *examination) verdict() error {
	for _, ch := range e.Checks {
		if !ch.OK {
			return exit.Hinted(fmt.Errorf("%s at %s: %s", ch.Check, ch.Address, ch.Detail), ch.hint)
		}
	}
	return nil
}
