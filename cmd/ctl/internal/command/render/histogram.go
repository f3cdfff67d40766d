package render

import (
	"fmt"
	"io"
	"math"
	"strings"
)

// Histogram draws counts of equal bins over [lo, hi] as horizontal bars, joining bins so that at most lines remain.
func Histogram(w io.Writer, counts []int64, lo, hi float64, lines, barWidth int) error {
	if len(counts) == 0 || lines < 1 {
		return nil
	}
	per := (len(counts) + lines - 1) / lines
	var joined []int64
	for i := 0; i < len(counts); i += per {
		var sum int64
		for _, c := range counts[i:min(i+per, len(counts))] {
			sum += c
		}
		joined = append(joined, sum)
	}
	var top int64
	for _, c := range joined {
		top = max(top, c)
	}
	step := (hi - lo) / float64(len(counts)) * float64(per)
	labels := make([]string, len(joined))
	var labelWidth int
	for i := range joined {
		end := min(lo+float64(step*float64(i+1)), hi)
		labels[i] = fmt.Sprintf("%.4g - %.4g", lo+float64(step*float64(i)), end)
		labelWidth = max(labelWidth, len(labels[i]))
	}
	for i, c := range joined {
		if _, err := fmt.Fprintf(w, "  %-*s  %-*s %s\n", labelWidth, labels[i], barWidth, bar(c, top, barWidth), Count(c)); err != nil {
			return err
		}
	}
	return nil
}

// Bar draws v of top as a bar of at most width characters; a value above zero is never invisible.
func Bar(v, top float64, width int) string {
	const steps = 1 << 20
	if !(v > 0) || !(top > 0) || math.IsInf(top, 0) {
		return ""
	}
	return bar(max(1, int64(v/top*steps)), steps, width)
}

// bar draws c of top in eighths of a character; a count above zero is never invisible.
func bar(c, top int64, width int) string {
	if top <= 0 || c <= 0 {
		return ""
	}
	eighths := max(1, int(float64(c)/float64(top)*float64(width*8)+0.5))
	s := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		s += string([]rune("▏▎▍▌▋▊▉")[rest-1])
	}
	return s
}
