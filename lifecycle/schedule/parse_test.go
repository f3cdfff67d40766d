package schedule_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/treeline-ml/treeline/lifecycle/schedule"
)

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                         `has 0 fields`,
		"30 2 * * ?":               `Quartz begins with the second: 0 30 2 * * ?`,
		"0 30 2 * * ? 2026 x":      `has 8 fields`,
		"60 0 0 * * ?":             `second "60": want 0 to 59`,
		"0 61 0 * * ?":             `minute "61"`,
		"0 0 24 * * ?":             `hour "24": want 0 to 23`,
		"0 0 0 0 * ?":              `day of month "0": want 1 to 31`,
		"0 0 0 32 * ?":             `day of month "32"`,
		"0 0 0 ? 13 *":             `month "13": want 1 to 12 or JAN to DEC`,
		"0 0 0 ? FOO *":            `month "FOO"`,
		"0 0 0 ? * 0":              `day of week "0": want 1 to 7 or SUN to SAT`,
		"0 0 0 ? * 8":              `day of week "8"`,
		"0 0 0 * * *":              `one of them must be "?"`,
		"0 0 0 ? * ?":              `are both "?"`,
		"0 ? 0 * * ?":              `"?" is only for one of the two day fields`,
		"0 0/0 0 * * ?":            `the step after "/" is a number from 1 to 59`,
		"0 0/60 0 * * ?":           `the step after "/"`,
		"0 1- 0 * * ?":             `minute ""`,
		"0 -1 0 * * ?":             `minute ""`,
		"0 +1 0 * * ?":             `minute "+1"`,
		"0 1,,2 0 * * ?":           `minute ""`,
		"0 0 0 L-31 * ?":           `L-n with n up to 30`,
		"0 0 0 L3 * ?":             `want L, L-n`,
		"0 0 0 0W * ?":             `want nW`,
		"0 0 0 32W * ?":            `want nW`,
		"0 0 0 1,15W * ?":          `want nW`,
		"0 0 0 1,L * ?":            `day of month "L"`,
		"0 0 0 ? * 6#6":            `want day#n with n from 1 to 5`,
		"0 0 0 ? * 6#0":            `want day#n`,
		"0 0 0 ? * 2,6L":           `day of week "2,6"`,
		"0 0 0 ? * 1#2,3":          `want day#n`,
		"0 0 0 1 1 ? 1969":         `year "1969": want 1970 to 2199`,
		"0 0 0 1 1 ? 2027-2026":    `a range of years does not wrap`,
		"0 0 0 1 1 ? 2026/300":     `the step after "/" is a number from 1 to 229`,
		strings.Repeat("0 ", 300):  `at most 512`,
		"0 0 0 99999999999999 * ?": `day of month`,
	} {
		_, err := schedule.Parse(text)
		if !errors.Is(err, schedule.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestNextEnds(t *testing.T) {
	berlin, err := schedule.Location("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"0 0 0 31 2,4,6 ?", "0 0 0 L-30 FEB ?", "0 0 0 1 1 ? 2020"} {
		c, err := schedule.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if at, ok := c.Next(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), berlin); ok {
			t.Errorf("%q: got %s, want never", text, at)
		}
	}
}

// The edges of daylight saving in words that people would use. New York goes forward on 2026-03-08 at 02:00 and back on
// 2026-11-01 at 02:00.
func TestPossible(t *testing.T) {
	for text, want := range map[string]bool{
		"0 0 3 31 FEB ?": false, "0 0 3 29 FEB ? 2025": false, "0 0 3 30W 2 ?": false, "0 0 3 L-29 2 ?": false,
		"0 0 3 29 FEB ?": true, "0 0 3 1 JAN ? 2020": true, "0 0 0 1 JAN ? 1970": true, "59 59 23 31 DEC ? 2199": true,
	} {
		c, err := schedule.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if c.Possible() != want {
			t.Errorf("%q: %v, want %v", text, !want, want)
		}
	}
}

func TestDaylightSaving(t *testing.T) {
	ny, err := schedule.Location("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		text, after string
		want        []string
	}{
		{"0 30 2 * * ?", "2026-03-07T12:00:00Z", []string{"2026-03-08T03:00:00-04:00", "2026-03-09T02:30:00-04:00"}},
		{"0 30 1 * * ?", "2026-10-31T12:00:00Z", []string{"2026-11-01T01:30:00-04:00", "2026-11-02T01:30:00-05:00"}},
		{
			"0 0/30 * * * ?", "2026-11-01T04:59:00Z",
			[]string{"2026-11-01T01:00:00-04:00", "2026-11-01T01:30:00-04:00", "2026-11-01T01:00:00-05:00", "2026-11-01T01:30:00-05:00", "2026-11-01T02:00:00-05:00"},
		},
	} {
		cron, err := schedule.Parse(c.text)
		if err != nil {
			t.Fatal(err)
		}
		at, err := time.Parse(time.RFC3339, c.after)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range c.want {
			next, _ := cron.Next(at, ny)
			if got := next.Format(time.RFC3339); got != want {
				t.Errorf("%q after %s: got %s, want %s", c.text, at, got, want)
			}
			at = next
		}
	}
}

func TestDescribe(t *testing.T) {
	for text, want := range map[string]string{
		"0 30 2 ? * MON-FRI":     "at 02:30:00, on Monday to Friday",
		"0 0 6,18 * * ?":         "at 06:00:00, 18:00:00, every day",
		"0 0/15 * ? * SUN":       "second 0, every 15 minutes from minute 0 on, every hour, on Sunday",
		"0 0 0 LW * ?":           "at 00:00:00, on the workday nearest to the last day of the month",
		"0 0 0 L-3 JAN ?":        "at 00:00:00, 3 days before the last day of the month, in January",
		"0 0 0 ? * 6#3 2026":     "at 00:00:00, on Friday number 3 of the month, in the years 2026",
		"0 0 0 ? NOV-FEB FRIL":   "at 00:00:00, on the last Friday of the month, in January, February, November, December",
		"0 0 0 15W * ? 2026/100": "at 00:00:00, on the workday nearest to day 15, in the years 2026, 2126",
	} {
		c, err := schedule.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Describe(); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestLocationRefuses(t *testing.T) {
	for _, name := range []string{"Europe/Atlantis", "Local", "local", "../etc/passwd"} {
		if _, err := schedule.Location(name); !errors.Is(err, schedule.ErrInvalid) {
			t.Errorf("%q: %v, want ErrInvalid", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, e := range expressions {
		f.Add(e)
	}
	start := time.Date(2026, 3, 8, 6, 0, 0, 0, time.UTC)
	ny, err := schedule.Location("America/New_York")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := schedule.Parse(text)
		if err != nil {
			if !errors.Is(err, schedule.ErrInvalid) {
				t.Fatalf("error of another kind: %v", err)
			}
			return
		}
		if c.Describe() == "" {
			t.Error("no description")
		}
		again, err := schedule.Parse(c.String())
		if err != nil {
			t.Fatalf("%q does not parse again: %v", c, err)
		}
		at, ok := c.Next(start, ny)
		other, okOther := again.Next(start, ny)
		if ok != okOther || !at.Equal(other) || ok && !at.After(start) {
			t.Fatalf("%q: next is %s (%t), parsed again %s (%t)", c, at, ok, other, okOther)
		}
	})
}
