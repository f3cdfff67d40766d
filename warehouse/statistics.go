package warehouse

import "time"

// Statistics are what is known of one batch, or of one training, for SQL to read.
type Statistics struct {
	Model   string
	Version int64
	Batch   *MonitoredBatch // nil: of the training of the version
	Metrics []Metric
	Bins    []Bin
}

// MonitoredBatch is a row of mlflow.monitoring.batch. Empty text and zero times are null there.
type MonitoredBatch struct {
	ID, RunID, ModelDigest          string
	InputSource, InputVersion       string
	InputDate                       string // YYYY-MM-DD
	OutputTable, OutputDigest       string
	PostProcessor                   string
	Rows, RowsRefused               int64
	StartedAt, FinishedAt, ScoredAt time.Time
	Threshold                       float64
	ScoreMin, ScoreMax, ScoreMean   float64 // NaN without a score
	PositiveRate                    float64 // 0 for models that are not binary
	Attempt                         int
}

// Metric is one figure. Column "" is the subject as a whole, Slice "" all of its rows. A Value that is NaN is null.
type Metric struct {
	Column, Slice, Name string
	Value               float64
}

// The kinds of bins.
const (
	BinRange            = "range"    // values in (Lower, Upper]; NaN is without a bound
	BinScore            = "score"    // scores in [Lower, Upper), the last one with its upper bound
	BinCategory         = "category" // rows of Category
	BinNull             = "null"
	BinNegativeInfinity = "negative_infinity"
	BinPositiveInfinity = "positive_infinity"
	BinOther            = "other"  // categories of the reference without a bin of their own
	BinUnseen           = "unseen" // categories that the reference does not have
)

// Bin is one bin of a histogram.
type Bin struct {
	Column, Slice string
	Kind          string
	Index         int // from 0 within Column, Slice and Kind
	Lower, Upper  float64
	Category      string
	Count         int64
}
