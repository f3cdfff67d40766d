package audit

import (
	"encoding/json"
	"testing"
	"unicode/utf8"
)

// FuzzCanonical: the canonical JSON of any text that Append accepts reads back as that text, and two entries that differ
// in one text differ in it.
func FuzzCanonical(f *testing.F) {
	for _, s := range []string{"", "a", `"`, `\`, "\x00\x1f\x7f", "\u2028<>&", "ä\U0001f333", `","version":2`} {
		f.Add(s, "x")
	}
	f.Fuzz(func(t *testing.T, actor, reason string) {
		if !utf8.ValidString(actor) || !utf8.ValidString(reason) {
			return
		}
		e := Entry{Actor: actor, Reason: reason}
		var back struct {
			Actor   string `json:"actor"`
			Reason  string `json:"reason"`
			Version *int64 `json:"version"`
		}
		if err := json.Unmarshal(e.Canonical(), &back); err != nil || back.Actor != actor || back.Reason != reason || back.Version == nil {
			t.Fatalf("%q and %q come back as %+v (%v)", actor, reason, back, err)
		}
		swapped := Entry{Actor: reason, Reason: actor}
		if actor != reason && string(swapped.Canonical()) == string(e.Canonical()) {
			t.Fatalf("%q and %q are interchangeable", actor, reason)
		}
	})
}
