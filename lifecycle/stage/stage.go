// Package stage holds the stages of a model version and the moves that exist between them.
//
//	Created --> Trained --> Validated --> Champion --> Archived --> Retired
//	   |           |            |            |  ^        |   ^
//	   v           v            v            |  +--------+   | Validated again, or Champion again by rollback
//	 Failed     Rejected     Rejected        +--> Quarantined --> Retired
//	               |
//	               +--> Validated, by a waiver
//
// A move is looked up in one table; who makes it checks the guard that the table names. Nothing else in the product
// compares stages to decide what may happen.
//
// # Invariants
//
//	G1  A model has exactly one Champion, or none before its first promotion (the store's schema refuses a second).
//	G2  The old Champion leaves and the new one enters in one transaction.
//	G3  Failed and Retired versions never become Champion. A Rejected one does only after somebody waived, by name and
//	    with a reason, every gate that it failed, which makes it Validated; the artifact and parity gates are never waived.
package stage

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrWrong is wrapped by errors about a version whose stage does not allow what was asked. The caller does what the
// message says first.
var ErrWrong = errors.New("stage: version is in another stage")

// Stage is where a model version stands. The text is what the store and the audit log hold.
type Stage string

// The stages.
const (
	Created     Stage = "created"     // a training was accepted
	Trained     Stage = "trained"     // registered: every tree loads
	Validated   Stage = "validated"   // all required gates passed
	Champion    Stage = "champion"    // scores by default
	Archived    Stage = "archived"    // was Champion and was replaced
	Rejected    Stage = "rejected"    // a gate said no
	Failed      Stage = "failed"      // the training failed
	Quarantined Stage = "quarantined" // rolled back with cause
	Retired     Stage = "retired"     // bytes deleted, record kept
)

// All lists the stages in the order of a version's life.
func All() []Stage {
	return []Stage{Created, Trained, Validated, Champion, Archived, Rejected, Failed, Quarantined, Retired}
}

// Parse reads a stage.
func Parse(s string) (Stage, error) {
	if st := Stage(s); slices.Contains(All(), st) {
		return st, nil
	}
	return "", fmt.Errorf("stage: %q is none of %v", s, All())
}

// Title is the stage as people read it, "Validated".
func (s Stage) Title() string {
	if s == "" {
		return "none"
	}
	return strings.ToUpper(string(s[:1])) + string(s[1:])
}

// Move is one allowed transition.
type Move struct {
	From, To Stage
	// Action is what the audit log calls it.
	Action string
	// Guard is what must hold, in words. Whoever makes the move checks it.
	Guard string
}

// none is the empty stage for the moves that create a version.
const none Stage = ""

// The actions, as the audit log and the champion history call them.
const (
	ActionCreate     = "create"
	ActionRegister   = "register"
	ActionFail       = "fail"
	ActionValidate   = "validate"
	ActionReject     = "reject"
	ActionPromote    = "promote"
	ActionArchive    = "archive"
	ActionQuarantine = "quarantine"
	ActionRollback   = "rollback"
	ActionRetire     = "retire"
	ActionWaive      = "waive"
)

// Moves lists every transition that exists.
func Moves() []Move {
	const (
		failed    = "a required gate failed, evidence stored"
		passAgain = "all required gates pass again, evidence stored"
		waived    = "every required gate passed or was waived with a reason; artifact and parity passed; evidence stored"
	)
	return []Move{
		{none, Created, ActionCreate, "no other training of the model is active"},
		{none, Trained, ActionRegister, "artifact digest matches, every tree loads"},
		{Created, Trained, ActionRegister, "artifact digest matches, every tree loads"},
		{Created, Failed, ActionFail, "the training run ended without a model"},
		{Trained, Validated, ActionValidate, "all required gates pass, evidence stored"},
		{Trained, Validated, ActionWaive, waived},
		{Trained, Rejected, ActionReject, failed},
		{Validated, Validated, ActionValidate, passAgain},
		{Validated, Rejected, ActionReject, failed},
		{Validated, Champion, ActionPromote, "generation as expected, passing evidence stored, artifact digest matches"},
		{Champion, Archived, ActionArchive, "another version becomes Champion in the same transaction"},
		{Champion, Quarantined, ActionQuarantine, "a rollback makes another version Champion in the same transaction"},
		{Archived, Champion, ActionRollback, "in the champion history, digest and parity checked again"},
		{Archived, Validated, ActionValidate, passAgain},
		{Archived, Rejected, ActionReject, failed},
		{Archived, Retired, ActionRetire, "outside the rollback window, no retained batch needs it"},
		{Rejected, Validated, ActionWaive, waived},
		{Rejected, Retired, ActionRetire, "retention"},
		{Failed, Retired, ActionRetire, "retention"},
		{Quarantined, Retired, ActionRetire, "retention, no retained batch needs it"},
	}
}

// Allowed reports whether the move exists. The empty stage stands for a version that is not there yet.
func Allowed(from, to Stage) bool {
	_, ok := Find(from, to)
	return ok
}

// Can reports whether the action moves a version from one stage to another.
func Can(from, to Stage, action string) bool {
	return slices.ContainsFunc(Moves(), func(m Move) bool { return m.From == from && m.To == to && m.Action == action })
}

// Find returns the move from one stage to another; where there are two, the one without a waiver.
func Find(from, to Stage) (Move, bool) {
	for _, m := range Moves() {
		if m.From == from && m.To == to {
			return m, true
		}
	}
	return Move{}, false
}

// Next says what to do with a version in stage s so that it can become Champion, as a sentence for people.
func Next(s Stage, model string, version int64) string {
	switch s {
	case Trained:
		return fmt.Sprintf("run its gates first: ctl validate %s --version %d", model, version)
	case Validated:
		return fmt.Sprintf("promote it: ctl promote %s --version %d", model, version)
	case Champion:
		return "it is the Champion already; there is nothing to do"
	case Archived:
		return fmt.Sprintf("validate it again (ctl validate %s --version %d) or go back to it (ctl rollback %s --to %d)",
			model, version, model, version)
	case Rejected:
		return fmt.Sprintf("train or register a better version, or accept this one in your own name: ctl validate %s "+
			"--version %d --waive all --reason ...", model, version)
	case Failed:
		return "train or register a new version; this one stays as it is"
	case Quarantined:
		return "it was rolled back with cause; register a new version"
	case Retired:
		return "its bytes were deleted; register it again as a new version"
	default:
		return "wait until its training has ended"
	}
}
