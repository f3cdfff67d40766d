package engine

import "fmt"

// DeepInfo is for benchmarks.
func DeepInfo(p *Program) string {
	switch m := p.machine.(type) {
	case *machine[float64]:
		return deepInfo(m.groups)
	case *machine[float32]:
		return deepInfo(m.groups)
	}
	return ""
}

func deepInfo[F float](groups []group[F]) (s string) {
	for i := range groups {
		if groups[i].deep != nil {
			s += groups[i].deep.info()
		}
	}
	return s
}

func (g *deepGroup[F]) info() string {
	s := ""
	for i := range g.parts {
		p := &g.parts[i]
		s += fmt.Sprintf("part %d trees %d columns %d width %d leaves %d", i, len(p.trees), len(p.plan.columns), p.width, len(p.leaves))
		if p.blocks != nil {
			s += fmt.Sprintf(" blocks shifted %v bytes %d", p.blocks.shifted, p.bytes())
		}
		if p.nodes != nil {
			s += fmt.Sprintf(" nodes %d", len(p.nodes.nodes))
		}
	}
	return s + fmt.Sprint(" rows ", g.rows)
}
