// Package loader opens model files of the tree libraries and returns them as a *forest.Model with the library's exact
// semantics. The format is told by the content, never by the file's name.
package loader

import (
	"io"

	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/loader/internal/fault"
	"github.com/treeline-ml/treeline/loader/internal/limit"
)

// Error places a fault in a model file and offers the way out. Hint is for people and never crosses RPC.
type Error = fault.Error

// Limits bound what one file may allocate; zero fields mean the defaults.
type Limits = limit.Limits

// The causes inside an Error.
var (
	ErrNotSupported = fault.ErrNotSupported
	ErrMalformed    = fault.ErrMalformed
	ErrLimit        = fault.ErrLimit
	ErrUnknown      = fault.ErrUnknown
)

// Options of Decode.
type Options struct {
	Path   string // named in errors
	Limits Limits
}

// Open reads the model file at path with the default limits.
func Open(path string) (*forest.Model, error) {
	return nil, &Error{Path: path, Err: ErrUnknown}
}

// Decode reads one model from r; size is its length in bytes, or -1 when it is not known.
func Decode(r io.Reader, size int64, o Options) (*forest.Model, error) {
	return nil, &Error{Path: o.Path, Err: ErrUnknown}
}
