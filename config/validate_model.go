package config

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits of one model's configuration.
const (
	maxSQL     = 64 << 10
	maxColumns = 32 // of slices
	maxJitter  = 24 * time.Hour
)

// Validate reports every value that the model could not be trained, judged or scored with.
func (m Model) Validate() error {
	f := &faults{origin: m.origin, fallback: m.path}
	f.identity(m)
	f.data(m)
	f.output(m)
	f.number("decision_threshold", m.DecisionThreshold, 0, 1, "a probability")
	f.number("metrics.auc_threshold", m.Metrics.AUCThreshold, 0, 1, "an AUC")
	f.training(m)
	f.schedule("schedules.train", m.Schedules.Train)
	f.schedule("schedules.batch_inference", m.Schedules.BatchInference)
	if m.Schedules.Train.Set() && m.TrainerClass == "" {
		f.add("schedules.train", "there is nothing to train with: trainer_class is missing")
	}
	f.triggers(m)
	f.gates(m)
	f.oneOf("promotion.policy", m.Promotion.Policy, PolicyAuto, PolicyPropose)
	f.oneOf("registry.divergence", m.Registry.Divergence, "alert", "revert", "adopt")
	f.oneOf("monitoring.drift_mode", m.Monitoring.DriftMode, "psi", "p_value")
	f.number("monitoring.p_threshold", m.Monitoring.PThreshold, 0, 1, "a probability")
	f.share("monitoring.share", m.Monitoring.Share)
	return errors.Join(f.errs...)
}

func (f *faults) required(key, value string) {
	if value == "" {
		f.add(key, "is missing")
	}
}

func (f *faults) identity(m Model) {
	if f.required("model_key", m.ModelKey); m.ModelKey != "" && !identifier(m.ModelKey) {
		f.add("model_key", "%q becomes part of column names: use letters, digits and underscores", m.ModelKey)
	}
	for _, c := range m.classes() {
		if c.name != "" && !className(c.name) {
			f.add(c.key, "%q is not the name of a Python class, such as RandomForestTrainer or my_trainer.ChurnTrainer", c.name)
		}
	}
	f.names("depends_on", m.DependsOn)
	if i := slices.Index(m.DependsOn, m.RegisteredModelName); i >= 0 && m.RegisteredModelName != "" {
		f.add("depends_on["+strconv.Itoa(i)+"]", "%q is this model itself", m.RegisteredModelName)
	}
	if strings.TrimSpace(m.Group) != m.Group || m.Group == "" {
		f.add("group", "%q is empty or begins or ends with a space", m.Group)
	}
}

// className reports whether s is a path of Python identifiers.
func className(s string) bool {
	parts := strings.Split(s, ".")
	return !slices.ContainsFunc(parts, func(p string) bool { return !identifier(p) })
}

// names checks a list for gaps and repetitions.
func (f *faults) names(key string, list []string) {
	for i, name := range list {
		at := key + "[" + strconv.Itoa(i) + "]"
		switch {
		case name == "":
			f.add(at, "is empty")
		case slices.Contains(list[:i], name):
			f.add(at, "%q is named twice", name)
		}
	}
}

func (f *faults) data(m Model) {
	d := m.Data
	if d.FeaturesTable == "" {
		f.add("data.features_table", "is missing")
	} else {
		f.table("data.features_table", d.FeaturesTable)
	}
	switch {
	case len(d.FeaturesSQL) > maxSQL:
		f.add("data.features_sql", "has %d bytes, at most %d are taken", len(d.FeaturesSQL), maxSQL)
	case d.FeaturesSQL != "" && !isQuery(d.FeaturesSQL):
		f.add("data.features_sql", "is not one query: it begins with SELECT or WITH and holds no semicolon")
	case m.set("data.features_sql") && d.FeaturesSQL == "":
		f.add("data.features_sql", "is empty")
	case d.FeaturesSQL != "" && d.DateCol == "":
		f.add("data.date_col", "is missing: features_sql computes one day at a time, and the column says which")
	}
	if len(d.KeyCols) == 0 {
		f.add("data.key_cols", "is missing: name the columns that tell rows apart")
	}
	f.names("data.key_cols", d.KeyCols)
	if i := slices.Index(d.KeyCols, d.LabelCol); i >= 0 && d.LabelCol != "" {
		f.add("data.key_cols["+strconv.Itoa(i)+"]", "%q is also data.label_col", d.LabelCol)
	}
	f.names("data.exclude_cols", d.ExcludeCols)
}

// isQuery is a rough check, for mistakes that are plain; the warehouse has the last word. It looks at the first word after
// comments, and for a semicolon before the end where no quotes or comments are that could hold it.
func isQuery(sql string) bool {
	sql = strings.TrimSuffix(afterComments(sql), ";")
	if strings.Contains(sql, ";") && !strings.ContainsAny(sql, "'\"") && !strings.Contains(sql, "--") && !strings.Contains(sql, "/*") {
		return false
	}
	word, _, _ := strings.Cut(strings.ToUpper(strings.Join(strings.Fields(sql), " ")), " ")
	// A comment may follow the word at once.
	word, _, _ = strings.Cut(word, "/*")
	return strings.HasPrefix(word, "SELECT") || strings.HasPrefix(word, "WITH") || strings.HasPrefix(word, "(SELECT") || word == "FROM"
}

// afterComments cuts comments from the front of a query, and space from both ends. A comment between slashes may hold others;
// one without an end reaches to the end.
func afterComments(sql string) string {
	for {
		sql = strings.TrimSpace(sql)
		switch {
		case strings.HasPrefix(sql, "--"):
			_, sql, _ = strings.Cut(sql, "\n")
		case strings.HasPrefix(sql, "/*"):
			sql = afterBlock(sql)
		default:
			return sql
		}
	}
}

// afterBlock is what follows the comment that sql begins with.
func afterBlock(sql string) string {
	for depth := 0; sql != ""; {
		switch {
		case strings.HasPrefix(sql, "/*"):
			depth, sql = depth+1, sql[2:]
		case strings.HasPrefix(sql, "*/"):
			depth, sql = depth-1, sql[2:]
			if depth == 0 {
				return sql
			}
		default:
			sql = sql[1:]
		}
	}
	return ""
}

// output is a table or a file.
func (f *faults) output(m Model) {
	if m.Output.File != "" {
		f.outputFile(m)
		return
	}
	for _, part := range []struct{ key, value string }{
		{"output.catalog", m.Output.Catalog}, {"output.schema", m.Output.Schema}, {"output.table", m.Output.Table},
	} {
		if f.required(part.key, part.value); part.value != "" && !identifier(part.value) {
			f.add(part.key, "%q is not letters, digits and underscores", part.value)
		}
	}
	if m.Output.String() == m.Data.FeaturesTable {
		f.add("output.table", "%s is the features table; predictions need a table of their own", m.Output)
	}
}

func (f *faults) outputFile(m Model) {
	if ext := filepath.Ext(m.Output.File); !strings.EqualFold(ext, ".parquet") {
		f.add("output.file", "%q does not end in .parquet", m.Output.File)
	}
	if strings.ContainsAny(m.Output.File, "\x00\n\r\t") {
		f.add("output.file", "%q has line breaks, tabs or zero bytes", m.Output.File)
	}
	for _, part := range []struct{ key, value string }{
		{"output.catalog", m.Output.Catalog}, {"output.schema", m.Output.Schema}, {"output.table", m.Output.Table},
	} {
		if part.value != "" {
			f.add(part.key, "output.file is given too; predictions go to a table or to a file")
		}
	}
	if m.Triggers.Performance != nil {
		f.add("triggers.performance", "needs an output table: labels are not joined with output.file")
	}
}

func (f *faults) number(key string, got, least, most float64, what string) {
	if !(got >= least && got <= most) {
		f.add(key, "is %v, want %s from %v to %v", got, what, least, most)
	}
}

// share is a fraction that 0 makes no sense of.
func (f *faults) share(key string, got float64) {
	if !(got > 0 && got <= 1) {
		f.add(key, "is %v, want a share above 0, at most 1", got)
	}
}

func (f *faults) training(m Model) {
	t := m.Training
	f.oneOf("training.split", t.Split, SplitKeyHash, SplitTime)
	if t.Split == SplitTime && m.Data.DateCol == "" {
		f.add("training.split", "is time, but data.date_col does not say which column holds it")
	}
	if !(t.HoldoutFraction > 0 && t.HoldoutFraction < 1) {
		f.add("training.holdout_fraction", "is %v, want a share above 0 and below 1", t.HoldoutFraction)
	}
	if t.Seed < 0 || t.Seed > math.MaxUint32 {
		f.add("training.seed", "is %d, want 0 to %d, which every library takes", t.Seed, uint32(math.MaxUint32))
	}
	if t.Timeout < 0 || m.set("training.timeout") && t.Timeout == 0 {
		f.add("training.timeout", "is %v, want more than 0s", t.Timeout)
	}
	f.between("training.attempts", int64(t.Attempts), 1, 20)
	if m.TrainerClass != "" && m.Data.LabelCol == "" {
		f.add("data.label_col", "is missing: trainer_class learns it")
	}
}

func (f *faults) schedule(key string, s Schedule) {
	if _, there := f.origin[key]; there && !s.Set() {
		f.add(key+".quartz_cron_expression", "is missing; such as \"0 0 3 * * ?\", every day at 03:00")
	}
	f.timezone(key+".timezone_id", s.TimezoneID)
	f.oneOf(key+".misfire", s.Misfire, MisfireRunOnce, MisfireSkip)
	f.oneOf(key+".pause_status", s.PauseStatus, Unpaused, Paused)
	if s.Jitter < 0 || s.Jitter > maxJitter {
		f.add(key+".jitter", "is %v, want 0s to %v", s.Jitter, maxJitter)
	}
}

// timezone takes IANA names; "Local" would be another zone on every machine.
func (f *faults) timezone(key, id string) {
	if _, err := time.LoadLocation(id); err != nil || id == "Local" || id == "" {
		f.add(key, "%q is not a time zone; want an IANA name such as Europe/Berlin or UTC", id)
	}
}

func (f *faults) triggers(m Model) {
	t := m.Triggers
	const path = "triggers."
	f.duration(path+"cooldown", t.Cooldown)
	if t.MaxCooldown < t.Cooldown {
		f.add(path+"max_cooldown", "is %v, less than triggers.cooldown, %v", t.MaxCooldown, t.Cooldown)
	}
	f.atLeast(path+"max_per_week", int64(t.MaxPerWeek), 0)
	f.duration(path+"champion_max_age", t.ChampionMaxAge)
	for i, b := range t.Blackout {
		f.blackout(path+"blackout["+strconv.Itoa(i)+"]", b)
	}
	if d := t.Drift; d != nil {
		f.between(path+"drift.windows", int64(d.Windows), 1, 100)
		if d.Agree < 1 || d.Agree > d.Windows {
			f.add(path+"drift.agree", "is %d, want 1 to triggers.drift.windows, which is %d", d.Agree, d.Windows)
		}
		if m.set(path + "drift.share") { // otherwise it is monitoring.share
			f.share(path+"drift.share", d.Share)
		}
	}
	if n := t.NewData; n != nil {
		f.atLeast(path+"new_data.min_rows", n.MinRows, 1)
	}
	if p := t.Performance; p != nil {
		if p.LabelsTable == "" {
			f.add(path+"performance.labels_table", "is missing")
		} else {
			f.table(path+"performance.labels_table", p.LabelsTable)
		}
		f.required(path+"performance.label_col", p.LabelCol)
		f.oneOf(path+"performance.metric", p.Metric, "auc", "precision", "recall")
		f.number(path+"performance.baseline", p.Baseline, 0, 1, "a metric")
		f.atLeast(path+"performance.min_rows", p.MinRows, 1)
		f.share(path+"performance.min_maturity", p.MinMaturity)
	}
	if m.TrainerClass != "" {
		return
	}
	for _, one := range []struct {
		key string
		on  bool
	}{
		{"drift", t.Drift != nil},
		{"new_data", t.NewData != nil},
		{"performance", t.Performance != nil},
		{"champion_max_age", t.ChampionMaxAge != 0},
	} {
		if one.on {
			f.add(path+one.key, "there is nothing to train with: trainer_class is missing")
		}
	}
}

func (f *faults) duration(key string, d time.Duration) {
	if d < 0 {
		f.add(key, "is %v, want 0s or more", d)
	}
}

func (f *faults) blackout(key string, b Blackout) {
	f.timezone(key+".timezone_id", b.TimezoneID)
	if b.From == "" {
		f.add(key+".from", "is missing: the first day, such as 2026-12-24")
		return
	}
	for _, one := range []struct{ key, day string }{{"from", b.From}, {"to", b.To}} {
		if _, err := time.Parse(time.DateOnly, one.day); err != nil && one.day != "" {
			f.add(key+"."+one.key, "%q is not a day such as 2026-12-24", one.day)
			return
		}
	}
	if b.To != "" && b.To < b.From {
		f.add(key+".to", "%s is before from, %s", b.To, b.From)
	}
}

func (f *faults) gates(m Model) {
	g := m.Gates
	for _, one := range []struct{ gate, mode string }{
		{"auc_floor", g.AUCFloor.Mode},
		{"champion_challenger", g.ChampionChallenger.Mode},
		{"slices", g.Slices.Mode},
		{"calibration", g.Calibration.Mode},
		{"feature_stability", g.FeatureStability.Mode},
		{"no_drift", g.NoDrift.Mode},
	} {
		f.oneOf("gates."+one.gate+".mode", one.mode, GateRequired, GateReport, GateOff)
	}
	if g.AUCFloor.Mode != GateOff && m.Metrics.AUCThreshold == 0 {
		f.add("gates.auc_floor.mode", "is %s, but metrics.auc_threshold is not given", g.AUCFloor.Mode)
	}
	f.oneOf("gates.auc_floor.on", g.AUCFloor.On, "value", "lower_bound")
	f.oneOf("gates.champion_challenger.test", g.ChampionChallenger.Test, "non_inferior", "superior")
	f.number("gates.champion_challenger.delta", g.ChampionChallenger.Delta, 0, 1, "a difference of AUC")
	f.names("gates.slices.columns", g.Slices.Columns)
	if len(g.Slices.Columns) > maxColumns {
		f.add("gates.slices.columns", "has %d columns, at most %d", len(g.Slices.Columns), maxColumns)
	}
	if g.Slices.Mode != GateOff && len(g.Slices.Columns) == 0 {
		f.add("gates.slices.columns", "is missing: the gate compares the values of columns")
	}
	f.number("gates.slices.max_drop", g.Slices.MaxDrop, 0, 1, "a difference of AUC")
	f.atLeast("gates.slices.min_rows", g.Slices.MinRows, 1)
	f.number("gates.calibration.max_ece", g.Calibration.MaxECE, 0, 1, "an error")
	f.number("gates.calibration.max_brier", g.Calibration.MaxBrier, 0, 1, "a score")
	f.number("gates.calibration.min_slope", g.Calibration.MinSlope, 0, 100, "a slope")
	f.number("gates.calibration.max_slope", g.Calibration.MaxSlope, g.Calibration.MinSlope, 100, "a slope")
	f.number("gates.feature_stability.max_psi", g.FeatureStability.MaxPSI, 0, 100, "a PSI")
	f.number("gates.feature_stability.max_null_rise", g.FeatureStability.MaxNullRise, 0, 1, "a share")
	f.number("gates.feature_stability.min_rank_correlation", g.FeatureStability.MinRankCorrelation, -1, 1, "a correlation")
	f.number("gates.feature_stability.leakage_auc", g.FeatureStability.LeakageAUC, 0.5, 1, "an AUC")
	if m.set("gates.no_drift.share") { // otherwise it is monitoring.share
		f.share("gates.no_drift.share", g.NoDrift.Share)
	}
	f.atLeast("gates.holdout_budget", int64(g.HoldoutBudget), 0)
}

// ValidateModels reports what is wrong between the models of one daemon: names that are used twice, and dependencies on
// models that are not there or that lead back.
func ValidateModels(models []Model) error {
	var errs []error
	fault := func(m Model, key, format string, args ...any) {
		f := &faults{origin: m.origin, fallback: m.path}
		f.add(key, format, args...)
		errs = append(errs, f.errs...)
	}
	byName := map[string]int{}
	var names []string
	for i, m := range models {
		if first, twice := byName[m.RegisteredModelName]; twice {
			fault(m, "registered_model_name", "%q is configured by %s already", m.RegisteredModelName, models[first].path)
			continue
		}
		byName[m.RegisteredModelName] = i
		names = append(names, m.RegisteredModelName)
	}
	for _, m := range models {
		for i, d := range m.DependsOn {
			if _, ok := byName[d]; !ok {
				fault(m, fmt.Sprintf("depends_on[%d]", i), "%q is no configured model%s", d, didYouMean(d, "", names))
			}
		}
	}
	if cycle := findCycle(models, byName); cycle != nil {
		fault(models[byName[cycle[0]]], "depends_on", "leads back to the model: %s", strings.Join(cycle, " -> "))
	}
	return errors.Join(errs...)
}

// findCycle returns the names along one cycle, its first at both ends, or nil.
func findCycle(models []Model, byName map[string]int) []string {
	done := map[string]bool{}
	var path []string
	var visit func(name string) []string
	visit = func(name string) []string {
		if at := slices.Index(path, name); at >= 0 {
			return append(slices.Clone(path[at:]), name)
		}
		i, known := byName[name]
		if done[name] || !known {
			return nil
		}
		path = append(path, name)
		for _, next := range models[i].DependsOn {
			if cycle := visit(next); cycle != nil {
				return cycle
			}
		}
		path = path[:len(path)-1]
		done[name] = true
		return nil
	}
	for _, m := range models {
		if cycle := visit(m.RegisteredModelName); cycle != nil {
			return cycle
		}
	}
	return nil
}
