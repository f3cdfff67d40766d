package store

import "time"

// The kinds of subjects that statistics are kept of.
const (
	ProfileOfBatch    = "batch"    // Subject is the score_batch_id
	ProfileOfTraining = "training" // Subject is the version's number
)

// Profile is the statistics of one set of rows; Body is monitor's JSON.
type Profile struct {
	Model   string
	Kind    string
	Subject string
	Version int64 // that scored the batch or was trained
	Rows    int64
	At      time.Time
	Body    []byte
}

// DriftRow is a stored drift report; Body is monitor's JSON.
type DriftRow struct {
	ID        int64 // assigned by the store, ascending
	Model     string
	Version   int64
	BatchID   string
	Reference string
	Mode      string
	Verdict   string
	Share     float64
	At        time.Time
	Body      []byte
}

// DriftQuery selects drift reports. Zero fields do not restrict.
type DriftQuery struct {
	Model   string
	BatchID string
	// PageSize 0 means DefaultPageSize; more than MaxPageSize is cut to it.
	PageSize  int
	PageToken string
}

// MonitorReader is the part of Reader about statistics and drift.
type MonitorReader interface {
	// Profile returns the statistics of a batch or training, or ErrStatisticsNotFound.
	Profile(model, kind, subject string) (Profile, error)
	// Drifts lists drift reports, newest first, and the token of the next page ("" at the end).
	Drifts(q DriftQuery) ([]DriftRow, string, error)
}

// MonitorTx is the part of Tx about statistics and drift.
type MonitorTx interface {
	// PutProfile adds statistics or replaces those of the same model, kind and subject.
	PutProfile(p Profile) error
	// PutDrift adds a drift report and returns its id; that of d is ignored. Share may be NaN.
	PutDrift(d DriftRow) (int64, error)
}
