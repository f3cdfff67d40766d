package model

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/treeline-ml/treeline/client"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/console"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/daemon"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/exit"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/render"
	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
)

func newCompare(c *console.Console, access *daemon.Access) *cobra.Command {
	all := false
	format := render.Table
	cmd := &cobra.Command{
		Use:   "compare NAME V [W]",
		Short: "Put two versions side by side",
		Long: `Put two versions of a model side by side: stage, structure, features, parameters, metrics and what the gates said. The second
one is the Champion unless it is named. What is equal is left out, unless --all is given.`,
		Example: `  ctl model compare churn 5
  ctl model compare churn 5 4 --all -o json`,
		Args: cobra.RangeArgs(2, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			req := &lifecyclev1.CompareVersionsRequest{ModelName: args[0]}
			for i, into := range []*int64{&req.Version, &req.OtherVersion} {
				if i+1 < len(args) {
					if err := (*daemon.Version)(into).Set(args[i+1]); err != nil {
						return exit.Usage("list the versions with: ctl model versions "+args[0], "%q: %w", args[i+1], err)
					}
				}
			}
			return access.With(cmd.Context(), func(ctx context.Context, cl *client.Client) error {
				answer, err := cl.Registry.CompareVersions(ctx, req)
				if err != nil {
					return err
				}
				if format != render.Table {
					return render.Document(c.Out, format, render.Message(answer))
				}
				return writeComparison(c, answer, all)
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "show what is equal, too")
	cmd.Flags().VarP(&format, "output", "o", "output format")
	return cmd
}

func writeComparison(c *console.Console, r *lifecyclev1.CompareVersionsResponse, all bool) error {
	title := func(v *lifecyclev1.ModelVersion) string {
		return fmt.Sprintf("~%s (%s)", render.Version(v.GetVersion()), render.Enum(v.GetStage()))
	}
	g := render.NewGrid(c.Page(), "", "FIELD", title(r.GetVersion()), title(r.GetOther()))
	equal := 0
	for _, d := range r.GetDifferences() {
		mark, one, other := "!", cell(d.GetField(), d.GetValue()), cell(d.GetField(), d.GetOtherValue())
		same := d.GetEqual() || isGate(d.GetField()) && one == other
		if same {
			equal++
			mark = ""
		}
		if all || !same {
			g.Row(mark, d.GetField(), one, other)
		}
	}
	if g.Len() > 0 {
		if err := g.Write(c.Out); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(c.Out, "%s differ, %d equal\n", render.Plural(int64(len(r.GetDifferences())-equal), "field"), equal)
	return err
}

// hexadecimal are ids of runs and commits.
var hexadecimal = regexp.MustCompile(`^[0-9a-f]{32,}$`)

func isGate(field string) bool { return strings.HasPrefix(field, "gates.") }

// cell is a value for the table: a gate's outcome without its sentences, which ctl validate --show has, six significant
// digits of a figure, the beginning of a digest or an id.
func cell(field, value string) string {
	switch {
	case value == "":
		return "-"
	case isGate(field):
		outcome, _, _ := strings.Cut(value, ":")
		return outcome
	case strings.HasPrefix(field, "metrics."):
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			return strconv.FormatFloat(v, 'g', 6, 64)
		}
	case strings.HasPrefix(value, "sha256:"), hexadecimal.MatchString(value):
		return render.Digest(value)
	}
	return value
}
