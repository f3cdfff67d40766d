package arrowguard

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/apache/arrow/go/v17/arrow/memory"
)

// LimitedAllocator refuses allocations that would bring its live bytes over a limit. Arrow's Allocator cannot return an
// error, so it panics; PanicError turns the recovered value into ErrLimit. It is safe for concurrent use if the
// allocator below is.
type LimitedAllocator struct {
	mem  memory.Allocator
	max  int64
	live atomic.Int64
}

var _ memory.Allocator = (*LimitedAllocator)(nil)

// NewLimitedAllocator bounds the live bytes taken from mem to limit.
func NewLimitedAllocator(mem memory.Allocator, limit int64) *LimitedAllocator {
	return &LimitedAllocator{mem: mem, max: limit}
}

// Live returns the bytes that are allocated now.
func (a *LimitedAllocator) Live() int64 { return a.live.Load() }

// Allocate implements memory.Allocator. It panics when the limit would be exceeded.
func (a *LimitedAllocator) Allocate(size int) []byte {
	a.reserve(int64(size))
	return a.mem.Allocate(size)
}

// Reallocate implements memory.Allocator. Old and new block are counted together while the copy is made.
func (a *LimitedAllocator) Reallocate(size int, b []byte) []byte {
	a.reserve(int64(size))
	old := int64(len(b))
	b = a.mem.Reallocate(size, b)
	a.live.Add(-old)
	return b
}

// Free implements memory.Allocator.
func (a *LimitedAllocator) Free(b []byte) {
	a.live.Add(-int64(len(b)))
	a.mem.Free(b)
}

func (a *LimitedAllocator) reserve(n int64) {
	if n < 0 {
		panic(&refusal{fmt.Errorf("allocation of %d bytes: %w", n, ErrInvalid)})
	}
	if live := a.live.Add(n); live > a.max || live < 0 {
		a.live.Add(-n)
		panic(&refusal{fmt.Errorf("%d more bytes over the %d in use exceed the memory limit of %d: %w", n, live-n, a.max, ErrLimit)})
	}
}

// refusal is what LimitedAllocator panics with; Arrow wraps it when it recovers by itself.
type refusal struct{ err error }

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// ErrPanic marks an error that was a panic in decoding code other than a refused allocation.
var ErrPanic = errors.New("arrowguard: decoder panicked")

// PanicError turns a recovered panic of Arrow code into an error: ErrLimit for a refused allocation, otherwise ErrInvalid
// and ErrPanic. It returns nil for nil.
func PanicError(recovered any) error {
	switch v := recovered.(type) {
	case nil:
		return nil
	case error:
		if r, ok := errors.AsType[*refusal](v); ok {
			return r.err
		}
		return fmt.Errorf("%w: %w: %w", ErrInvalid, ErrPanic, v)
	default:
		return fmt.Errorf("%w: %w: %v", ErrInvalid, ErrPanic, v)
	}
}

func recovered(err *error) {
	if e := PanicError(recover()); e != nil {
		*err = e
	}
}
