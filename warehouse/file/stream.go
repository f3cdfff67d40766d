package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/treeline-ml/treeline/internal/arrowguard"
	"github.com/treeline-ml/treeline/warehouse"
)

// Stream reads files in order. Tasks (row groups, files) are decoded in parallel; each has a channel of its own, and Next
// reads the channels one after the other.
type Stream struct {
	sources []source
	schema  *arrow.Schema
	queue   []*pending
	head    int // of queue: the task that Next reads
	budget  *budget
	stop    chan struct{}
	wait    sync.WaitGroup
	started bool
	threads int
	closed  bool
	err     error
	busy    atomic.Int64 // nanoseconds of decoding
}

var _ warehouse.RecordStream = (*Stream)(nil)

// pending is a task with what it has decoded so far.
type pending struct {
	task task
	out  chan item
}

type item struct {
	rec   arrow.Record
	bytes int64
	err   error
}

// readAhead is how many records of one task may wait.
const readAhead = 4

// Open opens all files that a path or glob names and checks that they have one schema. Decoding starts with the first
// Next. ctx bounds Open itself. Errors are warehouse.ErrTableNotFound, warehouse.ErrColumn or ErrInvalid.
func Open(ctx context.Context, pathOrGlob string, o Options) (warehouse.RecordStream, error) {
	paths, err := expand(pathOrGlob)
	if err != nil {
		return nil, err
	}
	if o, err = inferAll(ctx, paths, o.withDefaults(), false); err != nil {
		return nil, err
	}
	s := &Stream{stop: make(chan struct{}), threads: o.Threads, budget: newBudget(o.MaxBytes)}
	if err := s.open(ctx, paths, o); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Stream) open(ctx context.Context, paths []string, o Options) error {
	var first *arrow.Schema
	var cols []int
	for _, path := range paths {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		src, err := openSource(path, o)
		if err != nil {
			return err
		}
		s.sources = append(s.sources, src)
		if first == nil {
			first = src.schema()
			if cols, err = project(first, o.Columns); err == nil {
				err = readable(first, cols)
			}
		} else {
			err = sameSchema(first, src.schema())
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for _, t := range src.tasks(cols) {
			s.queue = append(s.queue, &pending{task: t, out: make(chan item, readAhead)})
		}
	}
	s.schema = subset(first, cols)
	return nil
}

// Schema returns the columns asked for.
func (s *Stream) Schema() *arrow.Schema { return s.schema }

// Next returns the next record, which the caller releases, or io.EOF after the last. Errors are final, except that of ctx.
func (s *Stream) Next(ctx context.Context) (arrow.Record, error) {
	if s.closed {
		return nil, fmt.Errorf("reading: %w", errClosed)
	}
	s.start()
	for s.err == nil && s.head < len(s.queue) {
		select {
		case it, ok := <-s.queue[s.head].out:
			if !ok {
				s.head++
				s.budget.advance(s.head)
				continue
			}
			s.budget.release(it.bytes)
			if it.err != nil {
				s.err = it.err
				break
			}
			return it.rec, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	if s.err != nil {
		return nil, s.err
	}
	return nil, io.EOF
}

var errClosed = errors.New("file: stream is closed")

// start runs the workers: each takes the next task in order until there is none.
func (s *Stream) start() {
	if s.started {
		return
	}
	s.started = true
	var mu sync.Mutex
	next := 0
	take := func() int {
		mu.Lock()
		defer mu.Unlock()
		next++
		return next - 1
	}
	for range min(s.threads, len(s.queue)) {
		s.wait.Go(func() {
			for i := take(); i < len(s.queue); i = take() {
				s.decode(i)
			}
		})
	}
}

// decode runs task i and closes its channel.
func (s *Stream) decode(i int) {
	p := s.queue[i]
	defer close(p.out)
	held := int64(0) // reserved for the record that is being decoded
	var mark time.Time
	err := s.run(p.task, func(rec arrow.Record) error {
		s.busy.Add(int64(time.Since(mark)))
		defer func() { mark = time.Now() }()
		actual := recordBytes(rec)
		s.budget.adjust(actual - held)
		held = 0
		if !s.send(p.out, item{rec: rec, bytes: actual}) {
			s.budget.release(actual)
			rec.Release()
			return errClosed
		}
		if !s.budget.acquire(i, p.task.estimate()) {
			return errClosed
		}
		held = p.task.estimate()
		return nil
	}, func() bool {
		if !s.budget.acquire(i, p.task.estimate()) {
			return false
		}
		held = p.task.estimate()
		mark = time.Now()
		return true
	})
	s.budget.release(held)
	if err != nil && !errors.Is(err, errClosed) {
		if errors.Is(err, io.EOF) { // bytes that end too early must not look like the end of the stream
			err = fmt.Errorf("%w: %s", ErrInvalid, err.Error())
		}
		s.send(p.out, item{err: err})
	}
}

// run recovers panics here, in the goroutine that decodes.
func (s *Stream) run(t task, emit func(arrow.Record) error, begin func() bool) (err error) {
	defer recovered(&err)
	if !begin() {
		return errClosed
	}
	return t.run(emit)
}

func (s *Stream) send(out chan<- item, it item) bool {
	select {
	case out <- it:
		return true
	case <-s.stop:
		return false
	}
}

// Busy is the time that the workers have decoded, summed over them; what they waited is no part of it.
func (s *Stream) Busy() time.Duration { return time.Duration(s.busy.Load()) }

// Close ends the workers and releases what they decoded. It waits for them.
func (s *Stream) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	close(s.stop)
	s.budget.close()
	s.wait.Wait()
	for _, p := range s.queue {
		s.drain(p)
	}
	var err error
	for _, src := range s.sources {
		err = errors.Join(err, src.close())
	}
	return err
}

func (s *Stream) drain(p *pending) {
	for {
		select {
		case it, ok := <-p.out:
			if !ok {
				return
			}
			if it.rec != nil {
				it.rec.Release()
			}
		default:
			return
		}
	}
}

// budget bounds the bytes in flight. The task at the head may always go on, or nothing would ever be freed.
type budget struct {
	mu     sync.Mutex
	change *sync.Cond
	free   int64
	head   int
	closed bool
}

func newBudget(n int64) *budget {
	b := &budget{free: n}
	b.change = sync.NewCond(&b.mu)
	return b
}

// acquire waits for n bytes. It reports false when the stream was closed.
func (b *budget) acquire(task int, n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.free < n && task != b.head && !b.closed {
		b.change.Wait()
	}
	b.free -= n
	return !b.closed
}

func (b *budget) release(n int64) { b.adjust(-n) }

func (b *budget) adjust(more int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free -= more
	b.change.Broadcast()
}

func (b *budget) advance(head int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.head = head
	b.change.Broadcast()
}

func (b *budget) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.change.Broadcast()
}

// recordBytes is the size of a record's buffers.
func recordBytes(rec arrow.Record) int64 {
	var n int64
	for _, c := range rec.Columns() {
		for _, b := range c.Data().Buffers() {
			if b != nil {
				n += int64(b.Len())
			}
		}
	}
	return n
}

// recovered turns a panic into an error of this package.
func recovered(err *error) {
	if e := arrowguard.PanicError(recover()); e != nil {
		*err = fmt.Errorf("%w: %w", ErrInvalid, e)
	}
}
