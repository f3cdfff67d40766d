package monitor

import (
	"fmt"
	"math"
	"sync"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
)

// BatchRows bounds the rows of a batch that a BatchRecorder looks at: enough that the noise floor of a dozen bins is .001,
// and the cost of a profile does not grow with the batch.
const BatchRows = 1 << 16

// BatchRecorder profiles a batch while it is scored. Of a batch with more than BatchRows rows it looks at about that many,
// chosen by a hash of their position, so that the profile depends neither on the size of records nor on the number of
// goroutines. It serves any number of them.
type BatchRecorder struct {
	fields []Field
	bins   *Bins
	limit  uint64 // rows whose position hashes above it are left out
	rows   int64

	mu    sync.Mutex
	idle  []*Profiler
	all   []*Profiler
	seen  int64
	total int64
	err   error
}

// NewBatchRecorder returns a recorder of a batch of rows rows, in the bins of the reference, or its own with nil. It fails
// with ErrInput as NewProfiler.
func NewBatchRecorder(fields []Field, bins *Bins, rows int64) (*BatchRecorder, error) {
	b := &BatchRecorder{fields: fields, bins: bins, limit: math.MaxUint64, rows: rows}
	if rows > BatchRows {
		b.limit = uint64(float64(BatchRows) / float64(rows) * 0x1p64)
	}
	p, err := NewProfiler(fields, bins)
	if err != nil {
		return nil, err
	}
	b.idle, b.all = []*Profiler{p}, []*Profiler{p}
	return b, nil
}

// Add counts the rows of a record, whose first row is the given one of the batch. The record is borrowed. What goes wrong
// is kept for Profile.
func (b *BatchRecorder) Add(first int64, rec arrow.Record) {
	p, err := b.take()
	if err != nil {
		return
	}
	seen, err := b.count(p, first, rec)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.idle = append(b.idle, p)
	b.seen += seen
	b.total += rec.NumRows()
	if b.err == nil {
		b.err = err
	}
}

// take returns a Profiler that no other goroutine uses.
func (b *BatchRecorder) take() (*Profiler, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return nil, b.err
	}
	if n := len(b.idle); n > 0 {
		p := b.idle[n-1]
		b.idle = b.idle[:n-1]
		return p, nil
	}
	p, err := NewProfiler(b.fields, b.bins)
	if err != nil {
		b.err = err
		return nil, err
	}
	b.all = append(b.all, p)
	return p, nil
}

// count adds the rows that are chosen, in runs of neighbours.
func (b *BatchRecorder) count(p *Profiler, first int64, rec arrow.Record) (seen int64, err error) {
	rows := rec.NumRows()
	if b.limit == math.MaxUint64 {
		return rows, p.Add(rec)
	}
	for at := int64(0); at < rows; {
		// Neighbours share a hash, so that a run of them is one slice.
		end := min(rows, ((first+at)/run+1)*run-first)
		if mix(uint64((first+at)/run)) <= b.limit {
			seen += end - at
			if err = b.slice(p, rec, at, end); err != nil {
				return seen, err
			}
		}
		at = end
	}
	return seen, nil
}

// run is the number of neighbouring rows that are chosen together.
const run = 256

func (b *BatchRecorder) slice(p *Profiler, rec arrow.Record, from, to int64) error {
	columns := make([]arrow.Array, 0, len(b.fields))
	defer func() {
		for _, c := range columns {
			c.Release()
		}
	}()
	fields := make([]arrow.Field, 0, len(b.fields))
	for _, f := range b.fields {
		at := rec.Schema().FieldIndices(f.Name)
		if len(at) != 1 {
			return fmt.Errorf("%d columns are named %q, want 1: %w", len(at), f.Name, ErrInput)
		}
		columns = append(columns, array.NewSlice(rec.Column(at[0]), from, to))
		fields = append(fields, rec.Schema().Field(at[0]))
	}
	part := array.NewRecord(arrow.NewSchema(fields, nil), columns, to-from)
	defer part.Release()
	return p.Add(part)
}

// Profile returns the statistics of all rows that were added, or the first thing that went wrong. Nothing may be added
// afterwards.
func (b *BatchRecorder) Profile() (Profile, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return Profile{}, b.err
	}
	for _, p := range b.all[1:] {
		if err := b.all[0].Merge(p); err != nil {
			return Profile{}, err
		}
	}
	b.all = b.all[:1]
	out := b.all[0].Profile()
	out.Rows, out.Seen = b.total, b.seen
	return out, nil
}
