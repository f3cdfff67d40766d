package lightgbm

import (
	"fmt"
	"io"
	"math"

	"github.com/treeline-ml/treeline/loader/internal/fault"
	"github.com/treeline-ml/treeline/loader/internal/source"
)

// lines reads a text file word by word. Model lines can be hundreds of megabytes (one line holds an array of a tree),
// so no line is ever held as a whole.
type lines struct {
	src    *source.Reader
	number int64  // of the current line, from 1
	token  []byte // a word that spans two windows
}

// stops is the byte that ends a word beside the end of the line, if any.
type stops string

const (
	atLine   stops = ""
	atSpace  stops = " "
	atEquals stops = "="
	atColon  stops = ":"
)

// word is a piece of a line. Its bytes are valid until the next read.
type word struct {
	text []byte
	stop byte // what ended it: a stop, '\n', or 0 at the end of the file
	cut  bool // the word is longer than what was kept of it
}

// next consumes a word and the byte that ends it, keeping at most keep bytes of the word.
func (l *lines) next(end stops, keep int) (word, error) {
	stop := byte('\n')
	if end != "" {
		stop = end[0]
	}
	if l.number == 0 {
		l.number = 1
	}
	l.token = l.token[:0]
	spans, cut := false, false
	for {
		w, err := l.src.Peek()
		if err != nil {
			return word{}, err
		}
		if len(w) == 0 {
			return trim(word{text: l.token, cut: cut}), nil
		}
		i := 0
		for i < len(w) && w[i] != stop && w[i] != '\n' {
			i++
		}
		piece := w[:i]
		if i < len(w) {
			stop := w[i]
			if stop == '\n' {
				l.number++
			}
			if spans {
				piece, cut = l.keep(piece, keep, cut)
			} else if len(piece) > keep {
				piece, cut = piece[:keep], true
			}
			return trim(word{text: piece, stop: stop, cut: cut}), l.src.Skip(i + 1)
		}
		spans = true
		_, cut = l.keep(piece, keep, cut)
		if err := l.src.Skip(i); err != nil {
			return word{}, err
		}
	}
}

// keep appends piece to the token, as far as it may grow.
func (l *lines) keep(piece []byte, keep int, cut bool) ([]byte, bool) {
	if room := keep - len(l.token); len(piece) > room {
		piece, cut = piece[:room], true
	}
	l.token = append(l.token, piece...)
	return l.token, cut
}

// trim removes the carriage return of a line that ends with one.
func trim(w word) word {
	if n := len(w.text); n > 0 && w.text[n-1] == '\r' && (w.stop == '\n' || w.stop == 0) {
		w.text = w.text[:n-1]
	}
	return w
}

// fields calls visit for each word of the rest of the line, of which at most keep bytes are kept.
func (l *lines) fields(keep int, visit func(i int, w word) error) error {
	for i := 0; ; {
		w, err := l.next(atSpace, keep)
		if err != nil {
			return err
		}
		if len(w.text) > 0 {
			if err := visit(i, w); err != nil {
				return err
			}
			i++
		}
		if w.stop != ' ' {
			return nil
		}
	}
}

// rest returns the rest of the line, at most keep bytes of it.
func (l *lines) rest(keep int) (word, error) { return l.next(atLine, keep) }

// skip consumes the rest of the line.
func (l *lines) skip() error {
	_, err := l.next(atLine, 0)
	return err
}

// lineReader reads the rest of the current line, without its end.
type lineReader struct{ l *lines }

// Read implements io.Reader.
func (r lineReader) Read(p []byte) (int, error) {
	w, err := r.l.src.Peek()
	if err != nil {
		return 0, err
	}
	w = w[:min(len(w), len(p))]
	n := 0
	for n < len(w) && w[n] != '\n' {
		n++
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	copy(p, w[:n])
	return n, r.l.src.Skip(n)
}

// at places an error at a line.
func (l *lines) at(line int64, err error) error {
	if err == nil {
		return nil
	}
	return fault.At(fmt.Sprintf("line %d", line), err)
}

// numberBytes bounds a number: %.17g takes 24 bytes, other writers print doubles in full.
const numberBytes = 400

// integer parses a whole number within [least, most].
func integer(w word, least, most int64) (int64, error) {
	text := w.text
	negative := len(text) > 0 && text[0] == '-'
	if negative {
		text = text[1:]
	}
	v := int64(0)
	for _, c := range text {
		if c < '0' || c > '9' || v > math.MaxInt64/10-1 {
			return 0, fault.Malformed("%.40q is no whole number", w.text)
		}
		v = v*10 + int64(c-'0')
	}
	if len(text) == 0 || w.cut {
		return 0, fault.Malformed("%.40q is no whole number", w.text)
	}
	if negative {
		v = -v
	}
	if v < least || v > most {
		return 0, fault.Malformed("%d is outside %d..%d", v, least, most)
	}
	return v, nil
}
