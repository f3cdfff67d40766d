// Package listing is the one shape of all verbs that list things: an optional or required model, the newest N of what the
// daemon has page by page, a table for people and documents for programs.
package listing

import (
	"context"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/treeline-ml/treeline/client"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/console"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/daemon"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/exit"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/render"
)

// Model says whether the verb takes the name of a model.
type Model int

// The choices.
const (
	NoModel Model = iota
	OptionalModel
	RequiredModel
)

// Page is one request of a listing.
type Page struct {
	Model string // "" means all
	Size  int32
	Token string
}

// Spec describes one verb. R is the message of a row.
type Spec[R proto.Message] struct {
	Verb    string // "list" when empty
	Short   string
	Long    string
	Example string
	Model   Model
	// Whole: the daemon answers with everything at once, there is no newest N.
	Whole bool
	// Flags adds flags of the verb's own; may be nil.
	Flags func(*cobra.Command)
	// Fetch returns a page and the token of the next one, "" at the end.
	Fetch func(ctx context.Context, cl *client.Client, p Page) ([]R, string, error)
	// Header is that of the table, as render.NewGrid takes it, and Cells a row of it.
	Header []string
	Cells  func(R) []any
	// After may say more below the table, on standard error; may be nil.
	After func(c *console.Console, rows []R)
}

// most is the most that the daemon returns at once.
const most = 1000

// Command returns the verb.
func (s Spec[R]) Command(c *console.Console, access *daemon.Access) *cobra.Command {
	limit := 100
	format := render.Table
	verb := s.Verb
	if verb == "" {
		verb = "list"
	}
	cmd := &cobra.Command{Use: verb, Short: s.Short, Long: s.Long, Example: s.Example, Args: cobra.NoArgs}
	switch s.Model {
	case OptionalModel:
		cmd.Use, cmd.Args = verb+" [NAME]", cobra.MaximumNArgs(1)
	case RequiredModel:
		cmd.Use, cmd.Args = verb+" NAME", cobra.ExactArgs(1)
	case NoModel:
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if limit < 1 {
			return exit.Usage("give a positive number", "--number %d", limit)
		}
		var model string
		if len(args) == 1 {
			model = args[0]
		}
		return access.With(cmd.Context(), func(ctx context.Context, cl *client.Client) error {
			rows, err := s.all(ctx, cl, model, limit)
			if err != nil {
				return err
			}
			// An empty list of what a model has does not tell that there is no such model.
			if len(rows) == 0 && model != "" {
				if err := daemon.Known(ctx, cl, model); err != nil {
					return err
				}
			}
			if format != render.Table {
				return render.Document(c.Out, format, render.Messages(rows))
			}
			return s.write(c, rows)
		})
	}
	if s.Flags != nil {
		s.Flags(cmd)
	}
	if !s.Whole {
		cmd.Flags().IntVarP(&limit, "number", "n", limit, "list the newest `N`")
	}
	cmd.Flags().VarP(&format, "output", "o", "output format")
	return cmd
}

// all fetches pages until there are limit rows or no more.
func (s Spec[R]) all(ctx context.Context, cl *client.Client, model string, limit int) ([]R, error) {
	var out []R
	p := Page{Model: model}
	for {
		p.Size = int32(min(limit-len(out), most))
		rows, next, err := s.Fetch(ctx, cl, p)
		if err != nil {
			return nil, err
		}
		out = append(out, rows...)
		switch {
		case s.Whole:
			return out, nil
		case len(out) >= limit || next == "":
			return out[:min(len(out), limit)], nil
		}
		p.Token = next
	}
}

func (s Spec[R]) write(c *console.Console, rows []R) error {
	g := render.NewGrid(c.Width, s.Header...)
	for _, r := range rows {
		g.Row(s.Cells(r)...)
	}
	if err := g.Write(c.Out); err != nil {
		return err
	}
	if s.After != nil {
		s.After(c, rows)
	}
	return nil
}
