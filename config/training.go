package config

import "time"

// How the holdout is split off.
const (
	SplitKeyHash = "key_hash" // by a hash of the key columns: a key is always on the same side
	SplitTime    = "time"     // the latest days
)

// Training says how versions of a model are trained.
type Training struct {
	Split string `yaml:"split"` // key_hash or time; key_hash when absent
	// HoldoutFraction of the rows is kept from the trainer for the gates. 0.2 when absent.
	HoldoutFraction float64 `yaml:"holdout_fraction"`
	Seed            int64   `yaml:"seed"` // of the split and of the trainer; 7 when absent
	// Timeout ends one attempt. The daemon's training.timeout when absent.
	Timeout time.Duration `digest:"-" yaml:"timeout"`
	// Attempts bounds how often a training is tried when it ends for a passing reason. 3 when absent.
	Attempts int `digest:"-" yaml:"attempts"`
	// Environment is the value of the run's tag of that name. The daemon's mlflow.environment when absent.
	Environment string `digest:"-" yaml:"environment"`
	// Experiment is the MLflow experiment that runs are logged to. The registered model's name when absent.
	Experiment string `digest:"-" yaml:"experiment"`
}

// Schedules are the times at which a model is trained and scored without being asked.
type Schedules struct {
	Train          Schedule `yaml:"train"`
	BatchInference Schedule `yaml:"batch_inference"`
}

// Values of Schedule.PauseStatus and Schedule.Misfire.
const (
	Paused   = "PAUSED"
	Unpaused = "UNPAUSED"

	MisfireRunOnce = "run_once"
	MisfireSkip    = "skip"
)

// Schedule is one Quartz schedule; it is there when it has an expression. The syntax of the expression is checked by who
// runs it (package schedule), not here.
type Schedule struct {
	QuartzCronExpression string `yaml:"quartz_cron_expression"`
	TimezoneID           string `yaml:"timezone_id"` // IANA name, "America/New_York"; UTC when absent
	// Misfire says what becomes of times that passed while the daemon was down: run_once (default) or skip.
	Misfire     string        `yaml:"misfire"`
	PauseStatus string        `yaml:"pause_status"` // PAUSED or UNPAUSED; UNPAUSED when absent
	Jitter      time.Duration `yaml:"jitter"`       // a firing is delayed by up to this; 0s when absent
}

// Set reports whether there is a schedule.
func (s Schedule) Set() bool { return s.QuartzCronExpression != "" }

// Location is the schedule's time zone. It fails only for schedules that Validate refuses.
func (s Schedule) Location() (*time.Location, error) { return time.LoadLocation(s.TimezoneID) }

func defaultSchedule() Schedule {
	return Schedule{TimezoneID: "UTC", Misfire: MisfireRunOnce, PauseStatus: Unpaused}
}

// The policies of promotion.
const (
	PolicyAuto    = "auto"
	PolicyPropose = "propose"
)

// Promotion says what becomes of a version that passed its gates.
type Promotion struct {
	// Policy is auto (default: it becomes the Champion at once) or propose (a person promotes it).
	Policy string `yaml:"policy"`
}

// ModelRegistry says how a model is mirrored in the external registry.
type ModelRegistry struct {
	// Divergence is what happens when somebody else moved an alias there: alert (default), revert or adopt.
	Divergence string `yaml:"divergence"`
}

// ModelAlerts says who hears about a model.
type ModelAlerts struct {
	Owner string `yaml:"owner"` // named in alerts: a person, a team, a channel
}

// ModelMonitoring says when a model's input counts as drifted.
type ModelMonitoring struct {
	// DriftMode is psi (default: population stability above the noise floor, weighted by gain) or p_value (a two-sample
	// test a feature).
	DriftMode string `yaml:"drift_mode"`
	// PThreshold is of p_value: a smaller p-value is drift. 0.05 when absent.
	PThreshold float64 `yaml:"p_threshold"`
	// Share is of psi: the share of the model's gain in drifting features from which on the input has drifted. 0.3 when
	// absent.
	Share float64 `yaml:"share"`
}
