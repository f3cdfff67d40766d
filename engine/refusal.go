package engine

import "math"

// Refusal is a value that the training library refuses: an infinity, a number that its input type makes one, or, where
// Missing is set, a missing value.
type Refusal struct {
	Row, Feature int
	Missing      bool
}

// Refusals appends to dst the bound values that the training library would refuse, feature by feature and in row order,
// at most limit of them (limit <= 0: all). Unlike Score it reads every bound column whose feature refuses infinities or
// missing values, used or not, as the library does. A value that Options.Missing names is missing.
func (b *Block) Refusals(dst []Refusal, limit int) []Refusal {
	found := 0
	var buf [word]float64
	for f := range b.cols {
		c, feature := &b.cols[f], &b.p.features[f]
		missing := feature.RejectMissing
		if !b.bound[f] || !missing && (!feature.RejectInfinite || !c.mayBeInfinite()) {
			continue
		}
		for from := 0; from < b.rows; from += word {
			for r, x := range c.values(buf[:], from, min(word, b.rows-from), &b.p.reading) {
				nan := math.IsNaN(x)
				if nan && !missing || !nan && (!feature.RejectInfinite || !math.IsInf(x, 0)) {
					continue
				}
				dst = append(dst, Refusal{Row: from + r, Feature: f, Missing: nan})
				if found++; found == limit {
					return dst
				}
			}
		}
	}
	return dst
}

// mayBeInfinite reports whether the column's type has values that can become infinite.
func (c *Column) mayBeInfinite() bool {
	return c.kind == kindFloat64 || c.kind == kindFloat32 || c.lookup
}
