package server

import (
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/treeline-ml/treeline/client"
	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
	monitoringv1 "github.com/treeline-ml/treeline/gen/treeline/monitoring/v1"
	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
)

const someBatch = "4c9b0f0e-8d0c-5a3e-9f7e-2b8f0d1c6a55"

// everyCall has one valid call of each RPC, by method name with the service's where names repeat.
func everyCall(t *testing.T, c *client.Client) map[string]func(context.Context) error {
	t.Helper()
	file := filepath.Join(t.TempDir(), "rows.csv")
	if err := os.WriteFile(file, []byte("a\n1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ref := &scoringv1.ModelRef{Name: "churn"}
	return map[string]func(context.Context) error{
		"Score": func(ctx context.Context) error {
			_, err := c.Scoring.Score(ctx, &scoringv1.ScoreRequest{Model: ref, ArrowIpc: []byte("no arrow")})
			return err
		},
		"ScoreStream": func(ctx context.Context) error {
			s, err := c.Scoring.ScoreStream(ctx)
			if err != nil {
				return err
			}
			start := &scoringv1.ScoreStreamStart{Model: ref, ArrowSchema: []byte("no arrow")}
			if err := s.Send(&scoringv1.ScoreStreamRequest{Message: &scoringv1.ScoreStreamRequest_Start{Start: start}}); err != nil {
				return err
			}
			_, err = s.Recv()
			return err
		},
		"RunBatch": func(ctx context.Context) error {
			return drainEvents(c.RunBatch(ctx, &scoringv1.RunBatchRequest{Model: ref}))
		},
		"UploadBatch": func(ctx context.Context) error {
			return drainEvents(c.UploadBatch(ctx, &scoringv1.UploadBatchStart{Model: ref}, file, nil))
		},
		"WatchBatch": func(ctx context.Context) error { return drainEvents(c.WatchBatch(ctx, someBatch)) },
		"GetBatch": func(ctx context.Context) error {
			_, err := c.Batches.GetBatch(ctx, &scoringv1.GetBatchRequest{ScoreBatchId: someBatch})
			return err
		},
		"ListBatches": func(ctx context.Context) error {
			_, err := c.Batches.ListBatches(ctx, &scoringv1.ListBatchesRequest{})
			return err
		},
		"CancelBatch": func(ctx context.Context) error {
			_, err := c.Batches.CancelBatch(ctx, &scoringv1.CancelBatchRequest{ScoreBatchId: someBatch})
			return err
		},
		"GetBatchRows": func(ctx context.Context) error {
			_, err := c.Batches.GetBatchRows(ctx, &scoringv1.GetBatchRowsRequest{ScoreBatchId: someBatch})
			return err
		},
		"CatalogService/ListModels": func(ctx context.Context) error {
			_, err := c.Catalog.ListModels(ctx, &scoringv1.ListModelsRequest{})
			return err
		},
		"GetModel": func(ctx context.Context) error {
			_, err := c.Catalog.GetModel(ctx, &scoringv1.GetModelRequest{Model: ref})
			return err
		},
		"Register": func(ctx context.Context) error {
			_, err := c.RegisterPath(ctx, "churn", file, "", client.RegisterMeta{}, nil)
			return err
		},
		"RegistryService/ListModels": func(ctx context.Context) error {
			_, err := c.Registry.ListModels(ctx, &lifecyclev1.ListModelsRequest{})
			return err
		},
		"ListVersions": func(ctx context.Context) error {
			_, err := c.Registry.ListVersions(ctx, &lifecyclev1.ListVersionsRequest{ModelName: "churn"})
			return err
		},
		"Validate": func(ctx context.Context) error {
			_, err := c.Validation.Validate(ctx, &lifecyclev1.ValidateRequest{ModelName: "churn"})
			return err
		},
		"GetReport": func(ctx context.Context) error {
			_, err := c.Validation.GetReport(ctx, &lifecyclev1.GetReportRequest{ModelName: "churn"})
			return err
		},
		"Promote": func(ctx context.Context) error {
			_, err := c.Promotion.Promote(ctx, &lifecyclev1.PromoteRequest{ModelName: "churn", Reason: "test"})
			return err
		},
		"Rollback": func(ctx context.Context) error {
			_, err := c.Promotion.Rollback(ctx, &lifecyclev1.RollbackRequest{ModelName: "churn", Reason: "test"})
			return err
		},
		"GetHistory": func(ctx context.Context) error {
			_, err := c.Promotion.GetHistory(ctx, &lifecyclev1.GetHistoryRequest{ModelName: "churn"})
			return err
		},
		"ListEntries": func(ctx context.Context) error {
			_, err := c.Audit.ListEntries(ctx, &lifecyclev1.ListEntriesRequest{})
			return err
		},
		"VerifyChain": func(ctx context.Context) error {
			_, err := c.Audit.VerifyChain(ctx, &lifecyclev1.VerifyChainRequest{})
			return err
		},
		"CompareVersions": func(ctx context.Context) error {
			_, err := c.Registry.CompareVersions(ctx, &lifecyclev1.CompareVersionsRequest{ModelName: "churn", Version: 1})
			return err
		},
		"Waive": func(ctx context.Context) error {
			_, err := c.Validation.Waive(ctx, &lifecyclev1.WaiveRequest{ModelName: "churn", Reason: "test"})
			return err
		},
		"TriggerTraining": func(ctx context.Context) error {
			_, err := c.Training.TriggerTraining(ctx, &lifecyclev1.TriggerTrainingRequest{ModelName: "churn"})
			return err
		},
		"GetTraining": func(ctx context.Context) error {
			_, err := c.Training.GetTraining(ctx, &lifecyclev1.GetTrainingRequest{TrainingId: "t-1"})
			return err
		},
		"CancelTraining": func(ctx context.Context) error {
			_, err := c.Training.CancelTraining(ctx, &lifecyclev1.CancelTrainingRequest{TrainingId: "t-1", Reason: "test"})
			return err
		},
		"ListTrainings": func(ctx context.Context) error {
			_, err := c.Training.ListTrainings(ctx, &lifecyclev1.ListTrainingsRequest{})
			return err
		},
		"ListTriggers": func(ctx context.Context) error {
			_, err := c.Triggers.ListTriggers(ctx, &lifecyclev1.ListTriggersRequest{})
			return err
		},
		"FireTrigger": func(ctx context.Context) error {
			_, err := c.Triggers.FireTrigger(ctx, &lifecyclev1.FireTriggerRequest{ModelName: "churn", Reason: "test"})
			return err
		},
		"EvaluateTriggers": func(ctx context.Context) error {
			_, err := c.Triggers.EvaluateTriggers(ctx, &lifecyclev1.EvaluateTriggersRequest{ModelName: "churn"})
			return err
		},
		"ListDecisions": func(ctx context.Context) error {
			_, err := c.Triggers.ListDecisions(ctx, &lifecyclev1.ListDecisionsRequest{})
			return err
		},
		"ListSchedules": func(ctx context.Context) error {
			_, err := c.Schedules.ListSchedules(ctx, &lifecyclev1.ListSchedulesRequest{})
			return err
		},
		"PreviewSchedule": func(ctx context.Context) error {
			_, err := c.Schedules.PreviewSchedule(ctx, &lifecyclev1.PreviewScheduleRequest{QuartzCronExpression: "not quartz"})
			return err
		},
		"PauseSchedule": func(ctx context.Context) error {
			_, err := c.Schedules.PauseSchedule(ctx, &lifecyclev1.PauseScheduleRequest{ModelName: "churn", Job: "train", Reason: "test"})
			return err
		},
		"ResumeSchedule": func(ctx context.Context) error {
			_, err := c.Schedules.ResumeSchedule(ctx, &lifecyclev1.ResumeScheduleRequest{ModelName: "churn", Job: "train"})
			return err
		},
		"StartRun": func(ctx context.Context) error {
			_, err := c.Runs.StartRun(ctx, &lifecyclev1.StartRunRequest{All: true})
			return err
		},
		"GetRun": func(ctx context.Context) error {
			_, err := c.Runs.GetRun(ctx, &lifecyclev1.GetRunRequest{RunId: "r-1"})
			return err
		},
		"ListRuns": func(ctx context.Context) error {
			_, err := c.Runs.ListRuns(ctx, &lifecyclev1.ListRunsRequest{})
			return err
		},
		"CancelRun": func(ctx context.Context) error {
			_, err := c.Runs.CancelRun(ctx, &lifecyclev1.CancelRunRequest{RunId: "r-1", Reason: "test"})
			return err
		},
		"ListDeliveries": func(ctx context.Context) error {
			_, err := c.Outbox.ListDeliveries(ctx, &lifecyclev1.ListDeliveriesRequest{})
			return err
		},
		"ReplayDeliveries": func(ctx context.Context) error {
			_, err := c.Outbox.ReplayDeliveries(ctx, &lifecyclev1.ReplayDeliveriesRequest{Kind: "alert"})
			return err
		},
		"ReconcileRegistry": func(ctx context.Context) error {
			_, err := c.Outbox.ReconcileRegistry(ctx, &lifecyclev1.ReconcileRegistryRequest{})
			return err
		},
		"CheckDrift": func(ctx context.Context) error {
			_, err := c.Monitoring.CheckDrift(ctx, &monitoringv1.CheckDriftRequest{ModelName: "churn"})
			return err
		},
		"ListDriftReports": func(ctx context.Context) error {
			_, err := c.Monitoring.ListDriftReports(ctx, &monitoringv1.ListDriftReportsRequest{})
			return err
		},
		"GetStatistics": func(ctx context.Context) error {
			_, err := c.Monitoring.GetStatistics(ctx, &monitoringv1.GetStatisticsRequest{ModelName: "churn", Subject: &monitoringv1.GetStatisticsRequest_Version{Version: 1}})
			return err
		},
		"WatchTraining": func(ctx context.Context) error { return drain2(c.WatchTraining(ctx, "t-1", 0)) },
		"WatchRun":      func(ctx context.Context) error { return drain2(c.WatchRun(ctx, "r-1")) },
		"StreamValidate": func(ctx context.Context) error {
			return drain2(c.StreamValidate(ctx, &lifecyclev1.StreamValidateRequest{ModelName: "churn"}))
		},
	}
}

// drain2 returns the error that ends a stream.
func drain2[R any](events iter.Seq2[R, error]) error {
	for _, err := range events {
		if err != nil {
			return err
		}
	}
	return nil
}

// drainEvents returns the error that ends a sequence of events.
func drainEvents(events client.Events) error { return drain2(events) }

// TestEveryCallIsListed keeps everyCall complete: a new RPC without a test fails here.
func TestEveryCallIsListed(t *testing.T) {
	f := serveTest(t, Deps{}, Options{})
	calls := everyCall(t, f.client)
	found := 0
	for _, l := range []listener{f.server.data, f.server.admin} {
		for service, info := range l.grpc.GetServiceInfo() {
			if !strings.HasPrefix(service, "treeline.") {
				continue
			}
			short := service[strings.LastIndexByte(service, '.')+1:]
			for _, m := range info.Methods {
				found++
				if calls[m.Name] == nil && calls[short+"/"+m.Name] == nil {
					t.Errorf("%s/%s is not in everyCall", service, m.Name)
				}
			}
		}
	}
	if found != len(calls) {
		t.Errorf("the server has %d methods, everyCall %d", found, len(calls))
	}
}

// TestEveryCallHasASpan asserts one server span per call, named after the method.
func TestEveryCallHasASpan(t *testing.T) {
	f := serveTest(t, fillLifecycle(Deps{}), Options{})
	for name, call := range everyCall(t, f.client) {
		if err := call(t.Context()); err == nil {
			t.Errorf("%s: a service that is not there answered", name)
		}
	}
	stopNow(t, f)
	var got []string
	for _, s := range f.spans.Ended() {
		got = append(got, s.Name()[strings.LastIndexByte(s.Name(), '.')+1:])
	}
	for name := range everyCall(t, f.client) {
		want := name
		n := 0
		for _, g := range got {
			if g == want || strings.HasSuffix(g, "/"+want) {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s has %d spans, want 1 (all: %v)", name, n, got)
		}
	}
}

func stopNow(t *testing.T, f *fixture) {
	t.Helper()
	if err := f.server.GracefulStop(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestRequestsAreValidated sends one bad field after the other and wants it named.
func TestRequestsAreValidated(t *testing.T) {
	f := serveTest(t, fillLifecycle(Deps{}), Options{})
	c := f.client
	ctx := t.Context()
	ref := &scoringv1.ModelRef{Name: "churn"}
	negative := int64(-1)
	for _, tc := range []struct {
		field string
		call  func() error
	}{
		{"model", func() error {
			_, err := c.Scoring.Score(ctx, &scoringv1.ScoreRequest{ArrowIpc: []byte("x")})
			return err
		}},
		{"arrow_ipc", func() error { _, err := c.Scoring.Score(ctx, &scoringv1.ScoreRequest{Model: ref}); return err }},
		{"model.version", func() error {
			_, err := c.Scoring.Score(ctx, &scoringv1.ScoreRequest{Model: &scoringv1.ModelRef{Name: "churn", Version: -1}, ArrowIpc: []byte("x")})
			return err
		}},
		{"model.name", func() error {
			_, err := c.Catalog.GetModel(ctx, &scoringv1.GetModelRequest{Model: &scoringv1.ModelRef{Name: "../churn"}})
			return err
		}},
		{"date", func() error {
			return drainEvents(c.RunBatch(ctx, &scoringv1.RunBatchRequest{Model: ref, Date: "01/02/2026"}))
		}},
		{"input", func() error {
			return drainEvents(c.RunBatch(ctx, &scoringv1.RunBatchRequest{Model: ref, Input: "a\x00b"}))
		}},
		{"output_table", func() error {
			return drainEvents(c.RunBatch(ctx, &scoringv1.RunBatchRequest{Model: ref, OutputTable: "a.b; drop table c"}))
		}},
		{"output_file", func() error {
			return drainEvents(c.RunBatch(ctx, &scoringv1.RunBatchRequest{Model: ref, OutputFile: "scores.parquet"}))
		}},
		{"output_file", func() error {
			return drainEvents(c.RunBatch(ctx, &scoringv1.RunBatchRequest{Model: ref, OutputFile: "/tmp/\n.parquet"}))
		}},
		{"score_batch_id", func() error { return drainEvents(c.WatchBatch(ctx, "42")) }},
		{"score_batch_id", func() error {
			_, err := c.Batches.CancelBatch(ctx, &scoringv1.CancelBatchRequest{ScoreBatchId: strings.Repeat("x", 1000)})
			return err
		}},
		{"page_size", func() error {
			_, err := c.Batches.ListBatches(ctx, &scoringv1.ListBatchesRequest{PageSize: 1001})
			return err
		}},
		{"page_token", func() error {
			_, err := c.Audit.ListEntries(ctx, &lifecyclev1.ListEntriesRequest{PageToken: strings.Repeat("x", 1025)})
			return err
		}},
		{"limit", func() error {
			_, err := c.Batches.GetBatchRows(ctx, &scoringv1.GetBatchRowsRequest{ScoreBatchId: someBatch, Limit: -1})
			return err
		}},
		{"reason", func() error {
			_, err := c.Promotion.Promote(ctx, &lifecyclev1.PromoteRequest{ModelName: "churn", Reason: " \n"})
			return err
		}},
		{"expected_generation", func() error {
			_, err := c.Promotion.Promote(ctx, &lifecyclev1.PromoteRequest{ModelName: "churn", Reason: "r", ExpectedGeneration: &negative})
			return err
		}},
		{"to_version", func() error {
			_, err := c.Promotion.Rollback(ctx, &lifecyclev1.RollbackRequest{ModelName: "churn", Reason: "r", ToVersion: -2})
			return err
		}},
		{"actor", func() error {
			_, err := c.Validation.Validate(ctx, &lifecyclev1.ValidateRequest{ModelName: "churn", Actor: "a\x1b[31m"})
			return err
		}},
		{"model_name", func() error {
			_, err := c.Registry.ListVersions(ctx, &lifecyclev1.ListVersionsRequest{})
			return err
		}},
		{"version", func() error {
			_, err := c.Registry.CompareVersions(ctx, &lifecyclev1.CompareVersionsRequest{ModelName: "churn"})
			return err
		}},
		{"gates", func() error {
			_, err := c.Validation.Waive(ctx, &lifecyclev1.WaiveRequest{ModelName: "churn", Reason: "r", Gates: make([]string, 65)})
			return err
		}},
		{"gates[1]", func() error {
			_, err := c.Validation.Waive(ctx, &lifecyclev1.WaiveRequest{ModelName: "churn", Reason: "r", Gates: []string{"slices", ""}})
			return err
		}},
		{"reason", func() error {
			_, err := c.Validation.Waive(ctx, &lifecyclev1.WaiveRequest{ModelName: "churn"})
			return err
		}},
		{"compute_date", func() error {
			_, err := c.Training.TriggerTraining(ctx, &lifecyclev1.TriggerTrainingRequest{ModelName: "churn", ComputeDate: "today"})
			return err
		}},
		{"training_id", func() error {
			_, err := c.Training.GetTraining(ctx, &lifecyclev1.GetTrainingRequest{TrainingId: "../x"})
			return err
		}},
		{"reason", func() error {
			_, err := c.Training.CancelTraining(ctx, &lifecyclev1.CancelTrainingRequest{TrainingId: "t-1"})
			return err
		}},
		{"page_size", func() error {
			_, err := c.Training.ListTrainings(ctx, &lifecyclev1.ListTrainingsRequest{PageSize: -1})
			return err
		}},
		{"reason", func() error {
			_, err := c.Triggers.FireTrigger(ctx, &lifecyclev1.FireTriggerRequest{ModelName: "churn"})
			return err
		}},
		{"model_name", func() error {
			_, err := c.Triggers.EvaluateTriggers(ctx, &lifecyclev1.EvaluateTriggersRequest{})
			return err
		}},
		{"job", func() error {
			_, err := c.Schedules.PauseSchedule(ctx, &lifecyclev1.PauseScheduleRequest{ModelName: "churn", Job: "training", Reason: "r"})
			return err
		}},
		{"reason", func() error {
			_, err := c.Schedules.PauseSchedule(ctx, &lifecyclev1.PauseScheduleRequest{ModelName: "churn", Job: "train"})
			return err
		}},
		{"count", func() error {
			_, err := c.Schedules.PreviewSchedule(ctx, &lifecyclev1.PreviewScheduleRequest{QuartzCronExpression: "0 0 0 * * ?", Count: 1001})
			return err
		}},
		{"quartz_cron_expression", func() error {
			_, err := c.Schedules.PreviewSchedule(ctx, &lifecyclev1.PreviewScheduleRequest{QuartzCronExpression: strings.Repeat("*", 1025)})
			return err
		}},
		{"model_names", func() error {
			_, err := c.Runs.StartRun(ctx, &lifecyclev1.StartRunRequest{})
			return err
		}},
		{"all", func() error {
			_, err := c.Runs.StartRun(ctx, &lifecyclev1.StartRunRequest{All: true, ModelNames: []string{"churn"}})
			return err
		}},
		{"model_names[1]", func() error {
			_, err := c.Runs.StartRun(ctx, &lifecyclev1.StartRunRequest{ModelNames: []string{"churn", "churn"}})
			return err
		}},
		{"steps[0]", func() error {
			_, err := c.Runs.StartRun(ctx, &lifecyclev1.StartRunRequest{All: true, Steps: []lifecyclev1.RunStep{99}})
			return err
		}},
		{"steps[1]", func() error {
			_, err := c.Runs.StartRun(ctx, &lifecyclev1.StartRunRequest{All: true, Steps: []lifecyclev1.RunStep{1, 1}})
			return err
		}},
		{"run_id", func() error {
			_, err := c.Runs.GetRun(ctx, &lifecyclev1.GetRunRequest{})
			return err
		}},
		{"state", func() error {
			_, err := c.Outbox.ListDeliveries(ctx, &lifecyclev1.ListDeliveriesRequest{State: 9})
			return err
		}},
		{"kind", func() error {
			_, err := c.Outbox.ReplayDeliveries(ctx, &lifecyclev1.ReplayDeliveriesRequest{})
			return err
		}},
		{"mode", func() error {
			_, err := c.Monitoring.CheckDrift(ctx, &monitoringv1.CheckDriftRequest{ModelName: "churn", Mode: 7})
			return err
		}},
		{"score_batch_id", func() error {
			_, err := c.Monitoring.CheckDrift(ctx, &monitoringv1.CheckDriftRequest{ModelName: "churn", ScoreBatchId: "latest"})
			return err
		}},
		{"subject", func() error {
			_, err := c.Monitoring.GetStatistics(ctx, &monitoringv1.GetStatisticsRequest{ModelName: "churn"})
			return err
		}},
		{"log_offset", func() error { return drain2(c.WatchTraining(ctx, "t-1", -1)) }},
		{"run_id", func() error { return drain2(c.WatchRun(ctx, "a b")) }},
		{"version", func() error {
			return drain2(c.StreamValidate(ctx, &lifecyclev1.StreamValidateRequest{ModelName: "churn", Version: -1}))
		}},
	} {
		err := tc.call()
		d := client.Describe(err)
		if d.Code != codes.InvalidArgument || d.Reason != lifecyclev1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT {
			t.Errorf("%s: %+v", tc.field, d)
			continue
		}
		if !slices.ContainsFunc(d.Fields, func(f client.Field) bool { return f.Name == tc.field && f.Problem != "" }) {
			t.Errorf("%s is not among the fields %v", tc.field, d.Fields)
		}
	}
}

// recvAll receives until the stream ends and returns its error, nil for a clean end.
func recvAll[R any](recv func() (R, error)) error {
	for {
		if _, err := recv(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}
