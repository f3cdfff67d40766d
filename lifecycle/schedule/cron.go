// Package schedule reads Quartz cron expressions and fires the configured schedules of models.
//
//	sec min hour day-of-month month day-of-week [year]
//	0   30  2    ?            *     MON-FRI
//
// An expression matches local times of a zone. Next looks for local dates and times first and turns them into instants
// afterwards, so that daylight saving is decided in one place:
//
//	spring forward   01:59:59 | 03:00:00            a match between them fires at the first instant after the gap
//	fall back        01:59:59 | 01:00:00 again      a match in the repeated hour fires once when the times are fixed,
//	                                                and in both hours when second, minute or hour count on: "*" or "/"
//
// Our own parser, because the libraries for Go that claim Quartz expressions fire on wrong days or stop for good at a
// change of the clock; the property test compares Next with brute force over twenty years in twelve zones.
//
// # Invariants
//
//	C1  Next(after) is later than after, and no other match lies between.
//	C2  An expression that Parse accepts and that can never match again ends: Next says so, in bounded time.
//
// # Concurrency
//
// A Cron is immutable. A Service may be used from any goroutine.
package schedule

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrInvalid is wrapped by every error about an expression or a time zone; the message names the field and what it takes.
var ErrInvalid = errors.New("schedule: not valid")

// The years that an expression can name.
const (
	minYear = 1970
	maxYear = 2199
)

// Cron is a parsed Quartz expression.
type Cron struct {
	text                         string
	second, minute, hour, month_ set
	day                          day
	years                        set // empty: every year
	counting                     bool
}

// day is a rule for days: of the month, or of the week.
type day struct {
	kind dayKind
	set  set // days of the month 1-31, or days of the week 1 (Sunday) to 7
	n    int // of the kinds that take a number
	nth  int // "6#3": 3
}

type dayKind int

const (
	byMonthDay     dayKind = iota // 1,15 or *
	byWeekDay                     // MON-FRI
	lastDay                       // L, L-n
	lastWorkday                   // LW, L-nW: the workday nearest to it
	nearestWorkday                // nW
	lastWeekDay                   // dL
	nthWeekDay                    // d#n
)

const (
	daysOfWeek       = 7
	daysOfMonth      = 31
	monthsOfYear     = 12
	quartzSunday     = 1
	quartzSaturday   = 7
	maxLastDayOffset = 30
	maxNth           = 5
)

// String returns the expression as it was given.
func (c Cron) String() string { return c.text }

// Next returns the first instant after the given one, whole seconds, at which the expression matches in a zone; false
// when there is none up to the year 2199.
func (c Cron) Next(after time.Time, loc *time.Location) (time.Time, bool) {
	t := after.Truncate(time.Second).Add(time.Second).In(loc)
	for t.Year() <= maxYear {
		start, end := t.ZoneBounds()
		if !end.IsZero() && !end.After(t) {
			// Beyond the table of a zone ZoneBounds takes leap years for 365 days, so that their last day has no end.
			end = t.AddDate(0, 0, 1)
		}
		_, offset := t.Zone()
		from := wall(t, offset)
		if !start.IsZero() {
			_, before := start.Add(-time.Second).Zone()
			switch {
			case offset > before && !start.Before(t):
				// The clock jumped over these times.
				if _, ok := c.match(wall(start, before), wall(start, offset)); ok {
					return start, true
				}
			case offset < before && !c.counting:
				// These times were here already, an hour ago.
				if repeated := wall(start, before); from.Before(repeated) {
					from = repeated
				}
			}
		}
		limit := time.Date(maxYear+1, 1, 1, 0, 0, 0, 0, time.UTC)
		if !end.IsZero() {
			limit = wall(end, offset)
		}
		if m, ok := c.match(from, limit); ok {
			return m.Add(-time.Duration(offset) * time.Second).In(loc), true
		}
		if end.IsZero() {
			break
		}
		t = end.In(loc)
	}
	return time.Time{}, false
}

// Possible reports whether the expression matches anything in the years that it can name, past ones among them. An
// impossible one, such as the 31st of February, is a mistake; one whose last time has passed has done its work.
func (c Cron) Possible() bool {
	_, ok := c.Next(time.Date(minYear, 1, 1, 0, 0, 0, 0, time.UTC).Add(-time.Second), time.UTC)
	return ok
}

// wall is what clocks with this offset show at t, as a time in UTC.
func wall(t time.Time, offset int) time.Time {
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// match returns the first wall-clock time in [from, limit) that the fields match.
func (c Cron) match(from, limit time.Time) (time.Time, bool) {
	date := time.Date(from.Year(), from.Month(), from.Day(), 0, 0, 0, 0, time.UTC)
	clock := from.Hour()*3600 + from.Minute()*60 + from.Second()
	for date.Before(limit) {
		switch y, m, _ := date.Date(); {
		case !c.years.empty() && !c.years.has(y-minYear):
			date, clock = time.Date(y+1, 1, 1, 0, 0, 0, 0, time.UTC), 0
			continue
		case !c.month_.has(int(m)):
			date, clock = time.Date(y, m+1, 1, 0, 0, 0, 0, time.UTC), 0
			continue
		}
		if c.day.matches(date) {
			if s, ok := c.clock(clock); ok {
				m := date.Add(time.Duration(s) * time.Second)
				return m, m.Before(limit)
			}
		}
		date, clock = date.AddDate(0, 0, 1), 0
	}
	return time.Time{}, false
}

// clock returns the first matching second of a day that is not before from.
func (c Cron) clock(from int) (int, bool) {
	h, m, s := from/3600, from/60%60, from%60
	for hour, ok := c.hour.next(h); ok; hour, ok = c.hour.next(hour + 1) {
		if hour > h {
			m, s = 0, 0
		}
		for minute, ok := c.minute.next(m); ok; minute, ok = c.minute.next(minute + 1) {
			if hour > h || minute > from/60%60 {
				s = 0
			}
			if second, ok := c.second.next(s); ok {
				return hour*3600 + minute*60 + second, true
			}
		}
	}
	return 0, false
}

func (d day) matches(date time.Time) bool {
	last := time.Date(date.Year(), date.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day()
	weekday := int(date.Weekday()) + 1
	switch d.kind {
	case byMonthDay:
		return d.set.has(date.Day())
	case byWeekDay:
		return d.set.has(weekday)
	case lastDay:
		return date.Day() == last-d.n
	case lastWorkday:
		return date.Day() == workday(date, last-d.n, last)
	case nearestWorkday:
		return date.Day() == workday(date, d.n, last)
	case lastWeekDay:
		return weekday == d.n && date.Day()+daysOfWeek > last
	case nthWeekDay:
		return weekday == d.n && (date.Day()-1)/daysOfWeek+1 == d.nth
	default:
		return false
	}
}

// workday is the day from Monday to Friday nearest to a day of date's month, within the month; 0 when the month has no
// such day.
func workday(date time.Time, day, last int) int {
	if day < 1 || day > last {
		return 0
	}
	switch time.Date(date.Year(), date.Month(), day, 0, 0, 0, 0, time.UTC).Weekday() {
	case time.Saturday:
		if day == 1 {
			return day + 2
		}
		return day - 1
	case time.Sunday:
		if day == last {
			return day - 2
		}
		return day + 1
	default:
		return day
	}
}

// Location returns the zone of an IANA name; the empty name is UTC.
func Location(name string) (*time.Location, error) {
	if name == "" {
		return time.UTC, nil
	}
	// "Local" would make schedules depend on the machine.
	if strings.EqualFold(name, "local") {
		return nil, fmt.Errorf("%w: time zone %q depends on the machine; name one like Europe/Berlin, or UTC", ErrInvalid, name)
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("%w: time zone %q is not known; use an IANA name like Europe/Berlin, or UTC", ErrInvalid, name)
	}
	return loc, nil
}
