package server

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/treeline-ml/treeline/client"
	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
	"github.com/treeline-ml/treeline/lifecycle/gate"
	"github.com/treeline-ml/treeline/lifecycle/promotion"
	"github.com/treeline-ml/treeline/lifecycle/version"
)

// blocked is a version that gates stand in the way of, and what was asked of them.
type blocked struct {
	refusals

	gates  []gate.Result
	waived *gate.WaiveRequest
	asked  *promotion.Request
	looked *promotion.Request // the dry run
	lost   error              // what a promotion ends with
}

func (b *blocked) Report(_ context.Context, _ string, v int64) (gate.Report, error) {
	if v == 0 {
		v = 5
	}
	return gate.Report{Version: version.Version{Model: "churn", Version: v}, Gates: b.gates}, nil
}

func (b *blocked) Waive(_ context.Context, r gate.WaiveRequest) (gate.Report, error) {
	b.waived = &r
	return gate.Report{Version: version.Version{Model: "churn", Version: r.Version}}, nil
}

func (b *blocked) Promote(_ context.Context, r promotion.Request) (promotion.Change, error) {
	if r.DryRun {
		b.looked = &r
	} else {
		b.asked = &r
	}
	return promotion.Change{Model: r.Model, ToVersion: r.Version, FromVersion: 4, DryRun: r.DryRun, Effects: []string{"promoted"}}, b.lost
}

func TestForce(t *testing.T) {
	objecting := []gate.Result{
		{Gate: gate.Parity, Outcome: gate.Pass, Required: true},
		{Gate: gate.AUCFloor, Outcome: gate.Fail, Required: true, Summary: "AUC 0.7 is below 0.75"},
		{Gate: gate.Slices, Outcome: gate.Inconclusive, Required: true, Summary: "no slices"},
		{Gate: gate.Calibration, Outcome: gate.Fail, Summary: "reported only"},
	}
	call := func(t *testing.T, b *blocked, r *lifecyclev1.PromoteRequest) (*lifecyclev1.ChampionChange, error) {
		t.Helper()
		f := serveTest(t, Deps{Gates: b, Promotions: b}, Options{})
		r.ModelName, r.Reason, r.Actor = "churn", "agreed with risk", "ann"
		answer, err := f.client.Promotion.Promote(t.Context(), r)
		return answer.GetChange(), err
	}
	t.Run("waives and promotes", func(t *testing.T) {
		b := &blocked{gates: objecting}
		ch, err := call(t, b, &lifecyclev1.PromoteRequest{Force: true})
		if err != nil || ch.GetToVersion() != 5 {
			t.Fatalf("%v, %v", ch, err)
		}
		if w := b.waived; w == nil || w.Version != 5 || w.Reason != "agreed with risk" || w.Actor != "ann" || w.Gates != nil || w.RequestID == "" {
			t.Errorf("waived %+v", w)
		}
		if b.asked.Version != 5 || b.asked.Actor != "ann" {
			t.Errorf("promoted %+v", b.asked)
		}
	})
	t.Run("dry run changes nothing", func(t *testing.T) {
		b := &blocked{gates: objecting}
		ch, err := call(t, b, &lifecyclev1.PromoteRequest{Force: true, DryRun: true, Version: 7})
		if err != nil || !ch.GetDryRun() || ch.GetToVersion() != 7 || ch.GetFromVersion() != 4 || !b.looked.Waived {
			t.Fatalf("%v, %v", ch, err)
		}
		if got := strings.Join(ch.GetEffects(), "; "); !strings.Contains(got, "gate auc_floor is waived: AUC 0.7 is below 0.75; gate slices") ||
			!strings.HasSuffix(got, "; promoted") ||
			strings.Contains(got, "calibration") {
			t.Errorf("effects: %s", got)
		}
		if b.waived != nil || b.asked != nil {
			t.Error("a dry run waived or promoted")
		}
	})
	t.Run("nothing is waived for a promotion that loses", func(t *testing.T) {
		b := &blocked{gates: objecting, lost: promotion.ErrGeneration}
		generation := int64(3)
		_, err := call(t, b, &lifecyclev1.PromoteRequest{Force: true, ExpectedGeneration: &generation})
		if d := client.Describe(err); d.Code != codes.Aborted || b.waived != nil || b.asked != nil {
			t.Errorf("%+v, waived %+v, asked %+v", d, b.waived, b.asked)
		}
		if *b.looked.ExpectedGeneration != 3 || b.looked.Version != 5 {
			t.Errorf("looked at %+v", b.looked)
		}
	})
	t.Run("nothing in the way", func(t *testing.T) {
		b := &blocked{gates: objecting[:1]}
		if _, err := call(t, b, &lifecyclev1.PromoteRequest{Force: true}); err != nil || b.waived != nil || b.asked.Version != 5 {
			t.Errorf("%v, waived %v, asked %+v", err, b.waived, b.asked)
		}
	})
	t.Run("parity cannot be forced", func(t *testing.T) {
		b := &blocked{gates: []gate.Result{{Gate: gate.Parity, Outcome: gate.Fail, Required: true, Summary: "row 3 differs"}}}
		_, err := call(t, b, &lifecyclev1.PromoteRequest{Force: true})
		if d := client.Describe(err); d.Code != codes.FailedPrecondition || d.Reason != lifecyclev1.ErrorReason_ERROR_REASON_GATE_NOT_WAIVABLE ||
			!strings.Contains(d.Message, "row 3 differs") || b.waived != nil {
			t.Errorf("%+v", d)
		}
	})
	t.Run("without force", func(t *testing.T) {
		b := &blocked{gates: objecting}
		if _, err := call(t, b, &lifecyclev1.PromoteRequest{}); err != nil || b.waived != nil || b.asked.Version != 0 {
			t.Errorf("%v, waived %v, asked %+v", err, b.waived, b.asked)
		}
	})
}
