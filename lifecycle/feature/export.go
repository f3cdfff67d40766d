package feature

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/treeline-ml/treeline/warehouse"
	"github.com/treeline-ml/treeline/warehouse/file"
)

// exportBytes bounds the decoded bytes in flight of one export.
const exportBytes = 128 << 20

// write streams the pinned rows to a new Parquet file.
func (s *Service) write(ctx context.Context, ref warehouse.Ref, path string) (err error) {
	in, err := s.d.Warehouse.Read(ctx, warehouse.Query{Ref: ref, MaxBytes: exportBytes})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := file.Create(path, in.Schema(), file.WriteOptions{})
	if err != nil {
		return err
	}
	for {
		rec, err := in.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = out.Write(rec)
			rec.Release()
		}
		if err != nil {
			return errors.Join(err, out.Abort())
		}
	}
	if out.Rows() != ref.Rows {
		return errors.Join(fmt.Errorf("%d rows were written, want %d: %w", out.Rows(), ref.Rows, warehouse.ErrSnapshotGone), out.Abort())
	}
	return out.Close()
}
