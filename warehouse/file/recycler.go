package file

import (
	"math/bits"
	"sync"

	"github.com/apache/arrow/go/v17/arrow/memory"
)

// recycler is the allocator of a Stream that is given none. It hands freed memory out again without clearing it: every
// decoder writes all of what it asks for. A stream asks for the same few sizes all the time, and without it a fifth of
// reading is clearing, page faults and garbage collection (BenchmarkRead).
type recycler struct {
	next memory.Allocator

	mu   sync.Mutex
	free [recycledClasses][][]byte // by class
	kept int64                     // bytes of free
	most int64
}

// Buffers of minRecycled bytes up to minRecycled << (recycledClasses-1) are kept, by powers of two.
const (
	minRecycled     = 1 << 10
	recycledClasses = 12
)

// newRecycler keeps at most this many bytes of freed memory.
func newRecycler(next memory.Allocator, most int64) *recycler {
	return &recycler{next: next, most: most}
}

// class is the smallest one whose buffers hold size bytes, -1 when there is none.
func class(size int) int {
	if size < minRecycled/2 || size > minRecycled<<(recycledClasses-1) {
		return -1
	}
	return max(0, bits.Len(uint(size-1))-bits.Len(uint(minRecycled-1)))
}

// Allocate returns size bytes of any content.
func (r *recycler) Allocate(size int) []byte {
	k := class(size)
	if k < 0 {
		return r.next.Allocate(size)
	}
	r.mu.Lock()
	if n := len(r.free[k]); n > 0 {
		b := r.free[k][n-1]
		r.free[k] = r.free[k][:n-1]
		r.kept -= int64(cap(b))
		r.mu.Unlock()
		return b[:size]
	}
	r.mu.Unlock()
	return r.next.Allocate(minRecycled << k)[:size]
}

// Reallocate keeps the content.
func (r *recycler) Reallocate(size int, b []byte) []byte {
	if size <= cap(b) {
		return b[:size]
	}
	out := r.Allocate(size)
	copy(out, b)
	r.Free(b)
	return out
}

// Free takes memory back. Other goroutines may hold nothing of it any more.
func (r *recycler) Free(b []byte) {
	k := class(cap(b))
	if k < 0 || cap(b) != minRecycled<<k {
		r.next.Free(b)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.kept+int64(cap(b)) > r.most {
		return // to the garbage collector
	}
	r.kept += int64(cap(b))
	r.free[k] = append(r.free[k], b[:0])
}
