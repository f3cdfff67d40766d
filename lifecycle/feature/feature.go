// Package feature computes, pins and exports the features of models: once a day, and once for each content, however many
// models, trainings and batches ask.
//
//	Compute  data.features_sql of a day -> rows of the features table    (warehouse.Materialise: single-flight, remembered)
//	Pin      the table through a day    -> warehouse.Ref                 (warehouse.Snapshot: content-addressed)
//	Export   the pinned rows            -> a Parquet file for a trainer  (cache of this package)
//
// # The export cache
//
//	<Dir>/<version>-<sha256>.parquet
//
// A file appears under its name complete, and its name says what is in it: before it is given out, its bytes are compared
// with the digest. What Export puts at the caller's path is a hard link to it, where the file system allows (else a copy).
// So the kernel counts the references: a file with a second link is in use, by whatever process, also after a crash; the
// cache removes files that have no other link only, the least recently used first, when it is over its size.
//
// # Concurrency
//
// A Service serves any number of goroutines. Its directory belongs to one Service.
package feature

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/treeline-ml/treeline/warehouse"
)

// ErrModel: no configuration says where the model's features are. The operator adds one.
var ErrModel = errors.New("feature: no configuration of the model's features")

// Source says where a model's features come from.
type Source struct {
	Model string
	Table warehouse.TableName
	// SQL computes the rows of one day (warehouse.Materialisation). Empty: somebody else fills the table.
	SQL string
	// DateColumn is the day of a row. It may be empty when SQL is: then the whole table is pinned.
	DateColumn string
	// Keys identify a row, together with DateColumn; the pinned rows are checked and ordered by them.
	Keys []string
	// Label and Exclude are columns that a trainer asks for by name; Pin says so when they are absent.
	Label   string
	Exclude []string
	// CodeDigest identifies what decides the rows besides SQL.
	CodeDigest string
}

// Deps are what a Service needs.
type Deps struct {
	Warehouse warehouse.Warehouse
	Sources   func(model string) (Source, bool)
	// Dir is the export cache, made when missing. MaxBytes bounds the files in it that nobody uses; 0 means 8 GiB.
	Dir      string
	MaxBytes int64
	Logger   *slog.Logger     // discards when nil
	Now      func() time.Time // time.Now when nil
}

// Service computes, pins and exports features.
type Service struct {
	d     Deps
	cache *cache
}

// New opens the export cache and removes what a killed process left half-made in it.
func New(d Deps) (*Service, error) {
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.MaxBytes <= 0 {
		d.MaxBytes = 8 << 30
	}
	c, err := openCache(d.Dir, d.MaxBytes, d.Now, d.Logger)
	if err != nil {
		return nil, err
	}
	return &Service{d: d, cache: c}, nil
}

func (s *Service) source(model string) (Source, error) {
	src, ok := s.d.Sources(model)
	if !ok {
		return src, fmt.Errorf("%s: %w", model, ErrModel)
	}
	return src, nil
}

// Compute makes the rows of a day (YYYY-MM-DD), unless they stand already. A model without SQL has nothing to compute. It
// fails with ErrModel or as warehouse.Materialise does.
func (s *Service) Compute(ctx context.Context, model, date string) (warehouse.Materialised, error) {
	src, err := s.source(model)
	if err != nil || src.SQL == "" {
		return warehouse.Materialised{}, err
	}
	out, err := s.d.Warehouse.Materialise(ctx, warehouse.Materialisation{
		Table: src.Table, SQL: src.SQL, DateColumn: src.DateColumn, Date: date, CodeDigest: src.CodeDigest,
	})
	if err == nil {
		s.d.Logger.InfoContext(ctx, "features computed", "model", model, "table", src.Table.String(), "date", date, "rows", out.Rows,
			"computed", out.Computed)
	}
	return out, err
}

// Pin pins the model's whole history through a day, all columns. It fails with ErrModel or as warehouse.Snapshot does.
func (s *Service) Pin(ctx context.Context, model, through string) (warehouse.Ref, error) {
	src, err := s.source(model)
	if err != nil {
		return warehouse.Ref{}, err
	}
	in := warehouse.Input{Table: src.Table, DateColumn: src.DateColumn}
	if src.DateColumn != "" {
		in.Through = through
	}
	if len(src.Keys) > 0 {
		in.Keys = append(in.Keys, src.Keys...)
		if src.DateColumn != "" && !slices.Contains(src.Keys, src.DateColumn) {
			in.Keys = append(in.Keys, src.DateColumn) // a key has one row a day
		}
	}
	ref, err := s.d.Warehouse.Snapshot(ctx, in)
	if err != nil {
		return ref, err
	}
	var missing []string
	for _, name := range append([]string{src.Label}, src.Exclude...) {
		if name != "" && !ref.Schema.HasField(name) {
			missing = append(missing, fmt.Sprintf("%q", name))
		}
	}
	if missing != nil {
		return warehouse.Ref{}, fmt.Errorf("%s has no column %s, which the model's configuration names: %w", src.Table,
			strings.Join(missing, ", "), warehouse.ErrColumn)
	}
	return ref, nil
}

// Export makes path, which must not exist or be an earlier export, a Parquet file of the pinned rows, in bounded memory, and
// returns their number. The file is read-only and shared: who wants to change it makes a copy. path goes away with
// os.Remove.
func (s *Service) Export(ctx context.Context, ref warehouse.Ref, path string) (int64, error) {
	err := s.cache.link(ctx, ref, path, func(tmp string) error { return s.write(ctx, ref, tmp) })
	if err != nil {
		return 0, fmt.Errorf("exporting %s: %w", ref.Source, err)
	}
	return ref.Rows, nil
}
