package duckdb

import "strings"

// The placeholder of a features query, and the name of the parameter that it becomes: one that no author has used.
const (
	computeDate      = ":compute_date"
	computeParameter = "treeline_compute_date"
)

// bindable replaces the placeholder in a query by a parameter of DuckDB and cuts a semicolon at the end. Quoted text, quoted
// names and comments are left alone; so is "::compute_date", which is a cast. It only finds the places: whether the text is
// a query is the parser's business, and the value never becomes part of the text.
func bindable(query string) (text string, bound bool) {
	var out strings.Builder
	for i := 0; i < len(query); {
		n := skipQuoted(query[i:])
		switch {
		case n > 0:
		case strings.HasPrefix(query[i:], "::"):
			n = 2
		case strings.HasPrefix(query[i:], computeDate) && !continuesWord(query[i+len(computeDate):]):
			out.WriteString("CAST($" + computeParameter + " AS DATE)")
			i += len(computeDate)
			bound = true
			continue
		case query[i] == ';' && onlyComments(query[i+1:]):
			return out.String(), bound
		case wordByte(query[i]):
			n = 1
			for i+n < len(query) && wordByte(query[i+n]) {
				n++
			}
		default:
			n = 1
		}
		out.WriteString(query[i : i+n])
		i += n
	}
	return out.String(), bound
}

func wordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

func continuesWord(s string) bool { return s != "" && (wordByte(s[0]) || s[0] == '$') }

// skipQuoted returns the length of the string, quoted name or comment that s begins with, 0 when it begins with none. One
// that does not end reaches to the end of s.
func skipQuoted(s string) int {
	switch {
	case strings.HasPrefix(s, "--"):
		if n := strings.IndexAny(s, "\r\n"); n >= 0 {
			return n
		}
		return len(s)
	case strings.HasPrefix(s, "/*"):
		return skipComment(s)
	case s[0] == '\'' || s[0] == '"':
		return skipString(s, s[0], false)
	case (s[0] == 'e' || s[0] == 'E') && strings.HasPrefix(s[1:], "'"):
		return 1 + skipString(s[1:], '\'', true)
	case s[0] == '$':
		return skipDollar(s)
	}
	return 0
}

// skipComment passes over a comment, which may hold others.
func skipComment(s string) int {
	depth := 0
	for i := 0; i < len(s); {
		switch {
		case strings.HasPrefix(s[i:], "/*"):
			depth++
			i += 2
		case strings.HasPrefix(s[i:], "*/"):
			depth--
			i += 2
			if depth == 0 {
				return i
			}
		default:
			i++
		}
	}
	return len(s)
}

func skipString(s string, quote byte, escapes bool) int {
	for i := 1; i < len(s); i++ {
		switch {
		case escapes && s[i] == '\\':
			i++
		case s[i] == quote && i+1 < len(s) && s[i+1] == quote:
			i++
		case s[i] == quote:
			return i + 1
		}
	}
	return len(s)
}

// skipDollar passes over $$text$$ and $tag$text$tag$.
func skipDollar(s string) int {
	end := strings.IndexByte(s[1:], '$')
	if end < 0 {
		return 0
	}
	tag := s[:end+2]
	for i := 1; i < len(tag)-1; i++ {
		if !wordByte(tag[i]) || i == 1 && tag[i] >= '0' && tag[i] <= '9' {
			return 0
		}
	}
	if n := strings.Index(s[len(tag):], tag); n >= 0 {
		return n + 2*len(tag)
	}
	return len(s)
}

// onlyComments reports whether nothing but space, comments and semicolons is left.
func onlyComments(s string) bool {
	for s != "" {
		switch {
		case strings.ContainsRune(" \t\r\n\f\v;", rune(s[0])):
			s = s[1:]
		case strings.HasPrefix(s, "--") || strings.HasPrefix(s, "/*"):
			s = s[skipQuoted(s):]
		default:
			return false
		}
	}
	return true
}
