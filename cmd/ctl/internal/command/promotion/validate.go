package promotion

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/treeline-ml/treeline/client"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/console"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/daemon"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/exit"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/render"
	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
)

// NewValidate returns "ctl validate".
func NewValidate(c *console.Console, access *daemon.Access) *cobra.Command {
	req := &lifecyclev1.ValidateRequest{}
	format := render.Table
	cmd := &cobra.Command{
		Use:   "validate NAME",
		Short: "Run the gates that stand between trained and validated",
		Long: `Run the gates that stand between trained and validated: artifact (the stored bytes are the registered ones, and every tree
loads) and parity (the golden rows score bit for bit as the training library scored them).

Exit code 0: the version is validated. 3: a gate said no.`,
		Example: `  ctl validate churn
  ctl validate churn --version 4 -o json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.ModelName, req.Actor = args[0], access.Actor()
			return access.With(cmd.Context(), func(ctx context.Context, cl *client.Client) error {
				answer, err := cl.Validation.Validate(ctx, req)
				if err != nil {
					return err
				}
				report := answer.GetReport()
				if format != render.Table {
					err = render.Document(c.Out, format, render.Message(report))
				} else {
					err = writeReport(c, report)
				}
				if err == nil && !report.GetPassed() {
					err = refusal(report)
				}
				return err
			})
		},
	}
	f := cmd.Flags()
	f.Var((*daemon.Version)(&req.Version), "version", "`VERSION` to validate (default the newest trained one)")
	f.VarP(&format, "output", "o", "output format")
	return cmd
}

func writeReport(c *console.Console, r *lifecyclev1.ValidationReport) error {
	v := r.GetVersion()
	if _, err := fmt.Fprintf(c.Out, "%s version %d: %s\n", v.GetModelName(), v.GetVersion(), render.Enum(v.GetStage())); err != nil {
		return err
	}
	g := render.NewGrid(c.Width, "GATE", "OUTCOME", "~SUMMARY")
	for _, gate := range r.GetGates() {
		g.Row(gate.GetGate(), render.Enum(gate.GetOutcome()), gate.GetSummary())
	}
	if err := g.Write(c.Out); err != nil {
		return err
	}
	// What a gate saw is shown only where it said no: otherwise the table is what one wants to read.
	for _, gate := range r.GetGates() {
		if gate.GetOutcome() == lifecyclev1.GateOutcome_GATE_OUTCOME_PASS {
			continue
		}
		fmt.Fprintf(c.Out, "\nwhat %s saw\n", gate.GetGate())
		for _, key := range slices.Sorted(maps.Keys(gate.GetEvidence())) {
			fmt.Fprintf(c.Out, "  %s: %s\n", key, gate.GetEvidence()[key])
		}
	}
	_, err := fmt.Fprintf(c.Out, "evidence %s, %s\n", render.Digest(r.GetEvidenceDigest()), render.Time(r.GetValidatedAt()))
	return err
}

// refusal is the gates' "no" with their own advice.
func refusal(r *lifecyclev1.ValidationReport) error {
	var said, hints []string
	for _, gate := range r.GetGates() {
		switch gate.GetOutcome() {
		case lifecyclev1.GateOutcome_GATE_OUTCOME_PASS, lifecyclev1.GateOutcome_GATE_OUTCOME_WAIVED:
			continue
		}
		said = append(said, gate.GetGate()+" ("+render.Enum(gate.GetOutcome())+")")
		if gate.GetHint() != "" {
			hints = append(hints, gate.GetHint())
		}
	}
	return exit.Gate(strings.Join(hints, "; "), "version %d did not pass: %s", r.GetVersion().GetVersion(), strings.Join(said, ", "))
}
