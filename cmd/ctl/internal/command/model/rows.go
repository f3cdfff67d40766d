package model

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"

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

// openRows opens a file of rows and binds it. extra names columns that are no features and are read as well; it is asked
// once the file's columns are known and may be nil. The caller closes the stream.
func openRows(ctx context.Context, path string, m *forest.Model, p *engine.Program, o options,
	extra func(columns []string) ([]string, error),
) (*rowSource, error) {
	info, err := file.Stat(ctx, path, file.Options{})
	if err != nil {
		return nil, readError(path, err)
	}
	var allowed []string
	if extra != nil {
		var names []string
		for _, f := range info.Schema.Fields() {
			names = append(names, f.Name)
		}
		if allowed, err = extra(names); err != nil {
			return nil, err
		}
	}
	bind := frame.BindOptions{Allowed: allowed, IgnoreExtra: o.ignoreExtra, BaseMargin: o.baseMargin}
	if _, err := frame.NewBinding(m, p, info.Schema, bind); err != nil {
		return nil, bindError(path, err)
	}
	columns := slices.Clone(allowed)
	for _, f := range m.Features {
		columns = append(columns, f.Name)
	}
	if o.baseMargin != "" {
		columns = append(columns, o.baseMargin)
	}
	stream, err := file.Open(ctx, path, file.Options{Columns: columns, Threads: o.threadCount()})
	if err != nil {
		return nil, readError(path, err)
	}
	binding, err := frame.NewBinding(m, p, stream.Schema(), bind)
	if err != nil {
		return nil, errors.Join(bindError(path, err), stream.Close())
	}
	return &rowSource{stream: stream, binding: binding, total: info.Rows}, nil
}

func readError(path string, err error) error {
	if errors.Is(err, warehouse.ErrTableNotFound) {
		return exit.Hinted(fmt.Errorf("%s: %w", path, err), "name an existing .parquet, .arrow or .csv file")
	}
	return fmt.Errorf("%s: %w", path, err)
}

func bindError(path string, err error) error {
	err = fmt.Errorf("%s: %w", path, err)
	if _, ok := errors.AsType[*frame.SchemaError](err); ok {
		return exit.Hinted(err, "leave such columns unread with --ignore-extra")
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
