package gate

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// exact is a figure as the evidence keeps it.
func exact(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// thousands writes a number of rows for people: 4,812.
func thousands[T int | int64](n T) string {
	s := strconv.FormatInt(int64(n), 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// sentence makes a text one: a capital first, a full stop last.
func sentence(s string) string {
	s = strings.TrimSpace(s)
	if s == "" {
		return ""
	}
	r, n := utf8.DecodeRuneInString(s)
	s = string(unicode.ToUpper(r)) + s[n:]
	if !strings.ContainsAny(s[len(s)-1:], ".!?") {
		s += "."
	}
	return s
}

// figures drops what JSON cannot hold.
func figures(m map[string]float64) map[string]float64 {
	for k, v := range m {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			delete(m, k)
		}
	}
	return m
}

// band writes an interval: "95 % 0.7251 to 0.7568".
func band(format string, lower, upper float64) string {
	return fmt.Sprintf("95 %% "+format+" to "+format, lower, upper)
}
