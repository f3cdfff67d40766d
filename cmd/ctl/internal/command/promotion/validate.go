package promotion

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/treeline-ml/treeline/client"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/console"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/daemon"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/exit"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/render"
	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
)

// everyGate stands for all gates in --waive.
const everyGate = "all"

// validation is one run of "ctl validate".
type validation struct {
	model, actor, reason string
	version              int64
	waive                []string
	show, details        bool
}

// NewValidate returns "ctl validate".
func NewValidate(c *console.Console, access *daemon.Access) *cobra.Command {
	var v validation
	format := render.Table
	cmd := &cobra.Command{
		Use:   "validate NAME",
		Short: "Run the gates that stand between trained and validated",
		Long: `Run the gates that stand between trained and validated, and say in words why a version is blocked.

artifact and parity are always required: the stored bytes are the registered ones, every tree loads, and the golden rows score
bit for bit as the training library scored them. The model's config.yml says what else is required: auc_floor,
champion_challenger, slices, calibration, feature_stability, no_drift, and a validator of its own.

--waive accepts a version in spite of gates, in your name and with a reason; artifact and parity cannot be waived.
Exit code 0: the version is validated. 3: a gate said no.`,
		Example: `  ctl validate churn
  ctl validate churn --version 4 -o json
  ctl validate churn --show --details
  ctl validate churn --waive slices,calibration --reason "known shift in region 7, agreed with risk"`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			v.model, v.actor = args[0], access.Actor()
			if err := v.check(cmd); err != nil {
				return err
			}
			return access.With(cmd.Context(), func(ctx context.Context, cl *client.Client) error {
				report, err := v.run(ctx, c, cl)
				if err != nil {
					return err
				}
				if format != render.Table {
					err = render.Document(c.Out, format, render.Message(report))
				} else {
					err = writeReport(c, report, v.details)
				}
				if err == nil && !report.GetPassed() {
					err = refusal(report)
				}
				return err
			})
		},
	}
	f := cmd.Flags()
	f.Var((*daemon.Version)(&v.version), "version", "`VERSION` to validate (default the newest trained one)")
	f.BoolVar(&v.show, "show", false, "show the stored report of the version, run nothing")
	f.BoolVar(&v.details, "details", false, "show every slice and feature, not only those that a gate objects to")
	f.StringSliceVar(&v.waive, "waive", nil, "accept the version in spite of these `GATES`, or all; with --reason")
	f.StringVar(&v.reason, "reason", "", "`WHY` the gates are waived, for the audit trail")
	f.VarP(&format, "output", "o", "output format")
	return cmd
}

// check finds flags that do not go together.
func (v *validation) check(cmd *cobra.Command) error {
	waiving := cmd.Flags().Changed("waive")
	switch {
	case waiving && v.show:
		return exit.Usage("use one of them", "--show and --waive")
	case waiving && len(v.waive) == 0:
		return exit.Usage("name gates, or all", "--waive is empty")
	case waiving:
		return daemon.CheckReason(v.reason)
	case cmd.Flags().Changed("reason"):
		return exit.Usage("name the gates with --waive", "--reason without --waive")
	}
	return nil
}

func (v *validation) run(ctx context.Context, c *console.Console, cl *client.Client) (*lifecyclev1.ValidationReport, error) {
	switch {
	case v.show:
		answer, err := cl.Validation.GetReport(ctx, &lifecyclev1.GetReportRequest{ModelName: v.model, Version: v.version})
		return answer.GetReport(), err
	case len(v.waive) > 0:
		req := &lifecyclev1.WaiveRequest{ModelName: v.model, Version: v.version, Gates: v.waive, Reason: v.reason, Actor: v.actor}
		if len(v.waive) == 1 && v.waive[0] == everyGate {
			req.Gates = nil
		}
		answer, err := cl.Validation.Waive(ctx, req)
		return answer.GetReport(), err
	}
	return v.stream(ctx, c, cl)
}

// stream validates and reports each gate on standard error.
func (v *validation) stream(ctx context.Context, c *console.Console, cl *client.Client) (*lifecyclev1.ValidationReport, error) {
	req := &lifecyclev1.StreamValidateRequest{ModelName: v.model, Version: v.version, Actor: v.actor}
	open := "" // a gate whose line is not ended
	end := func() {
		if open != "" && c.ErrTTY {
			fmt.Fprintln(c.Err)
		}
		open = ""
	}
	var report *lifecyclev1.ValidationReport
	for e, err := range cl.StreamValidate(ctx, req) {
		if err != nil {
			end()
			return nil, err
		}
		switch e := e.GetEvent().(type) {
		case *lifecyclev1.StreamValidateResponse_Started:
			end()
			open = e.Started
			if c.ErrTTY {
				fmt.Fprintf(c.Err, "%s ...", open)
			}
		case *lifecyclev1.StreamValidateResponse_Gate:
			if c.ErrTTY && open != "" {
				fmt.Fprint(c.Err, "\r\x1b[K")
			}
			open = ""
			fmt.Fprintf(c.Err, "%s: %s\n", e.Gate.GetGate(), outcome(e.Gate))
		case *lifecyclev1.StreamValidateResponse_Report:
			end()
			report = e.Report
		}
	}
	if report == nil {
		return nil, exit.Hinted(errors.New("the daemon ended the stream without a report"), "see what it stored: ctl validate "+v.model+" --show")
	}
	return report, nil
}
