package monitor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"time"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/treeline-ml/treeline/internal/stat"
	"github.com/treeline-ml/treeline/store"
	"github.com/treeline-ml/treeline/warehouse"
)

// Deps are what a Service needs.
type Deps struct {
	Store store.Store
	// Training opens the rows that a version was trained on. It fails with ErrNoData when they are not known or gone. Nil:
	// only statistics that were recorded are there.
	Training func(ctx context.Context, model string, version int64) (warehouse.RecordStream, error)
	// Model describes a version: the columns of its features, which of them are categories, and their shares of the gain
	// (nil when unknown). Nil: no feature statistics without Record, and equal weights.
	Model func(ctx context.Context, model string, version int64) (ModelInfo, error)
	// Options gives a model's thresholds; nil means the defaults.
	Options func(model string) Options
	Logger  *slog.Logger     // discards when nil
	Now     func() time.Time // time.Now when nil
}

// ModelInfo describes the features of a version.
type ModelInfo struct {
	Columns     []string // by the names of the table
	Categorical func(column string) bool
	Importance  map[string]float64 // shares of the gain, by feature; nil when unknown
}

// Service keeps statistics and drift reports.
type Service struct{ d Deps }

// New returns a Service.
func New(d Deps) *Service {
	if d.Options == nil {
		d.Options = func(string) Options { return Options{} }
	}
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	return &Service{d: d}
}

// Subject names what statistics are of.
type Subject struct {
	Model   string
	Kind    string // store.ProfileOfBatch or store.ProfileOfTraining
	Subject string // the score_batch_id, or the version's number
	Version int64  // that scored the batch or was trained
	At      time.Time
}

// String is the subject in words.
func (s Subject) String() string {
	if s.Kind == store.ProfileOfTraining {
		return "training of version " + s.Subject
	}
	return "batch " + s.Subject
}

// TrainingOf is the subject of a version's training data.
func TrainingOf(model string, version int64) Subject {
	return Subject{Model: model, Kind: store.ProfileOfTraining, Subject: strconv.FormatInt(version, 10), Version: version}
}

// BatchOf is the subject of a batch that a version scored.
func BatchOf(model string, version int64, id string) Subject {
	return Subject{Model: model, Kind: store.ProfileOfBatch, Subject: id, Version: version}
}

// Record stores the statistics of a subject, replacing earlier ones, and announces them. At is now.
func (s *Service) Record(ctx context.Context, subject Subject, p Profile) error {
	body, err := p.Encode()
	if err != nil {
		return fmt.Errorf("statistics of the %s: %w", subject, err)
	}
	subject.At = s.now()
	return s.d.Store.Update(ctx, func(tx store.Tx) error {
		err := tx.PutProfile(store.Profile{
			Model: subject.Model, Kind: subject.Kind, Subject: subject.Subject, Version: subject.Version, Rows: p.Rows,
			At: subject.At, Body: body,
		})
		if err != nil {
			return err
		}
		return Announce(tx, subject)
	})
}

func (s *Service) now() time.Time { return s.d.Now().UTC().Truncate(time.Microsecond) }

// Statistics returns the statistics of a subject: kind is store.ProfileOfBatch or store.ProfileOfTraining, subject the
// score_batch_id or the version's number. It fails with ErrNoData.
func (s *Service) Statistics(ctx context.Context, model, kind, subject string) (Subject, Profile, error) {
	return s.statistics(ctx, Subject{Model: model, Kind: kind, Subject: subject})
}

func (s *Service) statistics(ctx context.Context, subject Subject) (Subject, Profile, error) {
	var row store.Profile
	err := s.d.Store.View(ctx, func(r store.Reader) (err error) {
		row, err = r.Profile(subject.Model, subject.Kind, subject.Subject)
		return err
	})
	if errors.Is(err, store.ErrStatisticsNotFound) {
		return subject, Profile{}, fmt.Errorf("%w of the %s of %s", ErrNoData, subject, subject.Model)
	}
	if err != nil {
		return subject, Profile{}, err
	}
	p, err := DecodeProfile(row.Body)
	if err != nil {
		return subject, Profile{}, fmt.Errorf("statistics of the %s of %s: %w: %w", subject, subject.Model, store.ErrCorrupt, err)
	}
	subject.Version, subject.At = row.Version, row.At
	return subject, p, nil
}

// Training returns the statistics of the rows that a version was trained on, in the given bins or, with nil, in its own;
// the latter are recorded when they were not yet. It fails with ErrNoData when the rows are not known.
func (s *Service) Training(ctx context.Context, model string, version int64, bins *Bins) (Profile, error) {
	subject := TrainingOf(model, version)
	if bins == nil {
		if _, p, err := s.statistics(ctx, subject); !errors.Is(err, ErrNoData) {
			return p, err
		}
	}
	if s.d.Training == nil {
		return Profile{}, fmt.Errorf("%w of the %s of %s: its training rows are not kept", ErrNoData, subject, model)
	}
	stream, err := s.d.Training(ctx, model, version)
	if err != nil {
		return Profile{}, err
	}
	p, err := s.read(ctx, model, version, stream, bins)
	if err = errors.Join(err, stream.Close()); err != nil {
		return Profile{}, fmt.Errorf("statistics of the %s of %s: %w", subject, model, err)
	}
	if bins == nil {
		err = s.Record(ctx, subject, p)
	}
	return p, err
}

// read profiles a stream.
func (s *Service) read(ctx context.Context, model string, version int64, stream warehouse.RecordStream, bins *Bins) (Profile, error) {
	fields, err := s.fields(ctx, model, version, stream.Schema(), bins)
	if err != nil {
		return Profile{}, err
	}
	profiler, err := NewProfiler(fields, bins)
	if err != nil {
		return Profile{}, err
	}
	for {
		rec, err := stream.Next(ctx)
		if errors.Is(err, io.EOF) {
			return profiler.Profile(), nil
		}
		if err != nil {
			return Profile{}, err
		}
		err = profiler.Add(rec)
		rec.Release()
		if err != nil {
			return Profile{}, err
		}
	}
}

// fields are the features of a version that the schema has, and, with bins, only those that the bins have too.
func (s *Service) fields(ctx context.Context, model string, version int64, schema *arrow.Schema, bins *Bins) ([]Field, error) {
	var info ModelInfo
	if s.d.Model != nil {
		var err error
		if info, err = s.d.Model(ctx, model, version); err != nil {
			return nil, err
		}
	}
	return fieldsIn(FieldsOf(schema, info.Columns, info.Categorical), bins), nil
}

func fieldsIn(fields []Field, bins *Bins) []Field {
	if bins == nil {
		return fields
	}
	var out []Field
	for _, f := range fields {
		if bins.find(f) == nil { // the bins may have it as the other kind: a code column of another version
			f.Categorical = !f.Categorical
			if bins.find(f) == nil {
				continue
			}
		}
		out = append(out, f)
	}
	return out
}

// BatchInput is a batch that is about to be scored.
type BatchInput struct {
	Model   string
	Version int64
	ID      string
	Rows    int64
	Schema  *arrow.Schema
	Columns []string // of the features
}

// BatchProfile profiles a batch while it is scored, see BatchRecorder.
type BatchProfile struct {
	*BatchRecorder

	s       *Service
	subject Subject
}

// BeginBatch returns a recorder in the bins of the version's training data, or, when there are none, in those of the
// latest batch of the same version, or in the batch's own.
func (s *Service) BeginBatch(ctx context.Context, b BatchInput) (*BatchProfile, error) {
	bins, err := s.batchBins(ctx, b)
	if err != nil {
		return nil, err
	}
	var isCategorical func(string) bool
	if s.d.Model != nil {
		info, err := s.d.Model(ctx, b.Model, b.Version)
		if err != nil {
			return nil, err
		}
		isCategorical = info.Categorical
	}
	fields := fieldsIn(FieldsOf(b.Schema, b.Columns, isCategorical), bins)
	r, err := NewBatchRecorder(fields, bins, b.Rows)
	if err != nil {
		return nil, err
	}
	return &BatchProfile{BatchRecorder: r, s: s, subject: BatchOf(b.Model, b.Version, b.ID)}, nil
}

func (s *Service) batchBins(ctx context.Context, b BatchInput) (*Bins, error) {
	_, p, err := s.statistics(ctx, TrainingOf(b.Model, b.Version))
	if errors.Is(err, ErrNoData) {
		var subject Subject
		subject, p, err = s.latest(ctx, b.Model)
		if err == nil && subject.Version != b.Version {
			return nil, nil
		}
	}
	switch {
	case errors.Is(err, ErrNoData):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return p.FrozenBins(), nil
}

// Finish stores the statistics of the committed batch.
func (b *BatchProfile) Finish(ctx context.Context) error {
	p, err := b.Profile()
	if err != nil {
		return fmt.Errorf("statistics of the %s: %w", b.subject, err)
	}
	return b.s.Record(ctx, b.subject, p)
}

// latestTried is how many of the latest batches are looked at for one with statistics.
const latestTried = 20

// latest returns the statistics of the latest batch that has some.
func (s *Service) latest(ctx context.Context, model string) (Subject, Profile, error) {
	var rows []store.BatchRow
	err := s.d.Store.View(ctx, func(r store.Reader) (err error) {
		rows, _, err = r.Batches(store.BatchQuery{Model: model, State: store.BatchSucceeded, PageSize: latestTried})
		return err
	})
	if err != nil {
		return Subject{}, Profile{}, err
	}
	for _, row := range rows {
		subject, p, err := s.statistics(ctx, BatchOf(model, row.Lineage.ModelVersion, row.ID))
		if !errors.Is(err, ErrNoData) {
			return subject, p, err
		}
	}
	return Subject{}, Profile{}, fmt.Errorf("%w of any batch of %s; score one", ErrNoData, model)
}

// LatestBatch returns the statistics of the latest batch that has some, and its id. It fails with ErrNoData.
func (s *Service) LatestBatch(ctx context.Context, model string) (Profile, string, error) {
	subject, p, err := s.latest(ctx, model)
	return p, subject.Subject, err
}

// Request asks for a drift check.
type Request struct {
	Model            string
	BatchID          string // empty means the latest batch that has statistics
	ReferenceBatchID string // empty means the training data of the version that scored the batch
	Mode             Mode   // empty means as configured
}

// Check compares a batch with its reference and stores the report. It fails with ErrNoData when there are no statistics of
// one of them, and with store.ErrBatchNotFound for a batch that never was. A reference in other bins gives an
// inconclusive report.
func (s *Service) Check(ctx context.Context, q Request) (Report, error) {
	subject, cur, err := s.batch(ctx, q.Model, q.BatchID)
	if err != nil {
		return Report{}, err
	}
	against := TrainingOf(q.Model, subject.Version)
	var ref Profile
	if q.ReferenceBatchID != "" {
		against, ref, err = s.batch(ctx, q.Model, q.ReferenceBatchID)
	} else {
		_, ref, err = s.statistics(ctx, against)
	}
	if err != nil {
		return Report{}, err
	}
	o := s.d.Options(q.Model)
	if q.Mode != "" {
		o.Mode = q.Mode
	}
	report, err := Detect(ref, cur, o, s.importance(ctx, q.Model, subject.Version))
	if err != nil {
		return Report{}, err
	}
	report.Model, report.Version, report.BatchID, report.Reference, report.At = q.Model, subject.Version, subject.Subject, against.String(), s.now()
	if q.ReferenceBatchID != "" {
		report.ScorePSI = s.scorePSI(ctx, q.ReferenceBatchID, subject.Subject)
	}
	body, err := report.encode()
	if err != nil {
		return Report{}, err
	}
	err = s.d.Store.Update(ctx, func(tx store.Tx) (err error) {
		report.ID, err = tx.PutDrift(store.DriftRow{
			Model: report.Model, Version: report.Version, BatchID: report.BatchID, Reference: report.Reference,
			Mode: string(report.Mode), Verdict: string(report.Verdict), Share: report.Share, At: report.At, Body: body,
		})
		return err
	})
	return report, err
}

// batch returns the statistics of a batch of the model, or of the latest one.
func (s *Service) batch(ctx context.Context, model, id string) (Subject, Profile, error) {
	if id == "" {
		return s.latest(ctx, model)
	}
	err := s.d.Store.View(ctx, func(r store.Reader) error {
		row, err := r.Batch(id)
		if err == nil && row.Lineage.ModelName != model {
			err = fmt.Errorf("batch %s is of %s, not of %s: %w", id, row.Lineage.ModelName, model, store.ErrBatchNotFound)
		}
		return err
	})
	if err != nil {
		return Subject{}, Profile{}, err
	}
	return s.statistics(ctx, BatchOf(model, 0, id))
}

// importance is nil, for equal weights, when the model does not tell.
func (s *Service) importance(ctx context.Context, model string, version int64) map[string]float64 {
	if s.d.Model == nil {
		return nil
	}
	info, err := s.d.Model(ctx, model, version)
	if err != nil {
		s.d.Logger.WarnContext(ctx, "features are weighed equally", "model", model, "version", version, "error", err)
		return nil
	}
	return info.Importance
}

// scorePSI compares the histograms of two batches; 0 when their ranges differ.
func (s *Service) scorePSI(ctx context.Context, ref, cur string) float64 {
	var a, b store.BatchRow
	err := s.d.Store.View(ctx, func(r store.Reader) (err error) {
		if a, err = r.Batch(ref); err != nil {
			return err
		}
		b, err = r.Batch(cur)
		return err
	})
	inUnit := func(x store.BatchRow) bool { return x.ScoreMin >= 0 && x.ScoreMax <= 1 }
	if err != nil || len(a.Histogram) != store.HistogramBins || len(b.Histogram) != store.HistogramBins || !inUnit(a) || !inUnit(b) {
		return 0
	}
	psi, _, err := stat.PSI(tenths(a.Histogram), tenths(b.Histogram))
	if err != nil {
		return 0
	}
	return psi
}

// tenths merges neighbouring bins into ten.
func tenths(bins []int64) []int64 {
	out := make([]int64, 10)
	for i, n := range bins {
		out[i*10/len(bins)] += n
	}
	return out
}

// Reports lists stored reports, newest first, and the token of the next page. It fails with store.ErrPageToken.
func (s *Service) Reports(ctx context.Context, q store.DriftQuery) (reports []Report, next string, err error) {
	var rows []store.DriftRow
	err = s.d.Store.View(ctx, func(r store.Reader) (err error) {
		rows, next, err = r.Drifts(q)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	for _, row := range rows {
		r, err := decodeReport(row.Body)
		if err != nil {
			return nil, "", fmt.Errorf("drift report %d: %w: %w", row.ID, store.ErrCorrupt, err)
		}
		r.ID = row.ID
		reports = append(reports, r)
	}
	return reports, next, nil
}
