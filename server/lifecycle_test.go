package server

import (
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/treeline-ml/treeline/client"
	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
)

// TestLifecycle walks two versions from registration to rollback over the wire.
func TestLifecycle(t *testing.T) {
	s := newStack(t, Options{})
	ctx, c := t.Context(), s.client
	v1 := s.register(t, "v1")
	if v1.GetVersion() != 1 || v1.GetStage() != lifecyclev1.Stage_STAGE_TRAINED || v1.GetLibrary() != "lightgbm" ||
		v1.GetRegisteredBy() != "tester" || v1.GetTrees() == 0 || v1.GetFeatures() != 11 || v1.GetRunId() != "run-v1" {
		t.Errorf("registered %v", v1)
	}
	again, err := c.RegisterPath(ctx, "churn", churn+"v1/model.txt", churn+"v1/golden.parquet", client.RegisterMeta{}, nil)
	if err != nil || !again.GetAlreadyRegistered() || again.GetVersion().GetVersion() != 1 {
		t.Errorf("the same bytes again: %v, %v", again, err)
	}
	report, err := c.Validation.Validate(ctx, &lifecyclev1.ValidateRequest{ModelName: "churn"})
	if err != nil {
		t.Fatal(err)
	}
	r := report.GetReport()
	if !r.GetPassed() || len(r.GetGates()) != 2 || !strings.HasPrefix(r.GetEvidenceDigest(), "sha256:") ||
		r.GetVersion().GetStage() != lifecyclev1.Stage_STAGE_VALIDATED {
		t.Errorf("report %v", r)
	}
	for _, g := range r.GetGates() {
		if g.GetOutcome() != lifecyclev1.GateOutcome_GATE_OUTCOME_PASS || g.GetSummary() == "" {
			t.Errorf("gate %v", g)
		}
	}
	stored, err := c.Validation.GetReport(ctx, &lifecyclev1.GetReportRequest{ModelName: "churn", Version: 1})
	if err != nil || stored.GetReport().GetEvidenceDigest() != r.GetEvidenceDigest() {
		t.Errorf("stored report %v, %v", stored, err)
	}
	dry, err := c.Promotion.Promote(ctx, &lifecyclev1.PromoteRequest{ModelName: "churn", Reason: "first", DryRun: true})
	if err != nil || !dry.GetChange().GetDryRun() || len(dry.GetChange().GetEffects()) == 0 || dry.GetChange().GetGeneration() != 1 {
		t.Errorf("dry run %v, %v", dry, err)
	}
	if _, err := c.Catalog.GetModel(ctx, getModel(0)); client.Describe(err).Reason != lifecyclev1.ErrorReason_ERROR_REASON_NO_CHAMPION {
		t.Errorf("after a dry run there is a champion: %v", err)
	}
	p, err := c.Promotion.Promote(ctx, &lifecyclev1.PromoteRequest{ModelName: "churn", Reason: "first", Actor: "ann"})
	if err != nil || p.GetChange().GetToVersion() != 1 || p.GetChange().GetFromVersion() != 0 || p.GetChange().GetAuditSeq() == 0 {
		t.Fatalf("promoted %v, %v", p, err)
	}
	second := s.promote(t, "v2")
	if second.GetFromVersion() != 1 || second.GetToVersion() != 2 || second.GetGeneration() != 2 ||
		second.GetFromVersionStage() != lifecyclev1.Stage_STAGE_ARCHIVED {
		t.Errorf("second promotion %v", second)
	}
	back, err := c.Promotion.Rollback(ctx, &lifecyclev1.RollbackRequest{ModelName: "churn", Reason: "worse"})
	if err != nil || back.GetChange().GetToVersion() != 1 || back.GetChange().GetFromVersionStage() != lifecyclev1.Stage_STAGE_QUARANTINED {
		t.Fatalf("rollback %v, %v", back, err)
	}
	history, err := c.Promotion.GetHistory(ctx, &lifecyclev1.GetHistoryRequest{ModelName: "churn"})
	if err != nil || len(history.GetPeriods()) != 3 {
		t.Fatalf("history %v, %v", history, err)
	}
	if now := history.GetPeriods()[0]; now.GetVersion() != 1 || now.GetUntil() != nil || now.GetAction() != "rollback" || now.GetReason() != "worse" {
		t.Errorf("present period %v", now)
	}
	if first := history.GetPeriods()[2]; first.GetActor() != "ann" || first.GetUntil() == nil {
		t.Errorf("first period %v", first)
	}
	versions, err := c.Registry.ListVersions(ctx, &lifecyclev1.ListVersionsRequest{ModelName: "churn"})
	if err != nil || len(versions.GetVersions()) != 2 || versions.GetVersions()[0].GetStage() != lifecyclev1.Stage_STAGE_QUARANTINED ||
		versions.GetVersions()[1].GetStage() != lifecyclev1.Stage_STAGE_CHAMPION {
		t.Errorf("versions %v, %v", versions, err)
	}
	models, err := c.Registry.ListModels(ctx, &lifecyclev1.ListModelsRequest{})
	if err != nil || len(models.GetModels()) != 1 || models.GetModels()[0].GetChampionVersion() != 1 || models.GetModels()[0].GetGeneration() != 3 {
		t.Errorf("models %v, %v", models, err)
	}
	wantAudit(t, c)
}

// wantAudit reads the whole audit log in pages of two and verifies the chain.
func wantAudit(t *testing.T, c *client.Client) {
	t.Helper()
	var actions []string
	req := &lifecyclev1.ListEntriesRequest{ModelName: "churn", PageSize: 2}
	for {
		page, err := c.Audit.ListEntries(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		if len(page.GetEntries()) > 2 {
			t.Fatalf("a page of %d entries", len(page.GetEntries()))
		}
		for _, e := range page.GetEntries() {
			actions = append(actions, e.GetAction())
			if e.GetRequestId() == "" || e.GetHash() == "" || e.GetActor() == "" || e.GetAuthMethod() != "none" {
				t.Errorf("entry %v", e)
			}
		}
		if req.PageToken = page.GetNextPageToken(); req.GetPageToken() == "" {
			break
		}
	}
	for _, want := range []string{"register", "validate", "promote", "rollback"} {
		if !strings.Contains(strings.Join(actions, " "), want) {
			t.Errorf("no %s among %v", want, actions)
		}
	}
	chain, err := c.Audit.VerifyChain(t.Context(), &lifecyclev1.VerifyChainRequest{})
	if err != nil || !chain.GetValid() || chain.GetEntries() != int64(len(actions)) || len(chain.GetHeadHash()) != 64 {
		t.Errorf("chain %v, %v; listed %d entries", chain, err, len(actions))
	}
	_, err = c.Audit.ListEntries(t.Context(), &lifecyclev1.ListEntriesRequest{PageToken: "no token of yours"})
	if d := client.Describe(err); d.Code != codes.InvalidArgument {
		t.Errorf("a foreign page token: %+v", d)
	}
}

func getModel(v int64) *scoringv1.GetModelRequest {
	return &scoringv1.GetModelRequest{Model: &scoringv1.ModelRef{Name: "churn", Version: v}}
}

// TestConcurrentPromotions lets 64 callers promote against the same generation: one wins.
func TestConcurrentPromotions(t *testing.T) {
	s := newStack(t, Options{})
	s.promote(t, "v1")
	v2 := s.register(t, "v2").GetVersion()
	if _, err := s.client.Validation.Validate(t.Context(), &lifecyclev1.ValidateRequest{ModelName: "churn", Version: v2}); err != nil {
		t.Fatal(err)
	}
	const callers = 64
	expected := int64(1)
	var (
		wg      sync.WaitGroup
		outcome [callers]client.Description
	)
	for i := range callers {
		wg.Go(func() {
			_, err := s.client.Promotion.Promote(t.Context(), &lifecyclev1.PromoteRequest{
				ModelName: "churn", Version: v2, Reason: "race", ExpectedGeneration: &expected,
			})
			outcome[i] = client.Describe(err)
		})
	}
	wg.Wait()
	won, lost := 0, 0
	for _, d := range outcome {
		switch {
		case d.Code == codes.OK:
			won++
		case d.Code == codes.Aborted && d.Reason == lifecyclev1.ErrorReason_ERROR_REASON_GENERATION_MISMATCH:
			lost++
		default:
			t.Errorf("%v %v", d.Code, d.Message)
		}
	}
	if won != 1 || lost != callers-1 {
		t.Errorf("%d won and %d were Aborted, want 1 and %d", won, lost, callers-1)
	}
}

func TestLifecycleRefusals(t *testing.T) {
	s := newStack(t, Options{})
	ctx, c := t.Context(), s.client
	s.register(t, "v1")
	for _, tc := range []struct {
		name   string
		call   func() error
		code   codes.Code
		reason lifecyclev1.ErrorReason
	}{
		{"unknown model", func() error {
			_, err := c.Registry.ListVersions(ctx, &lifecyclev1.ListVersionsRequest{ModelName: "nobody"})
			return err
		}, codes.NotFound, lifecyclev1.ErrorReason_ERROR_REASON_MODEL_NOT_FOUND},
		{"unknown version", func() error {
			_, err := c.Promotion.Promote(ctx, &lifecyclev1.PromoteRequest{ModelName: "churn", Version: 9, Reason: "r"})
			return err
		}, codes.NotFound, lifecyclev1.ErrorReason_ERROR_REASON_VERSION_NOT_FOUND},
		{"not validated", func() error {
			_, err := c.Promotion.Promote(ctx, &lifecyclev1.PromoteRequest{ModelName: "churn", Version: 1, Reason: "r"})
			return err
		}, codes.FailedPrecondition, lifecyclev1.ErrorReason_ERROR_REASON_WRONG_STAGE},
		{"no report yet", func() error {
			_, err := c.Validation.GetReport(ctx, &lifecyclev1.GetReportRequest{ModelName: "churn", Version: 1})
			return err
		}, codes.NotFound, lifecyclev1.ErrorReason_ERROR_REASON_REPORT_NOT_FOUND},
		{"no champion", func() error {
			return drainEvents(c.RunBatch(ctx, &scoringv1.RunBatchRequest{Model: &scoringv1.ModelRef{Name: "churn"}}))
		}, codes.FailedPrecondition, lifecyclev1.ErrorReason_ERROR_REASON_NO_CHAMPION},
		{"no model file", func() error {
			_, err := c.RegisterPath(ctx, "churn", churn+"config.yml", "", client.RegisterMeta{}, nil)
			return err
		}, codes.InvalidArgument, lifecyclev1.ErrorReason_ERROR_REASON_MODEL_INVALID},
	} {
		d := client.Describe(tc.call())
		if d.Code != tc.code || d.Reason != tc.reason || d.Message == "" {
			t.Errorf("%s: %v %v %q, want %v %v", tc.name, d.Code, d.Reason, d.Message, tc.code, tc.reason)
		}
	}
}

func TestCatalog(t *testing.T) {
	s := newStack(t, Options{})
	s.promote(t, "v1")
	list, err := s.client.Catalog.ListModels(t.Context(), &scoringv1.ListModelsRequest{})
	if err != nil || len(list.GetModels()) != 1 || list.GetModels()[0].GetName() != "churn" || list.GetModels()[0].GetChampionVersion() != 1 {
		t.Errorf("models %v, %v", list, err)
	}
	m, err := s.client.Catalog.GetModel(t.Context(), getModel(0))
	if err != nil {
		t.Fatal(err)
	}
	if m.GetLibrary() != "lightgbm" || m.GetOutputs() != 1 || len(m.GetPredictionColumns()) != 1 || m.GetPredictionColumns()[0] != "pred" ||
		m.GetKernel() == "" || m.GetLineage().GetModelVersion() != 1 || m.GetLineage().GetGeneration() != 1 || m.GetLineage().GetEngineBuild() == "" {
		t.Errorf("model %v", m)
	}
	kinds := map[string]string{}
	used := 0
	for _, f := range m.GetFeatures() {
		kinds[f.GetName()] = f.GetKind()
		if f.GetUsed() {
			used++
		}
		if f.GetName() == "contract" && (len(f.GetVocabulary()) < 2 || f.GetUnknownCategory() != "missing") {
			t.Errorf("contract %v", f)
		}
	}
	if len(kinds) != 11 || kinds["contract"] != "categorical" || kinds["tenure_months"] != "numeric" || used == 0 {
		t.Errorf("features %v, %d used", kinds, used)
	}
}
