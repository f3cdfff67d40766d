package config

import (
	"errors"
	"fmt"
	"time"

	"github.com/treeline-ml/treeline/config"
	quartz "github.com/treeline-ml/treeline/lifecycle/schedule"
)

// nextTimes is how many of a schedule's times are shown.
const nextTimes = 3

// schedule is what a Quartz expression of a model means.
type schedule struct {
	Model       string   `json:"model_name"`
	Job         string   `json:"job"`
	Expression  string   `json:"quartz_cron_expression"`
	Timezone    string   `json:"timezone_id"`
	Description string   `json:"description"`
	Next        []string `json:"next"` // RFC 3339, local
}

// schedules parses the expressions of the models and lists their next times. One without any is an error.
func schedules(models []config.Model, now time.Time) ([]schedule, error) {
	out := []schedule{}
	var errs []error
	for _, m := range models {
		for _, one := range []struct {
			job, key string
			s        config.Schedule
		}{
			{quartz.Train, "schedules.train", m.Schedules.Train},
			{quartz.BatchInference, "schedules.batch_inference", m.Schedules.BatchInference},
		} {
			if !one.s.Set() {
				continue
			}
			key := one.key + ".quartz_cron_expression"
			cron, err := quartz.Parse(one.s.QuartzCronExpression)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %s: %w", m.Where(key), key, err))
				continue
			}
			zone, err := one.s.Location()
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %s: %w", m.Where(one.key+".timezone_id"), one.key, err))
				continue
			}
			s := schedule{
				Model: m.RegisteredModelName, Job: one.job, Expression: cron.String(), Timezone: zone.String(), Description: cron.Describe(),
				Next: []string{},
			}
			for at, ok := cron.Next(now, zone); ok && len(s.Next) < nextTimes; at, ok = cron.Next(at, zone) {
				s.Next = append(s.Next, at.In(zone).Format(time.RFC3339))
			}
			if len(s.Next) == 0 {
				why := "no date matches it"
				if cron.Possible() {
					why = "its last time has passed; name a later year, or take the schedule out"
				}
				errs = append(errs, fmt.Errorf("%s: %s: %q never fires: %s: %w", m.Where(key), key, s.Expression, why, quartz.ErrInvalid))
				continue
			}
			out = append(out, s)
		}
	}
	return out, errors.Join(errs...)
}
