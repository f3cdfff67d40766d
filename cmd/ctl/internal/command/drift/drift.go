// Package drift holds "ctl drift": does what is scored still look like what was trained on?
package drift

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/treeline-ml/treeline/client"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/console"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/daemon"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/exit"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/render"
	monitoringv1 "github.com/treeline-ml/treeline/gen/treeline/monitoring/v1"
)

// mostFeatures is how many features the table shows unless told otherwise.
const mostFeatures = 20

// New returns "ctl drift".
func New(c *console.Console, access *daemon.Access) *cobra.Command {
	req := &monitoringv1.CheckDriftRequest{}
	var mode string
	var all, history bool
	format := render.Table
	cmd := &cobra.Command{
		Use:   "drift NAME",
		Short: "Compare what was scored with what was trained on",
		Long: `Compare the input of a batch with the training data of the version that scored it, or with another batch.

In mode psi a feature drifts when its population stability index is above what equal distributions reach at these numbers of
rows; the input has drifted when such features carry enough of the model's gain. In mode p_value it has drifted when the p-value
of a two-sample test of any feature is below the threshold.

Exit code 0: no drift. 3: drift.`,
		Example: `  ctl drift churn
  ctl drift churn --batch 6f0c1f0e-2f7a-5c55-9b3e-0d5a8b1c2d3e --mode p_value
  ctl drift churn --history -o json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.ModelName = args[0]
			var err error
			if req.Mode, err = parseMode(mode); err != nil {
				return err
			}
			return access.With(cmd.Context(), func(ctx context.Context, cl *client.Client) error {
				if history {
					return showHistory(ctx, c, cl, args[0], format)
				}
				answer, err := cl.Monitoring.CheckDrift(ctx, req)
				if err != nil {
					return err
				}
				r := answer.GetReport()
				if format != render.Table {
					err = render.Document(c.Out, format, render.Message(r))
				} else {
					err = write(c, r, all)
				}
				if err == nil && r.GetVerdict() == monitoringv1.DriftVerdict_DRIFT_VERDICT_DRIFT {
					err = exit.Gate("see ctl trigger evaluate "+r.GetModelName()+" --dry-run, or retrain: ctl trigger fire "+r.GetModelName()+" --reason drift",
						"the input of batch %s has drifted", r.GetScoreBatchId())
				}
				return err
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&req.ScoreBatchId, "batch", "", "`ID` of the batch (default the latest that succeeded)")
	f.StringVar(&req.ReferenceBatchId, "reference", "", "compare with this batch `ID` (default the training data)")
	f.StringVar(&mode, "mode", "", "`MODE`: psi or p_value (default as the model's config.yml says)")
	f.BoolVar(&all, "all", false, "show every feature, not only the "+strconv.Itoa(mostFeatures)+" that changed most")
	f.BoolVar(&history, "history", false, "list earlier reports, check nothing")
	f.VarP(&format, "output", "o", "output format")
	return cmd
}

func parseMode(s string) (monitoringv1.DriftMode, error) {
	switch s {
	case "":
		return monitoringv1.DriftMode_DRIFT_MODE_UNSPECIFIED, nil
	case "psi":
		return monitoringv1.DriftMode_DRIFT_MODE_PSI, nil
	case "p_value":
		return monitoringv1.DriftMode_DRIFT_MODE_P_VALUE, nil
	}
	return 0, exit.Usage("use psi or p_value", "--mode %q", s)
}

func showHistory(ctx context.Context, c *console.Console, cl *client.Client, model string, format render.Format) error {
	answer, err := cl.Monitoring.ListDriftReports(ctx, &monitoringv1.ListDriftReportsRequest{ModelName: model})
	if err != nil {
		return err
	}
	if len(answer.GetReports()) == 0 {
		if err := daemon.Known(ctx, cl, model); err != nil {
			return err
		}
	}
	if format != render.Table {
		return render.Document(c.Out, format, render.Messages(answer.GetReports()))
	}
	g := render.NewGrid(c.Width, "AT (UTC)", "SCORE_BATCH_ID", "VERDICT", ">SHARE", "~REFERENCE")
	for _, r := range answer.GetReports() {
		verdict := render.Enum(r.GetVerdict()) + " (" + render.Enum(r.GetMode()) + ")"
		g.Row(render.Minute(r.GetAt()), r.GetScoreBatchId(), verdict, percent(r.GetDriftShare()), r.GetReference())
	}
	return g.Write(c.Out)
}

func write(c *console.Console, r *monitoringv1.DriftReport, all bool) error {
	head := render.NewGrid(c.Page(), "", "~")
	head.Row("model", fmt.Sprintf("%s version %d", r.GetModelName(), r.GetVersion()))
	head.Row("batch", fmt.Sprintf("%s, %s rows", r.GetScoreBatchId(), render.Count(r.GetCurrentRows())))
	head.Row("reference", fmt.Sprintf("%s, %s rows", r.GetReference(), render.Count(r.GetReferenceRows())))
	head.Row("verdict", render.Enum(r.GetVerdict()))
	head.Row("why", r.GetSummary())
	if err := head.Write(c.Out); err != nil {
		return err
	}
	features := r.GetFeatures()
	if !all && len(features) > mostFeatures {
		features = features[:mostFeatures]
	}
	top := 0.0
	for _, f := range features {
		top = max(top, f.GetPsi())
	}
	fmt.Fprintln(c.Out)
	g := render.NewGrid(c.Width, "FEATURE", ">PSI", "", ">FLOOR", ">P", "NULLS", ">GAIN", "VERDICT")
	for _, f := range features {
		g.Row(f.GetFeature(), figure(f.GetPsi()), render.Bar(f.GetPsi(), top, barWidth), figure(f.GetNoiseFloor()), probability(f.GetPValueCorrected()),
			nulls(f), percent(f.GetImportance()), render.Enum(f.GetVerdict()))
	}
	if err := g.Write(c.Out); err != nil {
		return err
	}
	if rest := len(r.GetFeatures()) - len(features); rest > 0 {
		fmt.Fprintf(c.Err, "%s changed less; --all shows them\n", render.Plural(int64(rest), "feature"))
	}
	why := render.NewGrid(c.Page(), "~")
	for _, f := range features {
		if f.GetReason() != "" && f.GetVerdict() != monitoringv1.DriftVerdict_DRIFT_VERDICT_NONE {
			why.Row(f.GetFeature() + ": " + f.GetReason())
		}
	}
	return why.Write(c.Out)
}

const barWidth = 12

func figure(v float64) string { return strconv.FormatFloat(v, 'f', 4, 64) }

func percent(v float64) string { return strconv.FormatFloat(v*100, 'f', 1, 64) + "%" }

func probability(p float64) string {
	if p < 0.0001 {
		return "<.0001"
	}
	return figure(p)
}

// nulls says how the share of nulls changed, where there are any.
func nulls(f *monitoringv1.FeatureDrift) string {
	if f.GetNullRateReference() == 0 && f.GetNullRateCurrent() == 0 {
		return "-"
	}
	return percent(f.GetNullRateReference()) + " > " + percent(f.GetNullRateCurrent())
}
