package engine

import (
	"testing"
	"unsafe"
)

// BenchmarkDeep scores forests on every tier.
func BenchmarkDeep(b *testing.B) {
	for _, s := range []benchShape{
		{name: "forest-100xd10", trees: 100, leaves: 1000, features: 28, cuts: 1 << 30, level: true},
		{name: "forest-100x8000", trees: 100, leaves: 8000, features: 28, cuts: 1 << 30},
		{name: "forest-100xd10-sets", trees: 100, leaves: 1000, features: 12, cuts: 255, level: true, categories: 100},
		{name: "forest-100xd10-wide", trees: 100, leaves: 1000, features: 100, cuts: 1 << 30, level: true},
	} {
		m := s.model()
		for _, tier := range Tiers() {
			b.Run(s.name+"/"+tier, func(b *testing.B) {
				p, err := compile(m, Options{Tier: tier}, deepOnly)
				if err != nil {
					b.Fatal(err)
				}
				benchScore(b, p, &s, deepRows)
				bytes := 0
				for i := range p.machine.(*machine[float64]).groups {
					bytes += p.machine.(*machine[float64]).groups[i].deep.size()
				}
				b.ReportMetric(float64(bytes)/float64(s.trees*(2*s.leaves-1)), "B/node")
			})
		}
	}
}

// size is the memory of trees, without their columns.
func (g *deepGroup[F]) size() (bytes int) {
	var v F
	for i := range g.parts {
		p := &g.parts[i]
		bytes += p.bytes() + int(unsafe.Sizeof(v))*len(p.leaves)
		if p.nodes != nil {
			bytes += 4 * len(p.nodes.number)
		}
		if p.plan != nil {
			bytes += 8 * len(p.plan.members)
		}
	}
	return bytes
}
