package model

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/exit"
	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/frame"
	"github.com/treeline-ml/treeline/warehouse"
	"github.com/treeline-ml/treeline/warehouse/file"
)

// rowSource is an opened file of rows, bound to a model.
type rowSource struct {
	stream  warehouse.RecordStream
	binding *frame.Binding
	total   int64 // -1 when the format does not say
}

// close ends the reading. What it could report was reported by the last read.
func (r *rowSource) close() { _ = r.stream.Close() }

// openRows opens a file of rows and binds it. extra names columns that are no features and are read as well; it is asked
// once the file's columns are known and may be nil. The caller closes it.
func openRows(ctx context.Context, path string, m *forest.Model, p *engine.Program, o options,
	extra func(columns []string) ([]string, error),
) (*rowSource, error) {
	// The first look tells the columns; nothing is decoded.
	look, err := file.Open(ctx, path, file.Options{Hint: typesOfText(m, p), Alloc: o.mem})
	if err != nil {
		return nil, readError(err)
	}
	total, schema := announced(look), look.Schema()
	if err := look.Close(); err != nil {
		return nil, readError(err)
	}
	var allowed []string
	if extra != nil {
		var names []string
		for _, f := range schema.Fields() {
			names = append(names, f.Name)
		}
		if allowed, err = extra(names); err != nil {
			return nil, err
		}
	}
	bind := frame.BindOptions{Allowed: allowed, IgnoreExtra: o.ignoreExtra, BaseMargin: o.baseMargin}
	all, err := frame.NewBinding(m, p, schema, bind)
	if err != nil {
		return nil, bindError(path, err)
	}
	stream, err := file.Open(ctx, path, file.Options{
		Columns: slices.Concat(all.Columns(), allowed), Hint: schema, Threads: o.threadCount(), BatchRows: o.explanation.batchRows(p), MaxBytes: maxBytes, Alloc: o.mem,
	})
	if err != nil {
		return nil, readError(err)
	}
	binding, err := frame.NewBinding(m, p, stream.Schema(), bind)
	if err != nil {
		return nil, errors.Join(bindError(path, err), stream.Close())
	}
	return &rowSource{stream: stream, binding: binding, total: total}, nil
}

const (
	// maxBytes bounds the decoded rows that wait to be scored.
	maxBytes = 64 << 20
	// batchRows is large enough that the work of a record is shared by all threads, small enough that few records in
	// flight are little memory.
	batchRows = 64 << 10
)

func announced(s warehouse.RecordStream) int64 {
	if s, ok := s.(interface{ Rows() int64 }); ok {
		return s.Rows()
	}
	return -1
}

// typesOfText says how columns of a CSV file are to be read where their text does not tell: categories that look like
// numbers are texts to a model that was trained on texts, and scores have the model's type.
func typesOfText(m *forest.Model, p *engine.Program) *arrow.Schema {
	fields := frame.ScoreFields(p, true)
	for _, f := range m.Features {
		isText := func(c forest.Category) bool { return c.Kind == forest.CategoryText }
		fields = slices.DeleteFunc(fields, func(s arrow.Field) bool { return s.Name == f.Name })
		if len(f.Vocabulary) > 0 && !slices.ContainsFunc(f.Vocabulary, func(c forest.Category) bool { return !isText(c) }) {
			fields = append(fields, arrow.Field{Name: f.Name, Type: arrow.BinaryTypes.String, Nullable: true})
		}
	}
	return arrow.NewSchema(fields, nil)
}

// readError adds advice; the error names the file already.
func readError(err error) error {
	switch {
	case errors.Is(err, warehouse.ErrTableNotFound):
		return exit.Hinted(err, "name an existing .parquet, .arrow or .csv file")
	case errors.Is(err, file.ErrInvalid):
		return exit.Hinted(err, "the file is damaged, cut off, or not what its name says: write it again")
	}
	return err
}

func bindError(path string, err error) error {
	err = fmt.Errorf("%s: %w", path, err)
	s, ok := errors.AsType[*frame.SchemaError](err)
	if ok && len(s.Unexpected) > 0 && len(s.Missing)+len(s.Wrong)+len(s.Duplicate)+len(s.Ambiguous) == 0 {
		return exit.Hinted(err, "leave columns that are no features unread with --ignore-extra")
	}
	return exit.Hinted(err, "see what the model needs: ctl model inspect PATH")
}

func (o *options) threadCount() int {
	if o.threads > 0 {
		return o.threads
	}
	return runtime.GOMAXPROCS(0)
}

// refusedOrNil is nil when every row was scored.
func (s *scores) refusedOrNil() []bool {
	if len(s.refused) == 0 {
		return nil
	}
	return s.refused
}
