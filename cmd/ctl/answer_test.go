package main

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
	monitoringv1 "github.com/treeline-ml/treeline/gen/treeline/monitoring/v1"
	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
)

const batchID = "6f0c1f0e-2f7a-5c55-9b3e-0d5a8b1c2d3e"

// Trainings.

func aTraining(id string) *lifecyclev1.Training {
	return &lifecyclev1.Training{
		TrainingId: id, ModelName: "churn", Version: 5, State: lifecyclev1.TrainingState_TRAINING_STATE_SUCCEEDED, Attempt: 1,
		Trigger: "manual", Reason: "features", Actor: "tester", ComputeDate: "2026-11-02", GitSha: "40dcfaf",
		TrainerClass: "treeline.training.RandomForestTrainer", ConfigDigest: "sha256:0123456789abcdef", InputVersion: "sha256:fedcba9876543210",
		InputRows: 120000, RunId: "0a1b2c3d4e5f60718293a4b5c6d7e8f9", RunName: "churn-20261102-030000", RegistryVersion: "3",
		Metrics: map[string]float64{"auc": 0.81234567, "precision": 0.7, "recall": 0.65}, CreatedAt: at("02 03:00:00"),
		StartedAt: at("02 03:00:02"), FinishedAt: at("02 03:01:32"), Usage: &lifecyclev1.ResourceUsage{UserCpuSeconds: 80, SystemCpuSeconds: 2.5, MaxRssBytes: 700 << 20},
	}
}

func failedTraining() *lifecyclev1.Training {
	t := aTraining("t-failed")
	t.ModelName, t.Version, t.State, t.Attempt, t.Metrics = "fraud", 1, lifecyclev1.TrainingState_TRAINING_STATE_FAILED, 3, nil
	t.RunId, t.RegistryVersion, t.ExitCode = "", "", 10
	t.Error, t.Hint = "the trainer ended with code 10: column label has one value", "label_col of the config.yml must have two values"
	return t
}

func (f *fake) TriggerTraining(_ context.Context, r *lifecyclev1.TriggerTrainingRequest) (*lifecyclev1.TriggerTrainingResponse, error) {
	if r.GetModelName() == "fraud" {
		t := failedTraining()
		t.State = lifecyclev1.TrainingState_TRAINING_STATE_RUNNING
		return &lifecyclev1.TriggerTrainingResponse{Training: t, AlreadyRunning: true}, nil
	}
	t := aTraining("t-1")
	t.State, t.FinishedAt, t.StartedAt, t.Metrics = lifecyclev1.TrainingState_TRAINING_STATE_QUEUED, nil, nil, nil
	return &lifecyclev1.TriggerTrainingResponse{Training: t}, nil
}

func (f *fake) WatchTraining(r *lifecyclev1.WatchTrainingRequest, s lifecyclev1.TrainingService_WatchTrainingServer) error {
	send := func(t *lifecyclev1.Training, state lifecyclev1.TrainingState, step string) error {
		t = proto.Clone(t).(*lifecyclev1.Training)
		t.State, t.Step = state, step
		return s.Send(&lifecyclev1.WatchTrainingResponse{Event: &lifecyclev1.WatchTrainingResponse_Training{Training: t}})
	}
	end, state := aTraining("t-1"), lifecyclev1.TrainingState_TRAINING_STATE_SUCCEEDED
	if r.GetTrainingId() == "t-failed" {
		end, state = failedTraining(), lifecyclev1.TrainingState_TRAINING_STATE_FAILED
	}
	for _, one := range []error{
		send(end, lifecyclev1.TrainingState_TRAINING_STATE_PREPARING, ""),
		send(end, lifecyclev1.TrainingState_TRAINING_STATE_RUNNING, "load"),
		s.Send(&lifecyclev1.WatchTrainingResponse{Event: &lifecyclev1.WatchTrainingResponse_Log{Log: &lifecyclev1.LogChunk{Text: "120000 rows\nfit\x1b[31m\n"}}}),
		send(end, lifecyclev1.TrainingState_TRAINING_STATE_RUNNING, "load"),
		send(end, lifecyclev1.TrainingState_TRAINING_STATE_RUNNING, "train"),
		s.Send(&lifecyclev1.WatchTrainingResponse{Event: &lifecyclev1.WatchTrainingResponse_Log{Log: &lifecyclev1.LogChunk{Text: "half a line", Truncated: true}}}),
		send(end, state, ""),
	} {
		if one != nil {
			return one
		}
	}
	return nil
}

func (f *fake) GetTraining(_ context.Context, r *lifecyclev1.GetTrainingRequest) (*lifecyclev1.GetTrainingResponse, error) {
	if r.GetTrainingId() != "t-failed" {
		return nil, refusal(codes.NotFound, lifecyclev1.ErrorReason_ERROR_REASON_TRAINING_NOT_FOUND,
			"nobody: training not found; name one that ListTrainings shows")
	}
	return &lifecyclev1.GetTrainingResponse{Training: failedTraining()}, nil
}

func (f *fake) CancelTraining(context.Context, *lifecyclev1.CancelTrainingRequest) (*lifecyclev1.CancelTrainingResponse, error) {
	t := aTraining("t-1")
	t.State, t.Error, t.Metrics = lifecyclev1.TrainingState_TRAINING_STATE_CANCELLED, "cancelled by tester: enough", nil
	return &lifecyclev1.CancelTrainingResponse{Training: t}, nil
}

// ListTrainings answers in pages of one row.
func (f *fake) ListTrainings(_ context.Context, r *lifecyclev1.ListTrainingsRequest) (*lifecyclev1.ListTrainingsResponse, error) {
	if r.GetPageToken() == "" {
		return &lifecyclev1.ListTrainingsResponse{Trainings: []*lifecyclev1.Training{failedTraining()}, NextPageToken: "next"}, nil
	}
	return &lifecyclev1.ListTrainingsResponse{Trainings: []*lifecyclev1.Training{aTraining("0198c0de-7d1c-7000-8000-5a1b2c3d4e5f")}}, nil
}

// Gates.

func aReport(details bool) *lifecyclev1.ValidationReport {
	r := &lifecyclev1.ValidationReport{
		Version: &lifecyclev1.ModelVersion{ModelName: "churn", Version: 5, Stage: lifecyclev1.Stage_STAGE_REJECTED},
		Gates: []*lifecyclev1.GateResult{
			{Gate: "parity", Outcome: lifecyclev1.GateOutcome_GATE_OUTCOME_PASS, Required: true, Summary: "4000 values agree bit for bit", Evidence: map[string]string{"rows": "2000"}},
			{
				Gate: "auc_floor", Outcome: lifecyclev1.GateOutcome_GATE_OUTCOME_FAIL, Required: true,
				Summary:  "AUC 0.7423 (95 % interval 0.7310 to 0.7536) is below the floor 0.75",
				Hint:     "train on more rows, or lower metrics.auc_threshold in the config.yml",
				Evidence: map[string]string{"auc": "0.7423107219312084", "p_value": "1.0923336966094485e-91", "interval": "0.7310 to 0.7536", "floor": "0.75", "rows": "24000", "champion_digest": "sha256:257b61e3e35293efdf415db6805d1de1d86cf3ecce717b14c3063204c9ce2c35"},
			},
			{
				Gate: "slices", Outcome: lifecyclev1.GateOutcome_GATE_OUTCOME_FAIL, Required: true, Summary: "1 of 3 slices is worse than the Champion by more than 0.02",
				Hint: "look at region 7",
			},
			{Gate: "calibration", Outcome: lifecyclev1.GateOutcome_GATE_OUTCOME_FAIL, Summary: "ECE 0.061 is above 0.05", Evidence: map[string]string{"ece": "0.061"}},
		},
		ValidatedAt: at("02 03:02:00"), EvidenceDigest: "sha256:abcdef0123456789",
		Explanation: "Version 5 is blocked: its AUC of 0.7423 is below the floor of 0.75, and in region 7 it is worse than the Champion by 0.031. " +
			"The Champion, version 4, stays. Train on more rows, or accept version 5 with ctl validate churn --version 5 --waive auc_floor,slices --reason R.",
	}
	if details {
		for _, d := range []struct {
			name    string
			outcome lifecyclev1.GateOutcome
			drop    float64
		}{
			{"region=7", lifecyclev1.GateOutcome_GATE_OUTCOME_FAIL, 0.031},
			{"region=8", lifecyclev1.GateOutcome_GATE_OUTCOME_PASS, 0.001},
			{"region=9", lifecyclev1.GateOutcome_GATE_OUTCOME_INCONCLUSIVE, 0},
		} {
			r.Gates[2].Details = append(r.Gates[2].Details, &lifecyclev1.GateDetail{
				Name: d.name, Outcome: d.outcome, Summary: "AUC against the Champion's", Figures: map[string]float64{"drop": d.drop, "rows": 812, "p": 0.00214},
			})
		}
	}
	return r
}

func (f *fake) StreamValidate(r *lifecyclev1.StreamValidateRequest, s lifecyclev1.ValidationService_StreamValidateServer) error {
	f.keep("StreamValidate", r)
	report := aReport(true)
	for _, g := range report.GetGates() {
		for _, e := range []*lifecyclev1.StreamValidateResponse{
			{Event: &lifecyclev1.StreamValidateResponse_Started{Started: g.GetGate()}},
			{Event: &lifecyclev1.StreamValidateResponse_Gate{Gate: g}},
		} {
			if err := s.Send(e); err != nil {
				return err
			}
		}
	}
	return s.Send(&lifecyclev1.StreamValidateResponse{Event: &lifecyclev1.StreamValidateResponse_Report{Report: report}})
}

func (f *fake) GetReport(context.Context, *lifecyclev1.GetReportRequest) (*lifecyclev1.GetReportResponse, error) {
	return &lifecyclev1.GetReportResponse{Report: aReport(false)}, nil
}

func (f *fake) Waive(_ context.Context, r *lifecyclev1.WaiveRequest) (*lifecyclev1.WaiveResponse, error) {
	report := aReport(false)
	report.Passed, report.Explanation, report.Version.Stage = true, "Version 5 passed; tester waived two gates.", lifecyclev1.Stage_STAGE_VALIDATED
	for _, g := range report.GetGates()[1:3] {
		g.Outcome, g.WaivedBy, g.WaivedReason, g.Hint = lifecyclev1.GateOutcome_GATE_OUTCOME_WAIVED, r.GetActor(), r.GetReason(), ""
	}
	return &lifecyclev1.WaiveResponse{Report: report}, nil
}

func (f *fake) Promote(_ context.Context, r *lifecyclev1.PromoteRequest) (*lifecyclev1.PromoteResponse, error) {
	return &lifecyclev1.PromoteResponse{Change: &lifecyclev1.ChampionChange{
		ModelName: r.GetModelName(), FromVersion: 4, ToVersion: 5, FromVersionStage: lifecyclev1.Stage_STAGE_ARCHIVED, Generation: 3, At: at("02 04:00:00"),
		AuditHash: "0123456789abcdef0123", AuditSeq: 41, Effects: []string{"version 4 becomes archived", "version 5 becomes Champion"},
	}}, nil
}

func (f *fake) CompareVersions(_ context.Context, r *lifecyclev1.CompareVersionsRequest) (*lifecyclev1.CompareVersionsResponse, error) {
	return &lifecyclev1.CompareVersionsResponse{
		Version: &lifecyclev1.ModelVersion{ModelName: "churn", Version: r.GetVersion(), Stage: lifecyclev1.Stage_STAGE_VALIDATED},
		Other:   &lifecyclev1.ModelVersion{ModelName: "churn", Version: 4, Stage: lifecyclev1.Stage_STAGE_CHAMPION},
		Differences: []*lifecyclev1.VersionDifference{
			{Field: "stage", Value: "validated", OtherValue: "champion"},
			{Field: "digest", Value: "sha256:608aaf3a9bdf5a1d9de1d86cf3ecce717b14c3063204c9ce2c35257b61e3e352", OtherValue: "sha256:257b61e3e35293efdf415db6805d1de1d86cf3ecce717b14c3063204c9ce2c35"},
			{Field: "run_id", Value: "450a481a93674af2a7b0d3ab70e6cfd9", OtherValue: "610d79934c9f4227aafc01d2d1f2b00e"},
			{Field: "trees", Value: "100", OtherValue: "100", Equal: true},
			{Field: "parameters.max_depth", Value: "12", OtherValue: "10"},
			{Field: "metrics.auc", Value: "0.8123456789012345", OtherValue: "0.8011223"},
			{Field: "features.region", OtherValue: "categorical"},
			{Field: "gates.auc_floor", Value: "pass: AUC 0.8123 (95 % interval 0.8054 to 0.8192) reaches the floor 0.75", OtherValue: "fail: AUC 0.7411"},
			{Field: "gates.parity", Value: "pass: 4006 values agree", OtherValue: "pass: 3810 values agree"},
		},
	}, nil
}

func (f *fake) ListVersions(_ context.Context, r *lifecyclev1.ListVersionsRequest) (*lifecyclev1.ListVersionsResponse, error) {
	if r.GetModelName() == "nobody" {
		return nil, refusal(codes.NotFound, lifecyclev1.ErrorReason_ERROR_REASON_MODEL_NOT_FOUND, "nobody: model not found")
	}
	return &lifecyclev1.ListVersionsResponse{}, nil
}

// Schedules and triggers.

func aSchedule(job string) *lifecyclev1.Schedule {
	return &lifecyclev1.Schedule{
		ModelName: "churn", Job: job, QuartzCronExpression: "0 0 3 ? * SUN", TimezoneId: "America/New_York", NextAt: at("08 08:00:00"),
		LastAt: at("01 07:00:00"), LastOutcome: "began run r-1", Misfire: "run_once", Description: "at 03:00:00, on Sunday",
	}
}

func (f *fake) ListSchedules(context.Context, *lifecyclev1.ListSchedulesRequest) (*lifecyclev1.ListSchedulesResponse, error) {
	second := aSchedule("batch_inference")
	second.Paused, second.PauseReason, second.NextAt = true, "ann: labels are late this week, wait for the warehouse team", nil
	return &lifecyclev1.ListSchedulesResponse{Schedules: []*lifecyclev1.Schedule{aSchedule("train"), second}}, nil
}

func (f *fake) PauseSchedule(_ context.Context, r *lifecyclev1.PauseScheduleRequest) (*lifecyclev1.PauseScheduleResponse, error) {
	s := aSchedule(r.GetJob())
	s.Paused, s.PauseReason, s.NextAt = true, r.GetActor()+": "+r.GetReason(), nil
	return &lifecyclev1.PauseScheduleResponse{Schedule: s}, nil
}

func (f *fake) ResumeSchedule(_ context.Context, r *lifecyclev1.ResumeScheduleRequest) (*lifecyclev1.ResumeScheduleResponse, error) {
	return &lifecyclev1.ResumeScheduleResponse{Schedule: aSchedule(r.GetJob())}, nil
}

func (f *fake) ListTriggers(context.Context, *lifecyclev1.ListTriggersRequest) (*lifecyclev1.ListTriggersResponse, error) {
	return &lifecyclev1.ListTriggersResponse{Triggers: []*lifecyclev1.TriggerPolicy{
		{ModelName: "churn", Kind: "manual", Enabled: true, Description: "whoever asks"},
		{
			ModelName: "churn", Kind: "drift", Enabled: true, Description: "2 of the latest 3 drift reports of the Champion, the latest among them, have a share of at least 0.3",
			LastFiredAt: at("01 05:00:00"), CooldownUntil: at("02 05:00:00"), FiredThisWeek: 1, MaxPerWeek: 3,
		},
		{ModelName: "churn", Kind: "new_data", Enabled: true, ProposeOnly: true, Description: "10000 rows more than the last training saw", MaxPerWeek: 3},
		{ModelName: "churn", Kind: "max_age", Description: "not configured"},
	}}, nil
}

func aDecision() *lifecyclev1.TriggerDecision {
	return &lifecyclev1.TriggerDecision{
		DecisionId: 12, ModelName: "churn", Kind: "drift", At: at("02 05:00:00"), Outcome: lifecyclev1.TriggerOutcome_TRIGGER_OUTCOME_FIRED,
		Reason: "2 of 3 batches drifted, the latest with a share of 0.41", Actor: "daemon", RunId: "r-1", Evidence: map[string]string{"share": "0.41", "agree": "2"},
	}
}

func (f *fake) FireTrigger(_ context.Context, r *lifecyclev1.FireTriggerRequest) (*lifecyclev1.FireTriggerResponse, error) {
	d := aDecision()
	d.Kind, d.Reason, d.Evidence = "manual", r.GetReason(), nil
	if r.GetReason() == "early" {
		d.Outcome, d.RunId = lifecyclev1.TriggerOutcome_TRIGGER_OUTCOME_COOLDOWN, ""
	}
	return &lifecyclev1.FireTriggerResponse{Decision: d}, nil
}

func (f *fake) EvaluateTriggers(context.Context, *lifecyclev1.EvaluateTriggersRequest) (*lifecyclev1.EvaluateTriggersResponse, error) {
	no := &lifecyclev1.TriggerDecision{Kind: "new_data", Outcome: lifecyclev1.TriggerOutcome_TRIGGER_OUTCOME_NOT_DUE, Reason: "3120 rows more, want 10000"}
	return &lifecyclev1.EvaluateTriggersResponse{Decisions: []*lifecyclev1.TriggerDecision{aDecision(), no}}, nil
}

func (f *fake) ListDecisions(context.Context, *lifecyclev1.ListDecisionsRequest) (*lifecyclev1.ListDecisionsResponse, error) {
	return &lifecyclev1.ListDecisionsResponse{Decisions: []*lifecyclev1.TriggerDecision{aDecision()}}, nil
}

// Runs.

func aRun(id string) *lifecyclev1.Run {
	node := func(model string, step lifecyclev1.RunStep, state lifecyclev1.RunState, message string, needs ...string) *lifecyclev1.RunNode {
		n := &lifecyclev1.RunNode{
			Id: model + "/" + map[lifecyclev1.RunStep]string{1: "features", 2: "train", 3: "validate", 4: "promote", 5: "score"}[step], ModelName: model,
			Step: step, State: state, Message: message, DependsOn: needs,
		}
		if state != lifecyclev1.RunState_RUN_STATE_SKIPPED && state != lifecyclev1.RunState_RUN_STATE_PENDING {
			n.StartedAt, n.FinishedAt = at("02 03:00:00"), at("02 03:00:12")
		}
		return n
	}
	const (
		features, train, validate, promote, score = lifecyclev1.RunStep_RUN_STEP_FEATURES, lifecyclev1.RunStep_RUN_STEP_TRAIN,
			lifecyclev1.RunStep_RUN_STEP_VALIDATE, lifecyclev1.RunStep_RUN_STEP_PROMOTE, lifecyclev1.RunStep_RUN_STEP_SCORE
		ok, failed, skipped, waiting = lifecyclev1.RunState_RUN_STATE_SUCCEEDED, lifecyclev1.RunState_RUN_STATE_FAILED,
			lifecyclev1.RunState_RUN_STATE_SKIPPED, lifecyclev1.RunState_RUN_STATE_AWAITING_APPROVAL
	)
	r := &lifecyclev1.Run{
		RunId: id, State: lifecyclev1.RunState_RUN_STATE_FAILED, Trigger: "schedule", Actor: "daemon", ComputeDate: "2026-11-02",
		StartedAt: at("02 03:00:00"), FinishedAt: at("02 03:02:00"), Error: "fraud/train failed: the trainer ended with code 10: column label has one value",
	}
	verdict, blocked := ok, "AUC 0.81 reaches the floor 0.75"
	if id == "r-blocked" {
		r.Error = "churn/validate failed: version 5 is blocked: AUC 0.7423 is below the floor 0.75; the Champion, version 4, stays"
		verdict, blocked = failed, "version 5 is blocked: AUC 0.7423 is below the floor 0.75; the Champion, version 4, stays"
	}
	r.Nodes = append(r.Nodes,
		node("churn", features, ok, "120,000 rows"), node("churn", train, ok, "version 5, AUC 0.81", "churn/features"),
		node("churn", validate, verdict, blocked, "churn/train"))
	if id == "r-blocked" {
		r.Nodes = append(r.Nodes, node("churn", promote, skipped, "blocked by validate; version 4 stays the Champion"), node("churn", score, ok, "9,000 rows by version 4"))
		return r
	}
	r.Nodes = append(r.Nodes, node("churn", promote, waiting, "policy propose: ctl promote churn --version 5 --reason R"), node("churn", score, ok, "9,000 rows"),
		node("fraud", train, failed, "the trainer ended with code 10: column label has one value", "churn/score"), node("fraud", score, skipped, "train failed; version 2 stays the Champion"),
		node("flights", score, ok, "30,000 rows"))
	return r
}

func (f *fake) StartRun(context.Context, *lifecyclev1.StartRunRequest) (*lifecyclev1.StartRunResponse, error) {
	return &lifecyclev1.StartRunResponse{Run: aRun("r-1")}, nil
}

func (f *fake) GetRun(_ context.Context, r *lifecyclev1.GetRunRequest) (*lifecyclev1.GetRunResponse, error) {
	return &lifecyclev1.GetRunResponse{Run: aRun(r.GetRunId())}, nil
}

func (f *fake) WatchRun(r *lifecyclev1.WatchRunRequest, s lifecyclev1.OrchestrationService_WatchRunServer) error {
	begun := aRun(r.GetRunId())
	begun.State, begun.FinishedAt, begun.Error = lifecyclev1.RunState_RUN_STATE_RUNNING, nil, ""
	for _, n := range begun.GetNodes()[1:] {
		n.State, n.StartedAt, n.FinishedAt, n.Message = lifecyclev1.RunState_RUN_STATE_PENDING, nil, nil, ""
	}
	if err := s.Send(&lifecyclev1.WatchRunResponse{Run: begun}); err != nil {
		return err
	}
	return s.Send(&lifecyclev1.WatchRunResponse{Run: aRun(r.GetRunId())})
}

func (f *fake) ListRuns(context.Context, *lifecyclev1.ListRunsRequest) (*lifecyclev1.ListRunsResponse, error) {
	return &lifecyclev1.ListRunsResponse{Runs: []*lifecyclev1.Run{aRun("0198c0de-7d1c-7000-8000-5a1b2c3d4e5f"), aRun("r-blocked")}}, nil
}

func (f *fake) CancelRun(_ context.Context, r *lifecyclev1.CancelRunRequest) (*lifecyclev1.CancelRunResponse, error) {
	run := aRun(r.GetRunId())
	run.State, run.Error = lifecyclev1.RunState_RUN_STATE_CANCELLED, "cancelled by "+r.GetActor()+": "+r.GetReason()
	return &lifecyclev1.CancelRunResponse{Run: run}, nil
}

// Monitoring and the outbox.

func (f *fake) CheckDrift(_ context.Context, r *monitoringv1.CheckDriftRequest) (*monitoringv1.CheckDriftResponse, error) {
	if r.GetModelName() == "nobody" {
		return nil, refusal(codes.NotFound, lifecyclev1.ErrorReason_ERROR_REASON_STATISTICS_NOT_FOUND, "nobody: no statistics: no batch succeeded yet")
	}
	return &monitoringv1.CheckDriftResponse{Report: &monitoringv1.DriftReport{
		ReportId: 3, ModelName: "churn", Version: 4, ScoreBatchId: batchID, Reference: "training of version 4", At: at("02 06:00:00"),
		Mode: monitoringv1.DriftMode_DRIFT_MODE_PSI, Verdict: monitoringv1.DriftVerdict_DRIFT_VERDICT_DRIFT, OverallDrift: true, DriftShare: 0.41,
		ShareThreshold: 0.3, PThreshold: 0.05, ReferenceRows: 120000, CurrentRows: 9000,
		Summary: "features with 41 % of the gain drift, 30 % are enough",
		Features: []*monitoringv1.FeatureDrift{
			{
				Feature: "monthly_charges", Psi: 0.4321, NoiseFloor: 0.0052, Statistic: 0.3, PValue: 1e-9, PValueCorrected: 1e-8, Importance: 0.41,
				NullRateReference: 0.001, NullRateCurrent: 0.08, Verdict: monitoringv1.DriftVerdict_DRIFT_VERDICT_DRIFT, Reason: "PSI 0.4321 is above 0.25",
			},
			{Feature: "contract", Categorical: true, Psi: 0.12, NoiseFloor: 0.002, PValueCorrected: 0.0313, Importance: 0.2, Verdict: monitoringv1.DriftVerdict_DRIFT_VERDICT_WARN, Reason: "PSI 0.12 is above 0.1"},
			{Feature: "tenure_months", Psi: 0.0011, NoiseFloor: 0.0052, PValueCorrected: 0.71, Importance: 0.39, Verdict: monitoringv1.DriftVerdict_DRIFT_VERDICT_NONE},
		},
	}}, nil
}

func (f *fake) ListDriftReports(context.Context, *monitoringv1.ListDriftReportsRequest) (*monitoringv1.ListDriftReportsResponse, error) {
	return &monitoringv1.ListDriftReportsResponse{Reports: []*monitoringv1.DriftReport{{
		ReportId: 3, ModelName: "churn", Version: 4, ScoreBatchId: batchID, Reference: "training of version 4", At: at("02 06:00:00"),
		Mode: monitoringv1.DriftMode_DRIFT_MODE_PSI, Verdict: monitoringv1.DriftVerdict_DRIFT_VERDICT_NONE, DriftShare: 0.05,
	}}}, nil
}

func (f *fake) GetStatistics(context.Context, *monitoringv1.GetStatisticsRequest) (*monitoringv1.GetStatisticsResponse, error) {
	return &monitoringv1.GetStatisticsResponse{ModelName: "churn", Rows: 9000, Features: []*monitoringv1.FeatureStatistics{
		{Feature: "tenure_months", Count: 9000, Nulls: 90, Mean: 31.25, StandardDeviation: 24.5, Min: 0, Max: 72},
		{Feature: "contract", Categorical: true, Count: 9000, Categories: []*monitoringv1.CategoryCount{
			{Value: "monthly", Count: 5000}, {Value: "one year", Count: 2000}, {Value: "two years", Count: 1500}, {Value: "other", Count: 500},
		}},
	}}, nil
}

func (f *fake) GetBatch(context.Context, *scoringv1.GetBatchRequest) (*scoringv1.GetBatchResponse, error) {
	return &scoringv1.GetBatchResponse{Batch: &scoringv1.Batch{
		ScoreBatchId: batchID, State: scoringv1.BatchState_BATCH_STATE_SUCCEEDED, Lineage: &scoringv1.Lineage{ModelName: "churn", ModelVersion: 4, Generation: 2},
		InputSource: "uat.features.churn_features", InputDate: "2026-11-02", Rows: 9000, StartedAt: at("02 06:00:00"), FinishedAt: at("02 06:00:01"),
		ScoreHistogram: []int64{5000, 4000}, ScoreMin: 0.1, ScoreMax: 0.9, ScoreMean: 0.4, PositiveRate: 0.3, DecisionThreshold: 0.5,
	}}, nil
}

func (f *fake) ListDeliveries(context.Context, *lifecyclev1.ListDeliveriesRequest) (*lifecyclev1.ListDeliveriesResponse, error) {
	return &lifecyclev1.ListDeliveriesResponse{Deliveries: []*lifecyclev1.Delivery{
		{
			DeliveryId: 18, Kind: "registry", State: lifecyclev1.DeliveryState_DELIVERY_STATE_DEAD, Attempts: 50, CreatedAt: at("02 03:00:00"),
			LastError: "mlflow: server not available: connection refused",
		},
		{DeliveryId: 17, Kind: "alert", State: lifecyclev1.DeliveryState_DELIVERY_STATE_PENDING, Attempts: 1, CreatedAt: at("02 02:00:00"), NextAttemptAt: at("02 02:05:00")},
	}}, nil
}

func (f *fake) ReplayDeliveries(_ context.Context, r *lifecyclev1.ReplayDeliveriesRequest) (*lifecyclev1.ReplayDeliveriesResponse, error) {
	return &lifecyclev1.ReplayDeliveriesResponse{Replayed: max(1, int64(len(r.GetDeliveryIds())))}, nil
}

func (f *fake) ReconcileRegistry(_ context.Context, r *lifecyclev1.ReconcileRegistryRequest) (*lifecyclev1.ReconcileRegistryResponse, error) {
	if r.GetModelName() == "fraud" {
		return &lifecyclev1.ReconcileRegistryResponse{ModelsChecked: 1}, nil
	}
	return &lifecyclev1.ReconcileRegistryResponse{ModelsChecked: 2, Divergences: []*lifecyclev1.Divergence{{
		ModelName: "churn", Subject: "Champion", Expected: "4", Found: "2", Action: "alerted",
		Message: "somebody moved the alias Champion of churn to version 2; the daemon still scores with version 4",
	}}}, nil
}
