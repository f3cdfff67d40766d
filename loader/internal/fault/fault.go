// Package fault holds the error type that all loaders return. It is a package of its own because loader imports the
// decoders and both need it; callers see it as loader.Error.
package fault

import (
	"errors"
	"fmt"
	"strings"
)

// Error places a fault in a model file and offers the way out.
type Error struct {
	Format string // "lightgbm-text", "xgboost-json", "xgboost-ubjson", "xgboost-binary"; empty when not recognised
	Path   string // the file, empty when the model came from a reader
	Where  string // "tree 17, node 4", "line 12", "byte 4096"; empty when the whole file is meant
	Hint   string // what a person at a terminal can do next; never crosses RPC
	Err    error
}

// Error returns "<path>: <format>: <where>: <cause>" without the empty parts. The hint is left to the caller.
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
	ErrNotSupported = errors.New("not supported")
	ErrMalformed    = errors.New("malformed model")
	ErrLimit        = errors.New("over the limit")
	ErrUnknown      = errors.New("not a model file that is recognised")
)

// unsupported reads "not supported: <feature>" and is ErrNotSupported.
type unsupported string

func (u unsupported) Error() string        { return "not supported: " + string(u) }
func (u unsupported) Is(target error) bool { return target == ErrNotSupported }

// NotSupported returns the refusal of a valid model feature that is not scored, by name.
func NotSupported(feature string) error { return unsupported(feature) }

// Malformed returns an ErrMalformed that says what is wrong.
func Malformed(format string, args ...any) error {
	return &cause{kind: ErrMalformed, err: fmt.Errorf(format, args...)}
}

// Limit returns an ErrLimit that names the limit, its value and what the file asks for.
func Limit(name string, limit, got int64) error {
	return &cause{kind: ErrLimit, err: fmt.Errorf("%d %s, at most %d are allowed", got, name, limit)}
}

// cause keeps the sentinel out of the message: the text says it better.
type cause struct {
	kind error
	err  error
}

func (c *cause) Error() string        { return c.err.Error() }
func (c *cause) Unwrap() error        { return c.err }
func (c *cause) Is(target error) bool { return target == c.kind }
