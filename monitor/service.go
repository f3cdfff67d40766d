package monitor

import (
	"context"
	"log/slog"
	"time"

	"github.com/treeline-ml/treeline/store"
	"github.com/treeline-ml/treeline/warehouse"
)

// Deps are what a Service needs.
type Deps struct {
	Store store.Store
	// Training opens the rows that a version was trained on, or fails with ErrNoData. May be nil.
	Training func(ctx context.Context, model string, version int64) (warehouse.RecordStream, error)
	// Features lists a version's features and their shares of the gain (nil when the model has none).
	Features func(ctx context.Context, model string, version int64) ([]Field, map[string]float64, error)
	// Options gives a model's thresholds; nil: the defaults.
	Options func(model string) Options
	Logger  *slog.Logger     // discards when nil
	Now     func() time.Time // time.Now when nil
}

// Service keeps statistics and drift reports.
type Service struct{ d Deps }

// New returns a Service.
func New(d Deps) *Service { return &Service{d: d} }

// Subject names what statistics are kept of.
type Subject struct {
	Model   string
	Kind    string // store.ProfileOfBatch or store.ProfileOfTraining
	Subject string // the score_batch_id, or the version's number
	Version int64  // that scored the batch or was trained
	At      time.Time
}

// Record stores the statistics of a subject, replacing earlier ones.
func (s *Service) Record(context.Context, Subject, Profile) error { return ErrNoData }

// Statistics returns the statistics of a subject, or ErrNoData.
func (s *Service) Statistics(context.Context, string, string, string) (Subject, Profile, error) {
	return Subject{}, Profile{}, ErrNoData
}

// Check compares a batch with its reference and stores the report.
func (s *Service) Check(context.Context, Request) (Report, error) { return Report{}, ErrNoData }

// Reports lists stored reports, newest first.
func (s *Service) Reports(_ context.Context, _ store.DriftQuery) (reports []Report, next string, err error) {
	return nil, "", ErrNoData
}

// Training satisfies gate.Statistics.
func (s *Service) Training(context.Context, string, int64, *Bins) (Profile, error) {
	return Profile{}, ErrNoData
}

// LatestBatch satisfies gate.Statistics.
func (s *Service) LatestBatch(context.Context, string) (Profile, string, error) {
	return Profile{}, "", ErrNoData
}
