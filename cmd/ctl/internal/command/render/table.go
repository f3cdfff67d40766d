package render

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// Grid is a table under construction. Columns are separated by two spaces and sized by their widest cell.
type Grid struct {
	header []string
	right  []bool
	prose  []bool
	rows   [][]string
	width  int
}

// NewGrid starts a table that is fitted to a number of terminal columns; 0 means that there is no limit. A header that
// begins with ">" is aligned right; the cells below one that begins with "~" are prose, which may be broken into lines.
func NewGrid(width int, header ...string) *Grid {
	g := &Grid{header: slices.Clone(header), right: make([]bool, len(header)), prose: make([]bool, len(header)), width: width}
	for i, h := range header {
		if rest, ok := strings.CutPrefix(h, "~"); ok {
			g.header[i], g.prose[i] = rest, true
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

// Write prints the table. Nothing is ever cut. When the table is too wide, prose is broken into lines first; if that is
// not enough, each record becomes a block: its columns go on in indented lines below, as those of the header do.
func (g *Grid) Write(w io.Writer) error {
	titled := slices.ContainsFunc(g.header, func(h string) bool { return h != "" })
	widths := g.natural()
	parts := []span{{0, len(widths)}}
	if g.width > 0 && !g.fit(widths, parts[0], g.width) && titled {
		widths = g.natural()
		parts = g.fold(widths)
	}
	var b strings.Builder
	if titled {
		g.record(&b, widths, parts, g.header)
	}
	for _, row := range g.rows {
		g.record(&b, widths, parts, row)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

const (
	gap      = 2
	indent   = 4  // of the second and further lines of a block
	minProse = 24 // prose is not made narrower: it would be tall and hard to read
)

// span is the columns [from, to) that stand on one line.
type span struct{ from, to int }

// natural are the widths that the cells ask for.
func (g *Grid) natural() []int {
	widths := make([]int, len(g.header))
	for i := range widths {
		widths[i] = utf8.RuneCountInString(g.header[i])
		for _, row := range g.rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	return widths
}

// fit makes the prose of one line narrower until the line has at most room columns. It reports whether it succeeded.
func (g *Grid) fit(widths []int, part span, room int) bool {
	total := gap * (part.to - part.from - 1)
	for i := part.from; i < part.to; i++ {
		total += widths[i]
	}
	for total > room {
		widest := -1
		for i := part.from; i < part.to; i++ {
			if g.prose[i] && widths[i] > minProse && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return false
		}
		widths[widest]--
		total--
	}
	return true
}

// fold distributes the columns over lines. A column that is wider than the terminal gets a line of its own.
func (g *Grid) fold(widths []int) []span {
	var parts []span
	for from := 0; from < len(widths); {
		room := g.width
		if from > 0 {
			room -= indent
		}
		to, used := from+1, g.least(widths, from)
		for to < len(widths) && used+gap+g.least(widths, to) <= room {
			used += gap + g.least(widths, to)
			to++
		}
		parts = append(parts, span{from, to})
		g.fit(widths, parts[len(parts)-1], room)
		from = to
	}
	return parts
}

func (g *Grid) least(widths []int, i int) int {
	if g.prose[i] {
		return min(widths[i], minProse)
	}
	return widths[i]
}

// record prints one row on as many lines as it takes.
func (g *Grid) record(b *strings.Builder, widths []int, parts []span, row []string) {
	for p, part := range parts {
		for _, line := range g.lines(widths, part, row) {
			if p > 0 {
				if strings.Join(line, "") == "" {
					continue
				}
				b.WriteString(strings.Repeat(" ", indent))
			}
			g.line(b, widths, part, line)
		}
	}
}

// lines breaks the prose of one part of a row. Each line holds the cells of that part only.
func (g *Grid) lines(widths []int, part span, row []string) [][]string {
	out := [][]string{slices.Clone(row[part.from:part.to])}
	for i := part.from; i < part.to; i++ {
		if !g.prose[i] || utf8.RuneCountInString(row[i]) <= widths[i] {
			continue
		}
		// The last column may stick out: the terminal breaks a long path or digest, and it can still be copied in one go.
		for n, piece := range broken(row[i], widths[i], i == part.to-1) {
			if n == len(out) {
				out = append(out, make([]string, part.to-part.from))
			}
			out[n][i-part.from] = piece
		}
	}
	return out
}

// broken breaks a text at spaces into pieces of at most n characters. A longer word stays whole, or is broken too.
func broken(s string, n int, whole bool) []string {
	var out []string
	piece := ""
	for word := range strings.FieldsSeq(s) {
		if piece != "" && utf8.RuneCountInString(piece)+1+utf8.RuneCountInString(word) <= n {
			piece += " " + word
			continue
		}
		if piece != "" {
			out = append(out, piece)
		}
		for rest := []rune(word); !whole && len(rest) > n; rest = []rune(word) {
			out = append(out, string(rest[:n]))
			word = string(rest[n:])
		}
		piece = word
	}
	return append(out, piece)
}

func (g *Grid) line(b *strings.Builder, widths []int, part span, cells []string) {
	var line strings.Builder
	for n, cell := range cells {
		i := part.from + n
		pad := strings.Repeat(" ", max(0, widths[i]-utf8.RuneCountInString(cell)))
		if n > 0 {
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
