package server

import (
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/treeline-ml/treeline/client"
	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
)

func TestCompareVersions(t *testing.T) {
	s := newStack(t, Options{})
	ctx, c := t.Context(), s.client
	s.register(t, "v1")
	_, err := c.Registry.CompareVersions(ctx, &lifecyclev1.CompareVersionsRequest{ModelName: "churn", Version: 1})
	if d := client.Describe(err); d.Reason != lifecyclev1.ErrorReason_ERROR_REASON_NO_CHAMPION {
		t.Errorf("without a champion: %+v", d)
	}
	s.promote(t, "v1")
	s.register(t, "v2")
	r, err := c.Registry.CompareVersions(ctx, &lifecyclev1.CompareVersionsRequest{ModelName: "churn", Version: 2})
	if err != nil {
		t.Fatal(err)
	}
	if r.GetVersion().GetVersion() != 2 || r.GetOther().GetVersion() != 1 || r.GetOther().GetStage() != lifecyclev1.Stage_STAGE_CHAMPION {
		t.Errorf("compared %v with %v", r.GetVersion(), r.GetOther())
	}
	found := map[string]*lifecyclev1.VersionDifference{}
	for _, d := range r.GetDifferences() {
		if found[d.GetField()] != nil {
			t.Errorf("%s is there twice", d.GetField())
		}
		if d.GetEqual() != (d.GetValue() == d.GetOtherValue()) {
			t.Errorf("%v", d)
		}
		found[d.GetField()] = d
	}
	for field, want := range map[string]struct {
		value, other string
	}{
		"stage":                  {"trained", "champion"},
		"features":               {"11", "11"},
		"features.contract":      {"categorical", "categorical"},
		"features.tenure_months": {"numeric", "numeric"},
		"run_id":                 {"run-v2", "run-v1"},
	} {
		if d := found[field]; d.GetValue() != want.value || d.GetOtherValue() != want.other {
			t.Errorf("%s: %v, want %v", field, d, want)
		}
	}
	// v2 has not been validated: what the gates said about v1 has no counterpart.
	if d := found["gates.parity"]; d.GetValue() != "" || d.GetOtherValue() == "" || d.GetEqual() {
		t.Errorf("gates.parity: %v", d)
	}
	if d := found["digest"]; d.GetEqual() {
		t.Errorf("digests: %v", d)
	}
	_, err = c.Registry.CompareVersions(ctx, &lifecyclev1.CompareVersionsRequest{ModelName: "churn", Version: 1, OtherVersion: 9})
	if d := client.Describe(err); d.Code != codes.NotFound || d.Reason != lifecyclev1.ErrorReason_ERROR_REASON_VERSION_NOT_FOUND {
		t.Errorf("with version 9: %+v", d)
	}
}
