package schedule

import (
	"fmt"
	"strconv"
	"strings"
)

// Describe is the expression in words, "at 02:30:00, Monday to Friday".
func (c Cron) Describe() string {
	fields := strings.Fields(strings.ToUpper(c.text))
	parts := []string{c.describeClock(fields)}
	if d := c.describeDay(); d != "" {
		parts = append(parts, d)
	}
	if c.month_.count() < monthsOfYear {
		parts = append(parts, "in "+list(c.month_, 0, monthName))
	}
	if !c.years.empty() {
		parts = append(parts, "in the years "+list(c.years, minYear, strconv.Itoa))
	}
	return strings.Join(parts, ", ")
}

// describeClock says when in a day: single times as times, anything else field by field.
func (c Cron) describeClock(fields []string) string {
	const few = 4
	if c.second.count() == 1 && c.minute.count() == 1 && c.hour.count() <= few {
		s, _ := c.second.next(0)
		m, _ := c.minute.next(0)
		return "at " + list(c.hour, 0, func(h int) string { return fmt.Sprintf("%02d:%02d:%02d", h, m, s) })
	}
	var out []string
	for _, f := range []struct {
		text, unit string
		set        set
	}{{fields[0], "second", c.second}, {fields[1], "minute", c.minute}, {fields[2], "hour", c.hour}} {
		_, step, stepped := strings.Cut(f.text, "/")
		switch {
		case f.text == "*":
			out = append(out, "every "+f.unit)
		case stepped && !strings.Contains(f.text, ","):
			first, _ := f.set.next(0)
			out = append(out, fmt.Sprintf("every %s %ss from %s %d on", step, f.unit, f.unit, first))
		default:
			out = append(out, f.unit+" "+list(f.set, 0, strconv.Itoa))
		}
	}
	return strings.Join(out, ", ")
}

func (c Cron) describeDay() string {
	d := c.day
	switch d.kind {
	case byMonthDay:
		if d.set.count() == daysOfMonth {
			return "every day"
		}
		return "on day " + list(d.set, 0, strconv.Itoa)
	case byWeekDay:
		if d.set.count() == daysOfWeek {
			return "every day"
		}
		return "on " + list(d.set, 0, dayName)
	case lastDay, lastWorkday:
		text := "on the last day of the month"
		if d.n > 0 {
			text = fmt.Sprintf("%d days before the last day of the month", d.n)
		}
		if d.kind == lastWorkday {
			return "on the workday nearest to " + strings.TrimPrefix(text, "on ")
		}
		return text
	case nearestWorkday:
		return fmt.Sprintf("on the workday nearest to day %d", d.n)
	case lastWeekDay:
		return "on the last " + dayName(d.n) + " of the month"
	case nthWeekDay:
		return fmt.Sprintf("on %s number %d of the month", dayName(d.n), d.nth)
	default:
		return ""
	}
}

// list names the members of a set; three or more in a row become a range.
func list(s set, base int, name func(int) string) string {
	var out []string
	for v, ok := s.next(0); ok; {
		end := v
		for s.has(end + 1) {
			end++
		}
		switch {
		case end-v > 1:
			out = append(out, name(v+base)+" to "+name(end+base))
		case end > v:
			out = append(out, name(v+base), name(end+base))
		default:
			out = append(out, name(v+base))
		}
		v, ok = s.next(end + 1)
	}
	return strings.Join(out, ", ")
}

func dayName(d int) string {
	return [...]string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"}[d-quartzSunday]
}

func monthName(m int) string {
	return [...]string{
		"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December",
	}[m-1]
}
