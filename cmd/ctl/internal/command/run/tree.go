package run

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/console"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/render"
	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
)

// models are the names in the order of the graph.
func models(r *lifecyclev1.Run) []string {
	var out []string
	for _, n := range r.GetNodes() {
		if !slices.Contains(out, n.GetModelName()) {
			out = append(out, n.GetModelName())
		}
	}
	return out
}

// glyph is a state in one character.
func glyph(s lifecyclev1.RunState) string {
	switch s {
	case lifecyclev1.RunState_RUN_STATE_RUNNING:
		return "▶"
	case lifecyclev1.RunState_RUN_STATE_SUCCEEDED:
		return "✓"
	case lifecyclev1.RunState_RUN_STATE_FAILED:
		return "✗"
	case lifecyclev1.RunState_RUN_STATE_CANCELLED:
		return "■"
	case lifecyclev1.RunState_RUN_STATE_SKIPPED:
		return "-"
	case lifecyclev1.RunState_RUN_STATE_AWAITING_APPROVAL:
		return "?"
	default:
		return "·"
	}
}

// elapsed is the time between two instants, up to now when the second is missing, "" when the first is.
func elapsed(from, to *timestamppb.Timestamp) string {
	if from == nil {
		return ""
	}
	end := time.Now()
	if to != nil {
		end = to.AsTime()
	}
	d := max(0, end.Sub(from.AsTime()))
	if to == nil {
		return d.Round(time.Second).String()
	}
	return render.Duration(d)
}

// tree draws the models of a run with their steps, one line each, at most width columns wide (0: no limit).
func tree(r *lifecyclev1.Run, width int) []string {
	var out []string
	for _, name := range models(r) {
		var nodes []*lifecyclev1.RunNode
		for _, n := range r.GetNodes() {
			if n.GetModelName() == name {
				nodes = append(nodes, n)
			}
		}
		out = append(out, line(name+after(r, nodes), width))
		for i, n := range nodes {
			branch := "├─"
			if i == len(nodes)-1 {
				branch = "└─"
			}
			text := fmt.Sprintf("%s %s %-8s %8s  %s", branch, glyph(n.GetState()), render.Enum(n.GetStep()),
				took(n), message(n))
			out = append(out, line(strings.TrimRight(text, " "), width))
		}
	}
	return out
}

// after names the other models that a model waits for.
func after(r *lifecyclev1.Run, nodes []*lifecyclev1.RunNode) string {
	var names []string
	for _, n := range nodes {
		for _, d := range n.GetDependsOn() {
			for _, other := range r.GetNodes() {
				if other.GetId() == d && other.GetModelName() != n.GetModelName() && !slices.Contains(names, other.GetModelName()) {
					names = append(names, other.GetModelName())
				}
			}
		}
	}
	if len(names) == 0 {
		return ""
	}
	return " (after " + strings.Join(names, ", ") + ")"
}

// message is what a node says, or its state where it says nothing.
func message(n *lifecyclev1.RunNode) string {
	switch {
	case n.GetMessage() != "":
		return n.GetMessage()
	case n.GetState() == lifecyclev1.RunState_RUN_STATE_PENDING:
		return ""
	}
	return render.Enum(n.GetState())
}

// line makes a text one safe line of at most width columns.
func line(s string, width int) string {
	s = strings.Join(strings.Split(strings.ReplaceAll(render.Lines(s), "\t", " "), "\n"), " ")
	if width > 0 && utf8.RuneCountInString(s) > width {
		return string([]rune(s)[:width-1]) + "…"
	}
	return s
}

// write shows a run: a document, or its tree with whole messages.
func write(c *console.Console, r *lifecyclev1.Run, format render.Format) error {
	if format != render.Table {
		return render.Document(c.Out, format, render.Message(r))
	}
	g := render.NewGrid(c.Page(), "", "~")
	g.Row("run_id", r.GetRunId())
	g.Row("state", render.Enum(r.GetState()))
	by := render.OrDash(r.GetActor()) + ", " + r.GetTrigger()
	if r.GetReason() != "" {
		by += ": " + r.GetReason()
	}
	g.Row("asked for by", by)
	g.Row("date", render.OrDash(r.GetComputeDate()))
	g.Row("started", render.Time(r.GetStartedAt()))
	if r.GetFinishedAt() != nil {
		g.Row("took", elapsed(r.GetStartedAt(), r.GetFinishedAt()))
	}
	if text := failure(r); text != "" {
		g.Row("error", text)
	}
	if err := g.Write(c.Out); err != nil {
		return err
	}
	steps := render.NewGrid(c.Page(), "MODEL", "STEP", "", "STATE", ">TOOK", "~MESSAGE")
	last := ""
	for _, n := range r.GetNodes() {
		name := n.GetModelName()
		if name == last {
			name = ""
		}
		last = n.GetModelName()
		steps.Row(name, render.Enum(n.GetStep()), glyph(n.GetState()), render.Enum(n.GetState()), took(n), n.GetMessage())
	}
	return steps.Write(c.Out)
}

// failure is the error of a run. What a node says is not repeated: it stands beside that node.
func failure(r *lifecyclev1.Run) string {
	text := r.GetError()
	for _, n := range r.GetNodes() {
		if n.GetMessage() != "" {
			text = strings.TrimSuffix(text, ": "+n.GetMessage())
		}
	}
	return text
}

// took is how long a node has run. One that was left out did not run.
func took(n *lifecyclev1.RunNode) string {
	if n.GetState() == lifecyclev1.RunState_RUN_STATE_SKIPPED {
		return ""
	}
	return elapsed(n.GetStartedAt(), n.GetFinishedAt())
}

// plainWidth is the longest message in a line of the progress; the report at the end has the whole.
const plainWidth = 100

// plain writes a line for each node that changed since before.
func plain(w io.Writer, before, now *lifecyclev1.Run) {
	was := map[string]*lifecyclev1.RunNode{}
	for _, n := range before.GetNodes() {
		was[n.GetId()] = n
	}
	for _, n := range now.GetNodes() {
		old, known := was[n.GetId()]
		if known && old.GetState() == n.GetState() && old.GetMessage() == n.GetMessage() ||
			!known && n.GetState() == lifecyclev1.RunState_RUN_STATE_PENDING {
			continue
		}
		text := n.GetId() + ": " + render.Enum(n.GetState())
		if t := took(n); t != "" && n.GetFinishedAt() != nil {
			text += " in " + t
		}
		if n.GetMessage() != "" {
			text += ": " + render.Brief(n.GetMessage(), plainWidth)
		}
		fmt.Fprintln(w, line(text, 0))
	}
}
