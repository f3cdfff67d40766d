// Package fault holds the error type that all loaders return and the four causes inside it. It is a package of its own
// because loader imports the decoders and both need it; callers see it as loader.Error.
//
// A decoder returns plain errors from where it finds them, adds the place on the way up with At, and completes the
// error once, at its exported entry, with Complete.
package fault

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/treeline-ml/treeline/forest"
)

// Error places a fault in a model file and offers the way out.
type Error struct {
	Format string // "lightgbm-text", "xgboost-json", "xgboost-ubjson", "xgboost-binary"; empty when not recognised
	Path   string // the file; empty when the model came from a reader
	Where  string // "tree 17, node 4", "line 12", "byte 4096"; empty when the whole file is meant
	Hint   string // what a person at a terminal can do next; never crosses RPC
	Err    error  // the cause
}

// Error returns "loader: <path>: <format>: <where>: <cause>" without the parts that are empty. The hint is not part of
// it: who prints errors for people adds it.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("loader: ")
	for _, part := range []string{e.Path, e.Format, e.Where} {
		if part != "" {
			b.WriteString(part)
			b.WriteString(": ")
		}
	}
	if e.Err != nil {
		b.WriteString(e.Err.Error())
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// The causes that callers tell apart with errors.Is.
var (
	ErrNotSupported = errors.New("loader: not supported")
	ErrMalformed    = errors.New("loader: malformed model")
	ErrLimit        = errors.New("loader: over a limit")
	ErrUnknown      = errors.New("loader: not a model file that is recognised")
)

// cause keeps the sentinel out of the message, which says it better.
type cause struct {
	kind error
	err  error
}

func (c *cause) Error() string        { return c.err.Error() }
func (c *cause) Unwrap() error        { return c.err }
func (c *cause) Is(target error) bool { return target == c.kind }

// NotSupported refuses a valid model feature that is not scored: "not supported: <feature>".
func NotSupported(format string, args ...any) error {
	return &cause{kind: ErrNotSupported, err: fmt.Errorf("not supported: "+format, args...)}
}

// Malformed returns an ErrMalformed that says what is wrong.
func Malformed(format string, args ...any) error {
	return &cause{kind: ErrMalformed, err: fmt.Errorf(format, args...)}
}

// Unknown returns an ErrUnknown that says what the bytes look like.
func Unknown(format string, args ...any) error {
	return &cause{kind: ErrUnknown, err: fmt.Errorf(format, args...)}
}

// Truncated says that the file ends inside what is named. It is ErrMalformed and io.ErrUnexpectedEOF.
func Truncated(inside string) error {
	return &cause{kind: ErrMalformed, err: fmt.Errorf("the file ends inside %s: %w", inside, io.ErrUnexpectedEOF)}
}

// Limit says which limit (a field of loader.Limits) a file exceeds.
func Limit(field string, most, got int64) error {
	return &cause{kind: ErrLimit, err: fmt.Errorf("%d exceeds Limits.%s (%d)", got, field, most)}
}

// Invalid turns an error of forest.Model.Validate into a malformed model with its place. A nil err stays nil.
func Invalid(err error) error {
	if err == nil {
		return nil
	}
	out := error(&cause{kind: ErrMalformed, err: err})
	place, ok := errors.AsType[*forest.Error](err)
	if !ok || place.Tree < 0 {
		return out
	}
	out = &cause{kind: ErrMalformed, err: &problem{text: place.Problem, err: err}}
	if place.Node >= 0 {
		out = At(fmt.Sprintf("node %d", place.Node), out)
	}
	return At(fmt.Sprintf("tree %d", place.Tree), out)
}

// problem is err without its place, which stands in Error.Where.
type problem struct {
	text string
	err  error
}

func (p *problem) Error() string { return p.text }
func (p *problem) Unwrap() error { return p.err }

// At adds the place to err: "tree 17" around "node 4" gives "tree 17, node 4". A nil err stays nil.
func At(where string, err error) error {
	if err == nil {
		return nil
	}
	if inner, ok := errors.AsType[*Error](err); ok {
		if inner.Where != "" {
			where += ", " + inner.Where
		}
		out := *inner
		out.Where = where
		return &out
	}
	return &Error{Where: where, Err: err}
}

// Complete turns err into the *Error that leaves a decoder: with its format and, unless there is one already, a hint.
// A nil err stays nil.
func Complete(format string, err error) error {
	if err == nil {
		return nil
	}
	out := &Error{Err: err}
	if inner, ok := errors.AsType[*Error](err); ok {
		copied := *inner
		out = &copied
	}
	if out.Format == "" {
		out.Format = format
	}
	if out.Hint == "" {
		out.Hint = hint(err)
	}
	return out
}

func hint(err error) string {
	switch {
	case errors.Is(err, ErrNotSupported):
		return "score this model with its own library, or train it without that feature"
	case errors.Is(err, ErrLimit):
		return "the file asks for more than Treeline reads; the limits are in docs/format/models.md"
	case errors.Is(err, ErrMalformed):
		return "the file is damaged, cut off or edited: copy it again or save it again with the library"
	}
	return ""
}
