package config

import "strings"

// nearest returns the candidate with the fewest edits from s, or "" when none is close enough to be what was meant.
func nearest(s string, candidates []string) string {
	best, bestCost := "", min((len(s)+1)/2, max(2, (len(s)+1)/3))+1
	s = strings.ToLower(s)
	for _, c := range candidates {
		low := strings.ToLower(c)
		cost := edits(s, low)
		if len(s) > 2 && (strings.HasPrefix(low, s) || strings.HasPrefix(s, low)) {
			cost = 1 // "label" for "label_col"
		}
		if cost < bestCost {
			best, bestCost = c, cost
		}
	}
	return best
}

// edits counts insertions, deletions, replacements and swaps of neighbours (optimal string alignment).
func edits(a, b string) int {
	before, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := range len(a) {
		cur[0] = i + 1
		for j := range len(b) {
			cost := prev[j]
			if a[i] != b[j] {
				cost++
			}
			cur[j+1] = min(cost, prev[j+1]+1, cur[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				cur[j+1] = min(cur[j+1], before[j-1]+1)
			}
		}
		before, prev, cur = prev, cur, before
	}
	return prev[len(b)]
}
