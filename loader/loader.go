// Package loader opens model files of the tree libraries and returns each as a *forest.Model with the exact semantics
// of the library that wrote it. The format is told by the content, never by the file's name.
//
//	bytes --detect--> lightgbm | xgboost | legacy --> forest.Model --Validate--> caller
//
// # Invariants
//
//	L1  A model that is returned passes forest.Model.Validate.
//	L2  What is not scored exactly is refused with ErrNotSupported, never approximated.
//	L3  Any bytes whatever end in a model or in a *Error, in memory bounded by Limits and the size of the file.
//
// # Concurrency
//
// All functions are safe for concurrent use. A reader is used by one call only.
package loader

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"

	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/loader/internal/fault"
	"github.com/treeline-ml/treeline/loader/internal/limit"
	"github.com/treeline-ml/treeline/loader/legacy"
	"github.com/treeline-ml/treeline/loader/lightgbm"
	"github.com/treeline-ml/treeline/loader/xgboost"
)

// Error places a fault in a model file and offers the way out. Every error of this package is one.
type Error = fault.Error

// Limits bound what one file may allocate; zero fields mean the defaults.
type Limits = limit.Limits

// The causes inside an Error, for errors.Is.
var (
	// ErrNotSupported: a valid model with a feature that is not scored; the message names it.
	ErrNotSupported = fault.ErrNotSupported
	// ErrMalformed: truncated, altered or inconsistent.
	ErrMalformed = fault.ErrMalformed
	// ErrLimit: larger than Limits allow.
	ErrLimit = fault.ErrLimit
	// ErrUnknown: no format that is recognised.
	ErrUnknown = fault.ErrUnknown
)

// DefaultLimits returns the bounds that Open keeps to.
func DefaultLimits() Limits { return limit.Default() }

// Options of Decode.
type Options struct {
	Path   string // named in errors
	Limits Limits // zero fields mean the defaults
}

// Open reads the model file at path with the default limits. Provenance.Digest is the SHA-256 of its bytes.
func Open(path string) (*forest.Model, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, &Error{Path: path, Hint: "give the path of a model file", Err: err}
	}
	defer f.Close()
	size := int64(-1)
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		size = info.Size()
	} else if err == nil && info.IsDir() {
		return nil, &Error{
			Path: path,
			Hint: "give the path of the model file in it",
			Err:  fault.Unknown("it is a directory"),
		}
	}
	return Decode(f, size, Options{Path: path})
}

// Decode reads one model from r to its end; size is its length in bytes, or -1 when it is not known. Provenance.Digest
// is the SHA-256 of the bytes.
func Decode(r io.Reader, size int64, o Options) (*forest.Model, error) {
	m, err := decode(r, size, o.Limits.OrDefault())
	if err == nil {
		return m, nil
	}
	var placed *Error
	if !errors.As(err, &placed) {
		placed = &Error{Err: err}
	}
	out := *placed
	out.Path = o.Path
	return nil, &out
}

func decode(r io.Reader, size int64, l Limits) (*forest.Model, error) {
	if err := limit.Check("Bytes", l.Bytes, size); err != nil {
		return nil, fault.Complete("", err)
	}
	digest := sha256.New()
	in := bufio.NewReaderSize(io.TeeReader(r, digest), sniffBytes)
	head, err := in.Peek(sniffBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var m *forest.Model
	switch detect(head) {
	case lightgbmText:
		m, err = lightgbm.Decode(in, l)
	case xgboostJSON:
		m, err = xgboost.DecodeJSON(in, l)
	case xgboostUBJSON:
		m, err = xgboost.DecodeUBJSON(in, l)
	case xgboostBinary:
		m, err = legacy.Decode(in, l)
	default:
		return nil, unknown(head)
	}
	if err != nil {
		return nil, err
	}
	if err := checkNames(m); err != nil {
		return nil, fault.Complete(m.Provenance.Format, err)
	}
	// Decoders stop at the end of the model, which for the oldest files is not the end of the file.
	if n, err := io.Copy(io.Discard, io.LimitReader(in, l.Bytes)); err != nil || n == l.Bytes {
		return nil, fault.Complete(m.Provenance.Format, cmp.Or(err, fault.Limit("Bytes", l.Bytes, n+1)))
	}
	m.Provenance.Digest = "sha256:" + hex.EncodeToString(digest.Sum(nil))
	return m, nil
}

// checkNames refuses a name that two features have: columns are found by name, and no library trains such a model.
func checkNames(m *forest.Model) error {
	seen := make(map[string]int, len(m.Features))
	for i, f := range m.Features {
		if first, twice := seen[f.Name]; twice {
			return fault.Malformed("features %d and %d are both named %.80q", first, i, f.Name)
		}
		seen[f.Name] = i
	}
	return nil
}
