// Package schedule holds the verbs of "ctl schedule". "next" needs no daemon.
package schedule

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/treeline-ml/treeline/client"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/console"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/daemon"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/exit"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/listing"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/render"
	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
	"github.com/treeline-ml/treeline/lifecycle/schedule"
)

// New returns "ctl schedule" with its verbs.
func New(c *console.Console, access *daemon.Access) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "schedule",
		Short: "List, preview, pause and resume schedules",
		Long:  `List, preview, pause and resume the Quartz schedules that the models' config.yml files set for training and batch inference.`,
		Example: `  ctl schedule list
  ctl schedule next "0 0 3 ? * SUN" --timezone America/New_York`,
	}
	cmd.AddCommand(newList(c, access), newNext(c), newPause(c, access), newResume(c, access))
	return cmd
}

func newList(c *console.Console, access *daemon.Access) *cobra.Command {
	return listing.Spec[*lifecyclev1.Schedule]{
		Short: "List the schedules with their next time and what the last one did",
		Example: `  ctl schedule list
  ctl schedule list churn -o json`,
		Model: listing.OptionalModel,
		Whole: true,
		Fetch: func(ctx context.Context, cl *client.Client, p listing.Page) ([]*lifecyclev1.Schedule, string, error) {
			a, err := cl.Schedules.ListSchedules(ctx, &lifecyclev1.ListSchedulesRequest{ModelName: p.Model})
			return a.GetSchedules(), "", err
		},
		Header: header(),
		Cells:  cells,
	}.Command(c, access)
}

func header() []string { return []string{"MODEL", "JOB", "NEXT (UTC)", "~WHEN", "~LAST"} }

func cells(s *lifecyclev1.Schedule) []any {
	last := "-"
	if s.GetLastAt() != nil {
		last = render.Minute(s.GetLastAt()) + " " + s.GetLastOutcome()
	}
	if s.GetPaused() {
		last = "paused: " + render.OrDash(s.GetPauseReason())
	}
	return []any{
		s.GetModelName(), s.GetJob(), render.Minute(s.GetNextAt()), s.GetQuartzCronExpression() + " " + s.GetTimezoneId() + ", " + s.GetDescription(), last,
	}
}

// preview is the document of "ctl schedule next".
type preview struct {
	Expression  string   `json:"quartz_cron_expression"`
	Timezone    string   `json:"timezone_id"`
	Description string   `json:"description"`
	Times       []string `json:"times"`
}

// mostTimes bounds what "ctl schedule next" lists.
const mostTimes = 1000

func newNext(c *console.Console) *cobra.Command {
	count := 10
	var zone, after string
	format := render.Table
	cmd := &cobra.Command{
		Use:   "next EXPR",
		Short: "List the next times of a Quartz expression",
		Long: `List the next times of a Quartz expression: second, minute, hour, day of month, month, day of week and perhaps year, one of the
two days being ?. Times are local to the zone: a time that daylight saving leaves out comes at the first instant after the
gap, one that it repeats comes once unless hour, minute or second count on. No daemon is needed.`,
		Example: `  ctl schedule next "0 0 3 ? * SUN" --timezone America/New_York
  ctl schedule next "0 30 6 L * ?" -n 3 --after 2026-03-01T00:00:00Z`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if count < 1 || count > mostTimes {
				return exit.Usage(fmt.Sprintf("give a number from 1 to %d", mostTimes), "--number %d", count)
			}
			from := time.Now()
			if after != "" {
				var err error
				if from, err = time.Parse(time.RFC3339, after); err != nil {
					return exit.Usage("write it as 2026-03-01T00:00:00Z", "--after %q is not an RFC 3339 time", after)
				}
			}
			p, err := next(args[0], zone, from, count)
			if err != nil {
				return err
			}
			if format != render.Table {
				return render.Document(c.Out, format, p)
			}
			return write(c, p)
		},
	}
	f := cmd.Flags()
	f.StringVar(&zone, "timezone", "UTC", "IANA `ZONE` that the expression is local to")
	f.StringVar(&after, "after", "", "list the times after `TIME`, as 2026-03-01T00:00:00Z (default now)")
	f.IntVarP(&count, "number", "n", count, "list the next `N`")
	f.VarP(&format, "output", "o", "output format")
	return cmd
}

// fields says what an expression looks like, for errors.
const fields = "six or seven fields: second minute hour day-of-month month day-of-week [year]; one of the two days is ?"

func next(expression, zone string, from time.Time, count int) (preview, error) {
	cron, err := schedule.Parse(expression)
	if err != nil {
		return preview{}, exit.Hinted(err, fields)
	}
	location, err := schedule.Location(zone)
	if err != nil {
		return preview{}, exit.Hinted(err, "use an IANA name such as Europe/Berlin")
	}
	p := preview{Expression: cron.String(), Timezone: location.String(), Description: cron.Describe(), Times: []string{}}
	for range count {
		at, ok := cron.Next(from, location)
		if !ok {
			break
		}
		p.Times = append(p.Times, at.In(location).Format(time.RFC3339))
		from = at
	}
	return p, nil
}

func write(c *console.Console, p preview) error {
	if _, err := fmt.Fprintf(c.Out, "%s (%s)\n", p.Description, p.Timezone); err != nil {
		return err
	}
	if len(p.Times) == 0 {
		_, err := fmt.Fprintln(c.Out, "it never comes again")
		return err
	}
	g := render.NewGrid(c.Width, "LOCAL", "DAY", "UTC")
	for _, text := range p.Times {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return err
		}
		g.Row(text, at.Weekday().String()[:3], at.UTC().Format(time.RFC3339))
	}
	return g.Write(c.Out)
}
