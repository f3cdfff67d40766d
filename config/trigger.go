package config

import (
	"fmt"
	"time"
)

// Triggers say when a model is trained again besides its schedule. A trigger that is absent is off; an empty one ({}) is
// on with its defaults.
type Triggers struct {
	// Cooldown is the least time between two retrainings that were not asked for by a person. 24h when absent.
	Cooldown time.Duration `yaml:"cooldown"`
	// MaxCooldown caps the cooldown, which doubles with each candidate in a row that the gates refused. 30d when absent.
	MaxCooldown time.Duration `yaml:"max_cooldown"`
	// MaxPerWeek bounds retrainings in seven days; 0 means no bound. 3 when absent.
	MaxPerWeek int `yaml:"max_per_week"`
	// LimitSchedule holds the training schedule to cooldown and max_per_week, too. false when absent.
	LimitSchedule bool `yaml:"limit_schedule"`
	// ProposeOnly: triggers alert a person instead of training.
	ProposeOnly bool `yaml:"propose_only"`
	// Blackout are days on which no trigger trains.
	Blackout []Blackout `yaml:"blackout"`

	Drift       *DriftTrigger       `yaml:"drift"`
	NewData     *NewDataTrigger     `yaml:"new_data"`
	Performance *PerformanceTrigger `yaml:"performance"`
	// ChampionMaxAge retrains when the Champion's training is older. 0s (default) means never.
	ChampionMaxAge time.Duration `yaml:"champion_max_age"`
}

// Blackout is a time without retraining: the days From to To, both included, in TimezoneID.
type Blackout struct {
	From       string `yaml:"from"` // YYYY-MM-DD
	To         string `yaml:"to"`   // YYYY-MM-DD; From when absent
	TimezoneID string `yaml:"timezone_id"`
	Reason     string `yaml:"reason"`
}

// Span is the first instant of the blackout and the first one after it.
func (b Blackout) Span() (from, until time.Time, err error) {
	loc, err := time.LoadLocation(b.TimezoneID)
	if err != nil {
		return time.Time{}, time.Time{}, fmt.Errorf("time zone %q is not known: %w", b.TimezoneID, ErrInvalid)
	}
	if from, err = day(b.From, loc); err != nil {
		return time.Time{}, time.Time{}, err
	}
	last := b.To
	if last == "" {
		last = b.From
	}
	if until, err = day(last, loc); err != nil {
		return time.Time{}, time.Time{}, err
	}
	return from, until.AddDate(0, 0, 1), nil
}

func day(s string, loc *time.Location) (time.Time, error) {
	t, err := time.ParseInLocation(time.DateOnly, s, loc)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is not a day such as 2026-12-24: %w", s, ErrInvalid)
	}
	return t, nil
}

// DriftTrigger retrains when Agree of the last Windows batches drifted, the latest among them.
type DriftTrigger struct {
	Windows int     `yaml:"windows"` // 3 when absent
	Agree   int     `yaml:"agree"`   // 2 when absent, at most windows
	Share   float64 `yaml:"share"`   // of the gain, as monitoring.share, whose value it has when absent
}

// NewDataTrigger retrains when the feature table has grown.
type NewDataTrigger struct {
	MinRows int64 `yaml:"min_rows"` // more than the last training saw; 10000 when absent
}

// PerformanceTrigger retrains when the metric of scored rows whose labels have arrived is below its baseline, by the whole
// of its confidence interval.
type PerformanceTrigger struct {
	LabelsTable string `yaml:"labels_table"` // catalog.schema.table with data.key_cols and the label
	LabelCol    string `yaml:"label_col"`    // data.label_col when absent
	// AvailableCol is the day or time of labels_table from which on a label is known; absent: as soon as the row is there.
	AvailableCol string `yaml:"available_col"`
	Metric       string `yaml:"metric"` // auc, precision or recall; auc when absent
	// Baseline is what the metric must not be below. 0 (default): what the Champion had on its holdout.
	Baseline float64 `yaml:"baseline"`
	MinRows  int64   `yaml:"min_rows"` // with labels; 1000 when absent
	// MinMaturity is the share of a batch's rows that must have labels. 0.8 when absent.
	MinMaturity float64 `yaml:"min_maturity"`
}

func (t *Triggers) fillDefaults(m *Model) {
	const path = "triggers."
	for i := range t.Blackout {
		if t.Blackout[i].TimezoneID == "" {
			t.Blackout[i].TimezoneID = "UTC"
		}
	}
	if d := t.Drift; d != nil {
		absent(m, path+"drift.windows", &d.Windows, 3)
		absent(m, path+"drift.agree", &d.Agree, min(2, d.Windows))
		absent(m, path+"drift.share", &d.Share, m.Monitoring.Share)
	}
	if n := t.NewData; n != nil {
		absent(m, path+"new_data.min_rows", &n.MinRows, 10000)
	}
	if p := t.Performance; p != nil {
		absent(m, path+"performance.label_col", &p.LabelCol, m.Data.LabelCol)
		absent(m, path+"performance.metric", &p.Metric, "auc")
		absent(m, path+"performance.min_rows", &p.MinRows, 1000)
		absent(m, path+"performance.min_maturity", &p.MinMaturity, 0.8)
	}
}

// absent sets a value that the file does not have.
func absent[T any](m *Model, key string, into *T, value T) {
	if !m.set(key) {
		*into = value
	}
}
