// Package pickle reads Python pickles of protocols 2 to 5 into pydata.Value, executing nothing.
//
//	bytes --opcodes--> stack, memo --STOP--> pydata.Value
//
// A pickle is a program for a stack machine whose opcodes import names and call them. This machine has no import and no
// call: GLOBAL and STACK_GLOBAL push a pair of strings after the caller's Allow has agreed to them, REDUCE, NEWOBJ, INST
// and OBJ push a record of what would have been called, BUILD stores the state beside it. Persistent ids, the extension
// registry and out-of-band buffers, which give bytes a meaning outside the file, are refused.
//
// # Invariants
//
//	K1  A name that Allow does not accept ends the reading, before anything uses it.
//	K2  Every length is compared with the bytes that are left before memory is taken for it; strings and arrays of bytes
//	    are views of the input or copies of bytes that are there.
//	K3  The machine makes at most Options.Objects values and memo entries, and nests at most Options.Depth marks and
//	    pickles.
//
// # Concurrency
//
// A Reader belongs to one goroutine.
package pickle

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/treeline-ml/treeline/loader/internal/fault"
	"github.com/treeline-ml/treeline/loader/internal/limit"
	"github.com/treeline-ml/treeline/loader/internal/pydata"
)

// Options of NewReader.
type Options struct {
	// Allow decides which names may occur; the error for others names them.
	Allow func(module, name string) bool
	// Built is called after an object's state was set; it may read what the container format stores after it.
	Built   func(r *Reader, o *pydata.Object) error
	Objects int64 // Limits.Objects
	Depth   int64 // Limits.NestingDepth
}

// Reader reads one pickle, and those inside it, from bytes in memory.
type Reader struct {
	data    []byte
	pos     int
	o       Options
	objects int64
	depth   int64
}

// NewReader returns a Reader of data, which must not change.
func NewReader(data []byte, o Options) *Reader { return &Reader{data: data, o: o} }

// Offset returns the number of bytes read.
func (r *Reader) Offset() int { return r.pos }

// Rest returns the number of bytes not read.
func (r *Reader) Rest() int { return len(r.data) - r.pos }

// Take returns a view of the next n bytes. inside names what the file would end in.
func (r *Reader) Take(n uint64, inside string) ([]byte, error) {
	if n > uint64(r.Rest()) {
		return nil, fault.Truncated(inside)
	}
	b := r.data[r.pos : r.pos+int(n) : r.pos+int(n)]
	r.pos += int(n)
	return b, nil
}

// Load reads one pickle up to its STOP. Errors are placed at the byte of the opcode.
func (r *Reader) Load() (pydata.Value, error) {
	r.depth++
	defer func() { r.depth-- }()
	if err := limit.Check("NestingDepth", r.o.Depth, r.depth); err != nil {
		return nil, err
	}
	m := machine{r: r, memo: map[uint32]pydata.Value{}}
	head, err := r.Take(2, "the pickle")
	if err != nil {
		return nil, err
	}
	if head[0] != opProto || head[1] < 2 || head[1] > 5 {
		return nil, fault.NotSupported("pickle protocols other than 2 to 5")
	}
	for {
		at := r.pos
		op, err := r.Take(1, "the pickle")
		if err == nil && op[0] == opStop {
			var v pydata.Value
			if v, err = m.pop(); err == nil {
				return v, nil
			}
		}
		if err == nil {
			err = m.step(op[0])
		}
		if err != nil {
			return nil, place(at, err)
		}
	}
}

// place adds the byte unless a nested pickle has done so already.
func place(at int, err error) error {
	if placed, ok := errors.AsType[*fault.Error](err); ok && placed.Where != "" {
		return err
	}
	return fault.At(fmt.Sprintf("byte %d", at), err)
}

// count charges one value to the limit.
func (r *Reader) count() error {
	r.objects++
	return limit.Check("Objects", r.o.Objects, r.objects)
}

// line reads a line of text, as GLOBAL and INST have.
func (r *Reader) line() (string, error) {
	rest := r.data[r.pos:]
	for i, c := range rest[:min(len(rest), maxName)] {
		if c == '\n' {
			r.pos += i + 1
			return string(rest[:i]), nil
		}
	}
	if len(rest) < maxName {
		return "", fault.Truncated("a name")
	}
	return "", fault.Malformed("a name of more than %d bytes", maxName)
}

// maxName bounds module and class names.
const maxName = 512

func (r *Reader) u8() (uint64, error) {
	b, err := r.Take(1, "the pickle")
	if err != nil {
		return 0, err
	}
	return uint64(b[0]), nil
}

func (r *Reader) u16() (uint64, error) {
	b, err := r.Take(2, "the pickle")
	if err != nil {
		return 0, err
	}
	return uint64(binary.LittleEndian.Uint16(b)), nil
}

func (r *Reader) u32() (uint64, error) {
	b, err := r.Take(4, "the pickle")
	if err != nil {
		return 0, err
	}
	return uint64(binary.LittleEndian.Uint32(b)), nil
}

func (r *Reader) u64() (uint64, error) {
	b, err := r.Take(8, "the pickle")
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b), nil
}

// sized takes bytes whose number the given function reads.
func (r *Reader) sized(length func() (uint64, error), inside string) ([]byte, error) {
	n, err := length()
	if err != nil {
		return nil, err
	}
	return r.Take(n, inside)
}

func (r *Reader) text(length func() (uint64, error)) (string, error) {
	b, err := r.sized(length, "a string")
	if err != nil {
		return "", err
	}
	if !utf8.Valid(b) {
		return "", fault.Malformed("a string that is not UTF-8")
	}
	return string(b), nil
}

// long reads a two's complement integer of the given width.
func long(b []byte) pydata.Value {
	if len(b) > 8 {
		return &pydata.Long{Bytes: b}
	}
	v := uint64(0)
	for i, c := range b {
		v |= uint64(c) << (8 * i)
	}
	if n := len(b); n > 0 && b[n-1]&0x80 != 0 && n < 8 {
		v |= math.MaxUint64 << (8 * n)
	}
	return int64(v)
}
