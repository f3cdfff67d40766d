package gate

import (
	"fmt"
	"strings"
)

// maxExplained bounds the gates that an explanation goes into, so that it stays within six sentences or so.
const maxExplained = 4

// explain says in a few sentences why a version is blocked and what to do, or that it passed.
func explain(model string, v int64, gates []Result) string {
	var blocking, waived, reported, required []Result
	for _, g := range gates {
		switch {
		case g.Outcome == Waived:
			waived = append(waived, g)
		case g.Required && g.Outcome != Pass:
			blocking = append(blocking, g)
		case !g.Required && g.Outcome == Fail:
			reported = append(reported, g)
		}
		if g.Required {
			required = append(required, g)
		}
	}
	var out []string
	if blocking == nil {
		out = append(out, fmt.Sprintf("Version %d of %s passed its %d required gates.", v, model, len(required)-len(waived)))
		if waived != nil {
			out = append(out, fmt.Sprintf("%s waived %s: %s", sentence(waived[0].WaivedBy)[:len(sentence(waived[0].WaivedBy))-1],
				names(waived), sentence(waived[0].WaivedReason)))
		}
	}
	for i, g := range blocking {
		if i == maxExplained-1 && len(blocking) > maxExplained {
			out = append(out, fmt.Sprintf("%d more gates stand in the way: %s.", len(blocking)-i, names(blocking[i:])))
			break
		}
		out = append(out, words(g))
	}
	if blocking != nil && blocking[0].Hint != "" {
		out = append(out, "What to do: "+blocking[0].Hint+".")
	}
	if blocking == nil && reported != nil {
		out = append(out, "Reported only: "+words(reported[0]))
	}
	return strings.Join(out, " ")
}

// words is what a gate has to say, as a sentence by itself.
func words(g Result) string {
	switch {
	case g.Outcome == Inconclusive:
		return fmt.Sprintf("The %s gate could not tell: %s", g.Gate, sentence(g.Summary))
	case g.Gate == Artifact || g.Gate == Parity:
		return fmt.Sprintf("The %s gate failed: %s", g.Gate, sentence(g.Summary))
	default:
		return sentence(g.Summary)
	}
}

func names(gates []Result) string {
	var out []string
	for _, g := range gates {
		out = append(out, g.Gate)
	}
	return strings.Join(out, ", ")
}
