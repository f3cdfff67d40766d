package render

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"
)

// Grid is a table under construction. Columns are separated by two spaces and sized by their widest cell.
type Grid struct {
	header []string
	right  []bool
	whole  []bool
	wrap   []bool
	rows   [][]string
	width  int
}

// NewGrid starts a table that is fitted to a number of terminal columns. A header that begins with ">" is aligned right;
// one that begins with "!" is never cut, for what people copy; one that begins with "~" is broken into lines instead.
func NewGrid(width int, header ...string) *Grid {
	g := &Grid{header: slices.Clone(header), right: make([]bool, len(header)), whole: make([]bool, len(header)), wrap: make([]bool, len(header)), width: width}
	for i, h := range header {
		if rest, ok := strings.CutPrefix(h, "!"); ok {
			g.header[i], g.whole[i] = rest, true
		}
		if rest, ok := strings.CutPrefix(h, "~"); ok {
			g.header[i], g.wrap[i] = rest, true
		}
		if rest, ok := strings.CutPrefix(h, ">"); ok {
			g.header[i], g.right[i] = rest, true
		}
	}
	return g
}

// Row adds a row; missing cells are empty.
func (g *Grid) Row(cells ...any) {
	row := make([]string, len(g.header))
	for i := range row {
		if i < len(cells) {
			row[i] = printable(fmt.Sprint(cells[i]))
		}
	}
	g.rows = append(g.rows, row)
}

// Len is the number of rows so far.
func (g *Grid) Len() int { return len(g.rows) }

// Write prints the table. When it is too wide, its widest columns are made narrower: their cells are cut and end in "…",
// or are broken into lines.
func (g *Grid) Write(w io.Writer) error {
	widths := g.columnWidths()
	var b strings.Builder
	if slices.ContainsFunc(g.header, func(h string) bool { return h != "" }) {
		g.line(&b, widths, g.header)
	}
	for _, row := range g.rows {
		for _, line := range g.lines(widths, row) {
			g.line(&b, widths, line)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

const (
	gap     = 2
	minimum = 6 // columns are not cut below this
)

func (g *Grid) columnWidths() []int {
	widths := make([]int, len(g.header))
	total := gap * (len(widths) - 1)
	for i := range widths {
		widths[i] = utf8.RuneCountInString(g.header[i])
		for _, row := range g.rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
		total += widths[i]
	}
	for total > g.width && g.width > 0 {
		widest := -1
		for i := range widths {
			if !g.whole[i] && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 || widths[widest] <= minimum {
			break
		}
		widths[widest]--
		total--
	}
	return widths
}

// lines breaks the cells of columns that wrap.
func (g *Grid) lines(widths []int, row []string) [][]string {
	out := [][]string{slices.Clone(row)}
	for i, cell := range row {
		if !g.wrap[i] || utf8.RuneCountInString(cell) <= widths[i] {
			continue
		}
		for n, piece := range broken(cell, widths[i]) {
			if n == len(out) {
				out = append(out, make([]string, len(row)))
			}
			out[n][i] = piece
		}
	}
	return out
}

// broken breaks a text at spaces into pieces of at most n characters. A longer word stays whole and is cut later.
func broken(s string, n int) []string {
	var out []string
	piece := ""
	for word := range strings.FieldsSeq(s) {
		switch {
		case piece == "":
			piece = word
		case utf8.RuneCountInString(piece)+1+utf8.RuneCountInString(word) <= n:
			piece += " " + word
		default:
			out = append(out, piece)
			piece = word
		}
	}
	return append(out, piece)
}

func (g *Grid) line(b *strings.Builder, widths []int, cells []string) {
	var line strings.Builder
	for i, cell := range cells {
		cell = Cut(cell, widths[i])
		pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
		if i > 0 {
			line.WriteString(strings.Repeat(" ", gap))
		}
		if g.right[i] {
			line.WriteString(pad + cell)
		} else {
			line.WriteString(cell + pad)
		}
	}
	b.WriteString(strings.TrimRight(line.String(), " "))
	b.WriteByte('\n')
}

// Cut shortens s to at most n characters, the last one of which is then "…".
func Cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	if n < 1 {
		return ""
	}
	return string([]rune(s)[:n-1]) + "…"
}

// printable replaces control characters: names come from files and must not steer the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r < 0xa0 {
			return '�'
		}
		return r
	}, s)
}

// Digest shortens "sha256:<hex>" to its first 12 digits for a table. JSON has the whole one.
func Digest(s string) string {
	if i := strings.IndexByte(s, ':'); i >= 0 {
		s = s[i+1:]
	}
	return s[:min(len(s), 12)]
}

// Time formats a timestamp in UTC to the second, or "-" when there is none.
func Time(t *timestamppb.Timestamp) string {
	if t == nil {
		return "-"
	}
	return t.AsTime().UTC().Format("2006-01-02 15:04:05Z")
}

// Version formats a model version: "v3", or "-" for none.
func Version(v int64) string {
	if v == 0 {
		return "-"
	}
	return fmt.Sprintf("v%d", v)
}

// OrDash replaces an empty string by "-".
func OrDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// Count formats an integer with thousands separators.
func Count(n int64) string {
	s := strconv.FormatInt(n, 10)
	neg := strings.HasPrefix(s, "-")
	s = strings.TrimPrefix(s, "-")
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	if neg {
		return "-" + s
	}
	return s
}

// Duration formats a wall time with three significant digits at most.
func Duration(d time.Duration) string {
	switch {
	case d >= time.Minute:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(time.Microsecond).String()
}

// Plural is "1 row", "2 rows".
func Plural(n int64, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return Count(n) + " " + one + "s"
}
