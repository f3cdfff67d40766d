package promotion

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/console"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/exit"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/render"
	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
)

// outcome is a gate's verdict, and that it decides nothing where it does not.
func outcome(g *lifecyclev1.GateResult) string {
	s := render.Enum(g.GetOutcome())
	if !required(g) {
		s += " (report only)"
	}
	return s
}

func required(g *lifecyclev1.GateResult) bool { return g.GetRequired() || integrity(g.GetGate()) }

// passed reports whether a gate has nothing to say against a version.
func passed(o lifecyclev1.GateOutcome) bool {
	return o == lifecyclev1.GateOutcome_GATE_OUTCOME_PASS || o == lifecyclev1.GateOutcome_GATE_OUTCOME_WAIVED
}

// writeReport shows a report: the verdicts, why, the figures behind them, and the slices and features that matter.
func writeReport(c *console.Console, r *lifecyclev1.ValidationReport, details bool) error {
	v := r.GetVersion()
	if _, err := fmt.Fprintf(c.Out, "%s version %d: %s\n", v.GetModelName(), v.GetVersion(), render.Enum(v.GetStage())); err != nil {
		return err
	}
	g := render.NewGrid(c.Page(), "GATE", "OUTCOME", "~SUMMARY")
	for _, gate := range r.GetGates() {
		g.Row(gate.GetGate(), outcome(gate), gate.GetSummary())
		if gate.GetWaivedBy() != "" {
			g.Row("", "", "waived by "+gate.GetWaivedBy()+": "+gate.GetWaivedReason())
		}
	}
	if err := g.Write(c.Out); err != nil {
		return err
	}
	if r.GetExplanation() != "" {
		e := render.NewGrid(c.Page(), "~")
		e.Row(r.GetExplanation())
		fmt.Fprintln(c.Out)
		if err := e.Write(c.Out); err != nil {
			return err
		}
	}
	if err := writeFigures(c, r, details); err != nil {
		return err
	}
	for _, gate := range r.GetGates() {
		if err := writeDetails(c, gate, details); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(c.Out, "evidence %s, %s\n", render.Digest(r.GetEvidenceDigest()), render.Time(r.GetValidatedAt()))
	return err
}

// integrity are the gates whose evidence is of interest only when they object: digests and counts.
func integrity(gate string) bool { return gate == "artifact" || gate == "parity" }

func writeFigures(c *console.Console, r *lifecyclev1.ValidationReport, details bool) error {
	g := render.NewGrid(c.Page(), "GATE", "FIGURE", "~VALUE")
	for _, gate := range r.GetGates() {
		if integrity(gate.GetGate()) && passed(gate.GetOutcome()) && !details {
			continue
		}
		label := gate.GetGate()
		for _, key := range slices.Sorted(maps.Keys(gate.GetEvidence())) {
			g.Row(label, key, short(gate.GetEvidence()[key]))
			label = ""
		}
	}
	if g.Len() == 0 {
		return nil
	}
	fmt.Fprintln(c.Out)
	return g.Write(c.Out)
}

// short is a figure for a table: six significant digits, or the beginning of a digest. The JSON document has all of it.
func short(figure string) string {
	if strings.HasPrefix(figure, "sha256:") {
		return render.Digest(figure)
	}
	if _, err := strconv.ParseInt(figure, 10, 64); err == nil {
		return figure // a count
	}
	v, err := strconv.ParseFloat(figure, 64)
	if err != nil {
		return figure
	}
	return strconv.FormatFloat(v, 'g', 6, 64)
}

// How many columns of figures stand beside a name: few enough for a sentence beside them, or more with --details. The JSON
// document has all of them.
const (
	fewFigures  = 3
	mostFigures = 6
)

// telling are the figures that say most, before all others.
func telling() []string {
	return []string{"psi", "noise_floor", "importance", "auc", "reference_auc", "drop"}
}

// columnsOf orders the names of figures and takes the first few.
func columnsOf(names map[string]bool, most int) []string {
	var out []string
	for _, n := range append(telling(), slices.Sorted(maps.Keys(names))...) {
		if names[n] && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out[:min(len(out), most)]
}

// writeDetails shows the slices or features of a gate: those that it objects to, or all.
func writeDetails(c *console.Console, gate *lifecyclev1.GateResult, all bool) error {
	var rows []*lifecyclev1.GateDetail
	names := map[string]bool{}
	for _, d := range gate.GetDetails() {
		if all || !passed(d.GetOutcome()) && d.GetOutcome() != lifecyclev1.GateOutcome_GATE_OUTCOME_UNSPECIFIED {
			rows = append(rows, d)
			for n := range d.GetFigures() {
				names[n] = true
			}
		}
	}
	if len(rows) == 0 {
		return nil
	}
	most := fewFigures
	if all {
		most = mostFigures
	}
	columns := columnsOf(names, most)
	header := []string{strings.ToUpper(gate.GetGate()), "OUTCOME"}
	for _, n := range columns {
		header = append(header, ">"+strings.ToUpper(n))
	}
	g := render.NewGrid(c.Page(), append(header, "~SUMMARY")...)
	for _, d := range rows {
		cells := []any{d.GetName(), render.Enum(d.GetOutcome())}
		for _, n := range columns {
			cells = append(cells, figure(d.GetFigures(), n))
		}
		g.Row(append(cells, d.GetSummary())...)
	}
	fmt.Fprintln(c.Out)
	return g.Write(c.Out)
}

func figure(figures map[string]float64, name string) string {
	v, ok := figures[name]
	if !ok {
		return "-"
	}
	return strconv.FormatFloat(v, 'g', 5, 64)
}

// refusal is the gates' "no" with their own advice.
func refusal(r *lifecyclev1.ValidationReport) error {
	var said, hints []string
	for _, gate := range r.GetGates() {
		if passed(gate.GetOutcome()) || !required(gate) {
			continue
		}
		said = append(said, gate.GetGate()+" ("+render.Enum(gate.GetOutcome())+")")
		if gate.GetHint() != "" {
			hints = append(hints, gate.GetHint())
		}
	}
	return exit.Gate(strings.Join(hints, "; "), "version %d did not pass: %s", r.GetVersion().GetVersion(), strings.Join(said, ", "))
}
