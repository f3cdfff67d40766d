package local

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"math"
	"sync"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
)

// rowKeys remembers the keys of rows that went out, by a 64-bit hash, until they come back.
type rowKeys struct {
	columns []int
	seed    maphash.Seed

	mu      sync.Mutex
	waiting [][]uint64 // one slice a record
	at      int        // in the first of them
	sent    int64
	back    int64
}

func newRowKeys(columns []int) *rowKeys { return &rowKeys{columns: columns, seed: maphash.MakeSeed()} }

func (k *rowKeys) hashes(rec arrow.Record) []uint64 {
	out := make([]uint64, rec.NumRows())
	var h maphash.Hash
	h.SetSeed(k.seed)
	for row := range out {
		h.Reset()
		for _, c := range k.columns {
			hashValue(&h, rec.Column(c), row)
		}
		out[row] = h.Sum64()
	}
	return out
}

func (k *rowKeys) put(rec arrow.Record) {
	if rec.NumRows() == 0 {
		return
	}
	hashes := k.hashes(rec)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.waiting = append(k.waiting, hashes)
	k.sent += rec.NumRows()
}

// take compares the rows of a record with those that are waited for.
func (k *rowKeys) take(rec arrow.Record) error {
	hashes := k.hashes(rec)
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, h := range hashes {
		if len(k.waiting) == 0 {
			return fmt.Errorf("%w: it gives more rows than the %d it got", ErrChild, k.sent)
		}
		if k.waiting[0][k.at] != h {
			return fmt.Errorf("%w: row %d has another key than the row it got; keep rows, keys and their order", ErrChild, k.back+1)
		}
		k.back++
		if k.at++; k.at == len(k.waiting[0]) {
			k.waiting, k.at = k.waiting[1:], 0
		}
	}
	return nil
}

func (k *rowKeys) end() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.back != k.sent {
		return early{fmt.Errorf("%w: it gives %d rows, it got %d", ErrChild, k.back, k.sent)}
	}
	return nil
}

// hashValue adds one value: a tag for null or not, then its bytes; text also its length, so that neighbours do not run
// together.
func hashValue(h *maphash.Hash, a arrow.Array, row int) {
	if a.IsNull(row) {
		_ = h.WriteByte(0)
		return
	}
	_ = h.WriteByte(1)
	number := func(v uint64) {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], v)
		_, _ = h.Write(b[:])
	}
	text := func(s string) {
		number(uint64(len(s)))
		_, _ = h.WriteString(s)
	}
	switch a := a.(type) {
	case *array.Int64:
		number(uint64(a.Value(row)))
	case *array.Int32:
		number(uint64(a.Value(row)))
	case *array.Float64:
		number(math.Float64bits(a.Value(row)))
	case *array.Timestamp:
		number(uint64(a.Value(row)))
	case *array.Date32:
		number(uint64(a.Value(row)))
	case *array.String:
		text(a.Value(row))
	case *array.LargeString:
		text(a.Value(row))
	case *array.Dictionary:
		hashValue(h, a.Dictionary(), a.GetValueIndex(row))
	default:
		text(a.ValueStr(row))
	}
}
