package duckdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/treeline-ml/treeline/warehouse"
	"github.com/treeline-ml/treeline/warehouse/file"
)

// Read streams a pinned input from its file. It fails with warehouse.ErrSnapshotGone when the file is not the pinned one
// any more, also when it changes while it is read: the last Next then fails instead of returning io.EOF.
func (w *Warehouse) Read(ctx context.Context, q warehouse.Query) (warehouse.RecordStream, error) {
	loc, err := parseLocation(q.Ref)
	if err != nil {
		return nil, err
	}
	columns, err := queryColumns(q)
	if err != nil {
		return nil, err
	}
	options := file.Options{Columns: columns, MaxBytes: q.MaxBytes, BatchRows: q.BatchRows, Threads: q.Threads, Hint: q.Ref.Schema}
	guard := &pinned{ref: q.Ref, loc: loc}
	path := loc.Files
	if loc.Snapshot != "" {
		path = loc.Snapshot
		err = guard.checkSnapshot(ctx, w)
	} else {
		err = guard.checkFiles(ctx)
	}
	if err != nil {
		return nil, err
	}
	in := warehouse.Input{Files: path, DateColumn: loc.DateColumn, Date: loc.Date, Through: loc.Through}
	days, err := periodOf(&in)
	if err != nil {
		return nil, err
	}
	if days == (period{}) {
		guard.in, err = file.Open(ctx, path, options)
	} else {
		guard.in, err = openDay(ctx, path, options, in.DateColumn, days)
	}
	if err != nil {
		return nil, errors.Join(guard.unchanged(), fmt.Errorf("reading %s: %w", q.Ref.Source, err))
	}
	return guard, nil
}

func queryColumns(q warehouse.Query) ([]string, error) {
	all := make([]string, q.Ref.Schema.NumFields())
	for i, f := range q.Ref.Schema.Fields() {
		all[i] = f.Name
	}
	if len(q.Columns) == 0 {
		return all, nil
	}
	if missing := absent(all, q.Columns); len(missing) > 0 {
		return nil, fmt.Errorf("%s: %s: %w", q.Ref.Source, strings.Join(missing, "; "), warehouse.ErrColumn)
	}
	return q.Columns, nil
}

// pinned passes a stream on and makes its end an error unless exactly the pinned rows were delivered (W1, W4).
type pinned struct {
	in    warehouse.RecordStream
	ref   warehouse.Ref
	loc   location
	paths []string
	open  identity // when the stream was opened
	rows  int64
	err   error
}

func (p *pinned) Schema() *arrow.Schema { return p.in.Schema() }
func (p *pinned) Close() error          { return p.in.Close() }

// Busy is the time that decoding took, as far as the stream below tells.
func (p *pinned) Busy() time.Duration {
	if s, ok := p.in.(interface{ Busy() time.Duration }); ok {
		return s.Busy()
	}
	return 0
}

func (p *pinned) Next(ctx context.Context) (arrow.Record, error) {
	if p.err != nil {
		return nil, p.err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	rec, err := p.in.Next(ctx)
	switch {
	case err == nil:
		p.rows += rec.NumRows()
		return rec, nil
	case errors.Is(err, io.EOF):
		p.err = p.end(ctx)
	case ctx.Err() != nil:
		return nil, ctx.Err() // the stream itself is whole
	default:
		p.err = fmt.Errorf("reading %s: %w", p.ref.Source, err)
		if cerr := p.unchanged(); cerr != nil {
			p.err = errors.Join(cerr, p.err)
		}
	}
	return nil, p.err
}

// end is io.EOF when everything was delivered from an unchanged input.
func (p *pinned) end(ctx context.Context) error {
	if err := p.unchanged(); err != nil {
		return err
	}
	if p.loc.Fresh {
		if err := p.sameDigest(ctx); err != nil {
			return err
		}
	}
	if p.rows != p.ref.Rows {
		return fmt.Errorf("%s delivered %d rows, want %d: %w", p.ref.Source, p.rows, p.ref.Rows, warehouse.ErrSnapshotGone)
	}
	return io.EOF
}

func (p *pinned) unchanged() error {
	now, err := identify(p.paths)
	if err != nil {
		return fmt.Errorf("%s: %w: %w", p.ref.Source, warehouse.ErrSnapshotGone, err)
	}
	if now.contents != p.open.contents {
		return p.changed("changed while it was read")
	}
	return nil
}

func (p *pinned) changed(how string) error {
	return fmt.Errorf("%s %s; run the batch again: %w", p.ref.Source, how, warehouse.ErrSnapshotGone)
}

// checkSnapshot compares our own file with what was pinned: by identity, else by content.
func (p *pinned) checkSnapshot(ctx context.Context, w *Warehouse) error {
	p.paths = []string{p.loc.Snapshot}
	id, err := identify(p.paths)
	if err != nil {
		return fmt.Errorf("%s: %w: %w", p.ref.Source, warehouse.ErrSnapshotGone, err)
	}
	p.open = id
	if id.contents == p.loc.Identity {
		return nil
	}
	columns, err := queryColumns(warehouse.Query{Ref: p.ref})
	if err != nil {
		return err
	}
	d, err := digestOfSnapshot(ctx, w.db, columns, p.loc.Snapshot)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("%s: %w: %w", p.ref.Source, warehouse.ErrSnapshotGone, err)
	case d.String() != p.loc.Digest:
		return p.changed("has a snapshot file that was altered")
	}
	return nil
}
