package schedule

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxExpression is the longest expression that Parse reads, in bytes.
const maxExpression = 512

// field is one of the seven fields.
type field struct {
	name     string
	min, max int
	names    []string // of min, min+1, ...
	base     int      // what sets of this field count from
}

var (
	secondField  = field{name: "second", max: 59}
	minuteField  = field{name: "minute", max: 59}
	hourField    = field{name: "hour", max: 23}
	dayField     = field{name: "day of month", min: 1, max: daysOfMonth}
	monthField   = field{name: "month", min: 1, max: monthsOfYear, names: []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}}
	weekdayField = field{name: "day of week", min: 1, max: daysOfWeek, names: []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}}
	yearField    = field{name: "year", min: minYear, max: maxYear, base: minYear}
)

const (
	fieldsWithoutYear = 6
	fieldsWithYear    = 7
)

// Parse reads a Quartz expression of six or seven fields: second, minute, hour, day of month, month, day of week, and a
// year. Fields are "*", values, names, lists "a,b", ranges "a-b" (which may wrap: FRI-MON, 22-2), steps "a/n", "*/n" and
// "a-b/n". Days of the month also take L, L-n, LW, L-nW and nW; days of the week count from SUN=1 and take L (Saturday),
// dL (the last of the month) and d#n (the n-th). One of the two day fields is "?", the other is not. Case does not matter.
//
// Months that lack a day that is asked for are passed over: 31W in April, L-29 in February, a fifth Friday.
func Parse(expression string) (Cron, error) {
	if len(expression) > maxExpression || !utf8.ValidString(expression) {
		return Cron{}, fmt.Errorf("%w: the expression has %d bytes, at most %d of UTF-8", ErrInvalid, len(expression), maxExpression)
	}
	fields := strings.Fields(strings.ToUpper(expression))
	if len(fields) != fieldsWithoutYear && len(fields) != fieldsWithYear {
		hint := ""
		if len(fields) == fieldsWithoutYear-1 {
			hint = "; Quartz begins with the second: 0 " + expression
		}
		return Cron{}, fmt.Errorf("%w: %q has %d fields, want second minute hour day-of-month month day-of-week [year]%s",
			ErrInvalid, expression, len(fields), hint)
	}
	c := Cron{text: strings.Join(strings.Fields(expression), " ")}
	for _, f := range []struct {
		field field
		text  string
		into  *set
	}{
		{secondField, fields[0], &c.second},
		{minuteField, fields[1], &c.minute},
		{hourField, fields[2], &c.hour},
		{monthField, fields[4], &c.month_},
	} {
		var err error
		if *f.into, err = f.field.parse(f.text); err != nil {
			return Cron{}, err
		}
	}
	c.counting = strings.ContainsAny(strings.Join(fields[:3], ""), "*/")
	if len(fields) == fieldsWithYear && fields[6] != "*" {
		years, err := yearField.parse(fields[6])
		if err != nil {
			return Cron{}, err
		}
		c.years = years
	}
	var err error
	c.day, err = parseDays(fields[3], fields[5])
	return c, err
}

// parseDays reads the two day fields.
func parseDays(month, week string) (day, error) {
	switch {
	case month == "?" && week == "?":
		return day{}, fmt.Errorf("%w: day of month and day of week are both \"?\"; say one of them, \"*\" for every day", ErrInvalid)
	case month != "?" && week != "?":
		return day{}, fmt.Errorf("%w: day of month %q and day of week %q: one of them must be \"?\"", ErrInvalid, month, week)
	case week == "?":
		return parseMonthDay(month)
	default:
		return parseWeekday(week)
	}
}

func parseMonthDay(text string) (day, error) {
	rest, workdays := strings.CutSuffix(text, "W")
	switch {
	case strings.HasPrefix(rest, "L"):
		d := day{kind: lastDay}
		if workdays {
			d.kind = lastWorkday
		}
		if rest == "L" {
			return d, nil
		}
		offset, ok := strings.CutPrefix(rest, "L-")
		n, err := number(offset)
		if !ok || err != nil || n > maxLastDayOffset {
			return day{}, dayField.fault(text, "want L, L-n with n up to 30, LW or L-nW, alone")
		}
		d.n = n
		return d, nil
	case workdays:
		n, err := number(rest)
		if err != nil || n < 1 || n > daysOfMonth {
			return day{}, dayField.fault(text, "want nW with n from 1 to 31, alone")
		}
		return day{kind: nearestWorkday, n: n}, nil
	}
	s, err := dayField.parse(text)
	return day{kind: byMonthDay, set: s}, err
}

func parseWeekday(text string) (day, error) {
	if name, nth, ok := strings.Cut(text, "#"); ok {
		d, err := weekdayField.value(name)
		if err != nil {
			return day{}, err
		}
		n, err := number(nth)
		if err != nil || n < 1 || n > maxNth {
			return day{}, weekdayField.fault(text, "want day#n with n from 1 to 5, alone")
		}
		return day{kind: nthWeekDay, n: d, nth: n}, nil
	}
	if text == "L" {
		var s set
		s.add(quartzSaturday)
		return day{kind: byWeekDay, set: s}, nil
	}
	if name, ok := strings.CutSuffix(text, "L"); ok {
		d, err := weekdayField.value(name)
		return day{kind: lastWeekDay, n: d}, err
	}
	s, err := weekdayField.parse(text)
	return day{kind: byWeekDay, set: s}, err
}

// parse reads a list of values, ranges and steps.
func (f field) parse(text string) (set, error) {
	var s set
	for part := range strings.SplitSeq(text, ",") {
		if err := f.part(&s, part); err != nil {
			return set{}, err
		}
	}
	return s, nil
}

func (f field) part(s *set, text string) error {
	body, stepText, stepped := strings.Cut(text, "/")
	step := 1
	if stepped {
		n, err := number(stepText)
		if err != nil || n < 1 || n > f.max-f.base {
			return f.fault(text, fmt.Sprintf("the step after \"/\" is a number from 1 to %d", f.max-f.base))
		}
		step = n
	}
	first, last := f.min, f.max
	switch low, high, ranged := strings.Cut(body, "-"); {
	case body == "*", body == "" && stepped:
	case body == "?":
		return f.fault(text, "\"?\" is only for one of the two day fields")
	case ranged:
		var err error
		if first, err = f.value(low); err != nil {
			return err
		}
		if last, err = f.value(high); err != nil {
			return err
		}
	default:
		var err error
		if first, err = f.value(body); err != nil {
			return err
		}
		if !stepped {
			last = first
		}
	}
	span := f.max - f.min + 1
	if last < first {
		if f.name == yearField.name {
			return f.fault(text, "a range of years does not wrap")
		}
		last += span
	}
	for v := first; v <= last; v += step {
		s.add(f.min + (v-f.min)%span - f.base)
	}
	return nil
}

// value reads a number or a name.
func (f field) value(text string) (int, error) {
	for i, name := range f.names {
		if text == name {
			return f.min + i, nil
		}
	}
	n, err := number(text)
	if err != nil || n < f.min || n > f.max {
		want := fmt.Sprintf("want %d to %d", f.min, f.max)
		if f.names != nil {
			want += fmt.Sprintf(" or %s to %s", f.names[0], f.names[len(f.names)-1])
		}
		return 0, f.fault(text, want)
	}
	return n, nil
}

func (f field) fault(text, want string) error {
	return fmt.Errorf("%w: %s %q: %s", ErrInvalid, f.name, text, want)
}

// number reads decimal digits only: no sign, no space.
func number(text string) (int, error) {
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return 0, strconv.ErrSyntax
		}
	}
	return strconv.Atoi(text)
}
