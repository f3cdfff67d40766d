// Package loader opens model files of the tree libraries and returns each as a *forest.Model with the exact semantics
// of the library that wrote it. The format is told by the content, never by the file's name.
//
//	bytes     --detect--> lightgbm | xgboost | legacy | sklearn --> forest.Model --Validate--> caller
//	directory --mlmodel--> its model file's bytes, as above, and what the directory's metadata adds
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
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/loader/internal/fault"
	"github.com/treeline-ml/treeline/loader/internal/limit"
	"github.com/treeline-ml/treeline/loader/legacy"
	"github.com/treeline-ml/treeline/loader/lightgbm"
	"github.com/treeline-ml/treeline/loader/sklearn"
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

// Open reads the model at path with the default limits: a model file, an MLflow model directory, or the MLmodel file in
// one. Provenance.Digest is the SHA-256 of the file's bytes, of the MLmodel file's for MLflow models, whose other files
// Provenance.Files lists.
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
		return openDirectory(path)
	}
	if isMLmodel(f) {
		return openMLflow(path, filepath.Dir(path), filepath.Base(path))
	}
	return Decode(f, size, Options{Path: path})
}

// Decode reads one model from r to its end; size is its length in bytes, or -1 when it is not known. Provenance.Digest
// is the SHA-256 of the bytes.
func Decode(r io.Reader, size int64, o Options) (*forest.Model, error) {
	m, err := decode(r, size, o.Limits.OrDefault())
	return m, at(o.Path, err)
}

// at names the file in an error that has no path yet.
func at(path string, err error) error {
	if err == nil {
		return nil
	}
	var placed *Error
	if !errors.As(err, &placed) {
		placed = &Error{Err: err}
	}
	out := *placed
	if out.Path == "" {
		out.Path = path
	}
	return &out
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
	case pythonPickle:
		m, err = whole(in, size, l, sklearn.DecodePickle)
	case compressed:
		m, err = whole(in, size, l, decodeCompressed)
	case zipArchive:
		m, err = whole(in, size, l, decodeZip)
	case mlflowModel:
		return nil, &Error{
			Hint: "open it by its path, so that the files beside it can be found",
			Err:  fault.Unknown("an MLmodel file alone is no model"),
		}
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

// whole reads the rest of a file into memory for a decoder that needs all of it. Memory grows with the bytes that arrive.
func whole(in io.Reader, size int64, l Limits, decode func([]byte, Limits) (*forest.Model, error)) (*forest.Model, error) {
	var b bytes.Buffer
	if size > 0 {
		b.Grow(int(min(size, 64<<20)) + bytes.MinRead)
	}
	n, err := b.ReadFrom(io.LimitReader(in, l.Bytes+1))
	if err == nil {
		err = limit.Check("Bytes", l.Bytes, n)
	}
	if err != nil {
		return nil, fault.Complete("", err)
	}
	return decode(b.Bytes(), l)
}

func decodeCompressed(file []byte, l Limits) (*forest.Model, error) {
	if !sklearn.HoldsPickle(file) {
		return nil, unknown(file)
	}
	return sklearn.DecodePickle(file, l)
}

func decodeZip(file []byte, l Limits) (*forest.Model, error) {
	if !sklearn.IsSkops(file) {
		return nil, unknown(file)
	}
	return sklearn.DecodeSkops(file, l)
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
