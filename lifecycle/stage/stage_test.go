package stage

import (
	"slices"
	"strings"
	"testing"
)

// TestMoves lists the moves once more, by hand from the design, so that a change to the table is a decision.
func TestMoves(t *testing.T) {
	want := map[Stage][]Stage{
		"":          {Created, Trained},
		Created:     {Trained, Failed},
		Trained:     {Validated, Rejected},
		Validated:   {Validated, Champion, Rejected},
		Champion:    {Archived, Quarantined},
		Archived:    {Champion, Validated, Rejected, Retired},
		Rejected:    {Validated, Retired},
		Failed:      {Retired},
		Quarantined: {Retired},
		Retired:     {},
	}
	for from, allowed := range want {
		for _, to := range append(All(), "") {
			if got := Allowed(from, to); got != slices.Contains(allowed, to) {
				t.Errorf("%q to %q is allowed: %v", from, to, got)
			}
		}
	}
	for _, action := range []string{ActionValidate, ActionPromote, ActionRollback} {
		if Can(Rejected, Validated, action) {
			t.Errorf("%s lifts a rejection", action)
		}
	}
	if !Can(Rejected, Validated, ActionWaive) || !Can(Trained, Validated, ActionWaive) || Can(Failed, Validated, ActionWaive) {
		t.Error("a waiver leads from Trained and Rejected to Validated, and from nowhere else")
	}
	if m, ok := Find(Trained, Validated); !ok || m.Action != ActionValidate {
		t.Errorf("Trained to Validated is %q", m.Action)
	}
	for _, m := range Moves() {
		if m.Guard == "" || m.Action == "" {
			t.Errorf("%q to %q has no guard or no action", m.From, m.To)
		}
	}
}

func TestParse(t *testing.T) {
	for _, s := range All() {
		if got, err := Parse(string(s)); err != nil || got != s {
			t.Errorf("%q parses to %q (%v)", s, got, err)
		}
		if !strings.EqualFold(s.Title(), string(s)) || s.Title() == string(s) {
			t.Errorf("title of %q is %q", s, s.Title())
		}
		if Next(s, "churn", 7) == "" {
			t.Errorf("nothing to do next with %q", s)
		}
	}
	for _, s := range []string{"", "Trained", "star"} {
		if _, err := Parse(s); err == nil {
			t.Errorf("%q parses", s)
		}
	}
}
