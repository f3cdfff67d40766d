package arrowguard

import (
	"errors"
	"fmt"

	"github.com/apache/arrow/go/v17/arrow/memory"
)

// Sentinel errors. Every error of this package wraps one of them, an error of the underlying reader, or io.EOF.
var (
	// ErrInvalid: the bytes are no well-formed Arrow data, or use a feature that is refused by name. The sender fixes them.
	ErrInvalid = errors.New("arrowguard: invalid arrow data")
	// ErrUnsupported: the data are sound, but a column has a type that is not read. It is an ErrInvalid too. The sender
	// writes the column with another type.
	ErrUnsupported = errors.New("arrowguard: not supported")
	// ErrLimit: the bytes are larger than Limits allows. The sender sends smaller pieces, or the operator raises the limit.
	ErrLimit = errors.New("arrowguard: limit exceeded")
)

// Limits bounds what one reader accepts. Zero fields take the value of DefaultLimits.
type Limits struct {
	// MaxMessageBytes bounds one message: metadata and body.
	MaxMessageBytes int64
	// MaxAllocBytes bounds the Arrow memory that is live at once: bodies, decompressed buffers, dictionaries.
	MaxAllocBytes int64
	// MaxRows bounds the rows of one record batch and the entries of one dictionary.
	MaxRows int64
	// MaxFields bounds the fields of a schema, children and dictionaries included.
	MaxFields int
	// MaxDepth bounds the nesting of a schema.
	MaxDepth int
	// AllowCompression accepts bodies that are compressed with LZ4 or ZSTD; without it they are refused.
	AllowCompression bool
}

// DefaultLimits returns the limits for bytes from the network: 64 MiB a message, 256 MiB live, 16 Mi rows a message,
// 65,536 fields, nesting up to 16, no compression.
func DefaultLimits() Limits {
	return Limits{
		MaxMessageBytes: 64 << 20,
		MaxAllocBytes:   256 << 20,
		MaxRows:         16 << 20,
		MaxFields:       1 << 16,
		MaxDepth:        16,
	}
}

// FileLimits returns the limits for local files, whose size is known: 2 GiB a message, 8 GiB live, 2^31-1 rows a
// message, compression allowed.
func FileLimits() Limits {
	l := DefaultLimits()
	l.MaxMessageBytes = 2 << 30
	l.MaxAllocBytes = 8 << 30
	l.MaxRows = 1<<31 - 1
	l.AllowCompression = true
	return l
}

func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	if l.MaxMessageBytes <= 0 {
		l.MaxMessageBytes = d.MaxMessageBytes
	}
	if l.MaxAllocBytes <= 0 {
		l.MaxAllocBytes = d.MaxAllocBytes
	}
	if l.MaxRows <= 0 {
		l.MaxRows = d.MaxRows
	}
	if l.MaxFields <= 0 {
		l.MaxFields = d.MaxFields
	}
	if l.MaxDepth <= 0 {
		l.MaxDepth = d.MaxDepth
	}
	return l
}

// Option adjusts a reader.
type Option func(*options)

type options struct{ mem memory.Allocator }

// WithAllocator makes the reader take its memory from mem; the default is the Go heap.
func WithAllocator(mem memory.Allocator) Option { return func(o *options) { o.mem = mem } }

func newOptions(opts []Option) options {
	o := options{mem: memory.DefaultAllocator}
	for _, f := range opts {
		f(&o)
	}
	return o
}

func invalid(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, ErrInvalid)...)
}

// unsupported is an ErrUnsupported and an ErrInvalid whose text does not call the data invalid.
type unsupported struct{ text string }

func (e *unsupported) Error() string { return e.text }

func (e *unsupported) Is(target error) bool { return target == ErrUnsupported || target == ErrInvalid }

func overLimit(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, ErrLimit)...)
}
