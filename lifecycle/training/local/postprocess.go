package local

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/treeline-ml/treeline/internal/arrowguard"
)

// PostProcessSpec is one pass of scores through an inference_class.
type PostProcessSpec struct {
	Class      string
	ModulePath []string
	Timeout    time.Duration // 0 means 30 minutes

	// Schema is what goes in and must come out; Keys name the columns of it that must come out as they went in, row by row.
	Schema *arrow.Schema
	Keys   []string
	// Next delivers the scores, and io.EOF after the last; the record is released here. It is called from a goroutine.
	Next func(ctx context.Context) (arrow.Record, error)
	// Emit takes the processed scores, borrowed. Nothing may be made of them before PostProcess has returned nil: that the
	// rows are complete shows at the end.
	Emit func(rec arrow.Record) error

	Alloc memory.Allocator // nil means the Go heap
}

// PostProcess streams scores through "python -m treeline.inference". Memory does not grow with the rows, but for eight bytes
// a row that the class holds back. It fails with ErrStart, or with ErrChild when the class fails, or when it gives other
// columns, other keys or another number of rows than it got.
func PostProcess(ctx context.Context, p Process, s PostProcessSpec) (err error) {
	keys := make([]int, len(s.Keys))
	for i, k := range s.Keys {
		at := s.Schema.FieldIndices(k)
		if len(at) != 1 {
			return fmt.Errorf("%w: key column %q occurs %d times in the scores", ErrStart, k, len(at))
		}
		keys[i] = at[0]
	}
	if s.Alloc == nil {
		s.Alloc = memory.DefaultAllocator
	}
	dir, err := os.MkdirTemp("", "treeline-inference-")
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStart, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	args := []string{"--class", s.Class}
	for _, path := range s.ModulePath {
		args = append(args, "--path", path)
	}
	c, err := p.command("treeline.inference", dir, s.ModulePath, args...)
	if err != nil {
		return err
	}
	in, err := c.cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStart, err)
	}
	out, outW, err := os.Pipe()
	if err != nil {
		return errors.Join(fmt.Errorf("%w: %w", ErrStart, err), in.Close())
	}
	defer out.Close()
	c.cmd.Stdout = outW
	pass := &pass{s: s, keys: newRowKeys(keys)}
	err = c.run(ctx, s.Timeout, func(ctx context.Context) error {
		// The process has its own; ours must not keep the pipe open after it.
		if err := outW.Close(); err != nil {
			return err
		}
		return pass.run(ctx, in, out)
	})
	_ = outW.Close() // where it did not start
	if err != nil {
		return fmt.Errorf("inference_class %s: %w", s.Class, err)
	}
	return nil
}

// pass is one run of PostProcess.
type pass struct {
	s    PostProcessSpec
	keys *rowKeys
}

func (p *pass) run(ctx context.Context, in io.WriteCloser, out *os.File) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	var sendErr error
	wg.Go(func() {
		sendErr = p.send(ctx, in)
		if sendErr != nil && !brokenPipe(sendErr) {
			cancel()
			_ = out.Close() // so that receive ends
		}
	})
	// A class that holds on to its stdout after we gave up must not hold us.
	stop := context.AfterFunc(ctx, func() { _ = out.Close() })
	defer stop()
	err := p.receive(out)
	if err != nil {
		cancel()
		_ = in.Close()
	}
	wg.Wait()
	// Each side ends the other: the error that is not the end of a pipe came first.
	if sendErr != nil && (err == nil || brokenPipe(err) && !brokenPipe(sendErr)) {
		return sendErr
	}
	return err
}

func (p *pass) send(ctx context.Context, in io.WriteCloser) (err error) {
	buf := bufio.NewWriterSize(in, 1<<20)
	w := ipc.NewWriter(buf, ipc.WithSchema(p.s.Schema), ipc.WithAllocator(p.s.Alloc))
	defer func() {
		// Without its end the stream is cut, which the class reports.
		if err == nil {
			err = errors.Join(w.Close(), buf.Flush())
		} else {
			_ = w.Close()
		}
		err = errors.Join(err, in.Close())
	}()
	for {
		rec, err := p.s.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if !rec.Schema().Equal(p.s.Schema) {
			err = fmt.Errorf("%w: scores have the columns %s, want %s", ErrStart, rec.Schema(), p.s.Schema)
		}
		if err == nil {
			p.keys.put(rec)
			err = w.Write(rec)
		}
		rec.Release()
		if err == nil {
			err = buf.Flush()
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
	}
}

// streamLimits bound what a class may send: it may put all rows it got into one record.
func streamLimits() arrowguard.Limits {
	l := arrowguard.DefaultLimits()
	l.MaxMessageBytes, l.MaxAllocBytes, l.MaxRows = 512<<20, 1<<30, 64<<20
	return l
}

func (p *pass) receive(out io.Reader) (err error) {
	r, err := arrowguard.NewReader(bufio.NewReaderSize(out, 1<<20), streamLimits(), arrowguard.WithAllocator(p.s.Alloc))
	if err != nil {
		return streamError(err)
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if faults := sameColumns(p.s.Schema, r.Schema()); len(faults) > 0 {
		return fmt.Errorf("%w: it gives other columns: %s", ErrChild, strings.Join(faults, "; "))
	}
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return p.keys.end()
		}
		if err != nil {
			return streamError(err)
		}
		if err = p.keys.take(rec); err == nil {
			err = p.s.Emit(rec)
		}
		rec.Release()
		if err != nil {
			return err
		}
	}
}

// streamError is an output that is no stream, or ended in its middle.
func streamError(err error) error { return early{fmt.Errorf("%w: its output: %w", ErrChild, err)} }

// sameColumns lists the differences in names and types. Nullability is not one: it is decided by the values.
func sameColumns(want, got *arrow.Schema) []string {
	var faults []string
	for i := range max(want.NumFields(), got.NumFields()) {
		switch {
		case i >= got.NumFields():
			faults = append(faults, fmt.Sprintf("%q is missing", want.Field(i).Name))
		case i >= want.NumFields():
			faults = append(faults, fmt.Sprintf("%.80q is too many", got.Field(i).Name))
		case got.Field(i).Name != want.Field(i).Name:
			faults = append(faults, fmt.Sprintf("column %d is %.80q, want %q", i+1, got.Field(i).Name, want.Field(i).Name))
		case !arrow.TypeEqual(got.Field(i).Type, want.Field(i).Type):
			faults = append(faults, fmt.Sprintf("%q has type %s, want %s", want.Field(i).Name, got.Field(i).Type, want.Field(i).Type))
		}
		if len(faults) == 20 {
			break
		}
	}
	return faults
}
