package file

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/treeline-ml/treeline/internal/arrowguard"
	"github.com/treeline-ml/treeline/warehouse"
)

// arrowFile is an opened Arrow file, in the file or the stream format. It is one task: dictionaries are state.
type arrowFile struct {
	f     *os.File
	guard *arrowguard.File
	count int64
	o     Options
}

func openArrow(path string, o Options) (_ source, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	a := &arrowFile{f: f, o: o}
	if a.guard, err = arrowguard.OpenFile(f, st.Size(), arrowguard.FileLimits(), arrowguard.WithAllocator(o.Alloc)); err != nil {
		if errors.Is(err, arrowguard.ErrUnsupported) { // the file itself is sound
			return nil, fmt.Errorf("%w: %s", warehouse.ErrColumn, err.Error())
		}
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if a.count, err = a.guard.CountRows(); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", ErrInvalid, err), a.guard.Close())
	}
	return a, nil
}

func (a *arrowFile) schema() *arrow.Schema { return arrow.NewSchema(a.guard.Schema().Fields(), nil) }
func (a *arrowFile) rows() int64           { return a.count }

func (a *arrowFile) close() error {
	if err := a.guard.Close(); err != nil {
		return err
	}
	return a.f.Close()
}

func (a *arrowFile) tasks(cols []int) []task {
	return []task{&arrowTask{file: a, cols: cols, schema: subset(a.schema(), cols)}}
}

type arrowTask struct {
	file   *arrowFile
	cols   []int
	schema *arrow.Schema
}

// estimate is zero: how large a record is shows only when it is there.
func (t *arrowTask) estimate() int64 { return 0 }

func (t *arrowTask) run(emit func(arrow.Record) error) error {
	rows := int64(0)
	for {
		rec, err := t.file.guard.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("%s: %w: %w", t.file.f.Name(), ErrInvalid, err)
		}
		rows += rec.NumRows()
		err = t.slices(rec, emit)
		rec.Release()
		if err != nil {
			return err
		}
	}
	if rows != t.file.count {
		return fmt.Errorf("%s: %d rows read, %d announced: %w", t.file.f.Name(), rows, t.file.count, ErrInvalid)
	}
	return nil
}

// slices emits the wanted columns of rec, in pieces of at most BatchRows rows.
func (t *arrowTask) slices(rec arrow.Record, emit func(arrow.Record) error) error {
	cols := make([]arrow.Array, len(t.cols))
	for i, c := range t.cols {
		cols[i] = rec.Column(c)
	}
	whole := array.NewRecord(t.schema, cols, rec.NumRows())
	defer whole.Release()
	for at := int64(0); at < rec.NumRows(); at += int64(t.file.o.BatchRows) {
		if err := emit(whole.NewSlice(at, min(at+int64(t.file.o.BatchRows), rec.NumRows()))); err != nil {
			return err
		}
	}
	return nil
}
