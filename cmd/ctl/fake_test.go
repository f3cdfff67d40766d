package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/treeline-ml/treeline/cmd/ctl/internal/command"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/console"
	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
	monitoringv1 "github.com/treeline-ml/treeline/gen/treeline/monitoring/v1"
	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
)

// fake is a daemon in this process that answers with what its tests want to see shown, and keeps the last request of each
// method.
type fake struct {
	lifecyclev1.UnimplementedRegistryServiceServer
	lifecyclev1.UnimplementedTrainingServiceServer
	lifecyclev1.UnimplementedValidationServiceServer
	lifecyclev1.UnimplementedPromotionServiceServer
	lifecyclev1.UnimplementedTriggerServiceServer
	lifecyclev1.UnimplementedScheduleServiceServer
	lifecyclev1.UnimplementedOrchestrationServiceServer
	lifecyclev1.UnimplementedOutboxServiceServer
	monitoringv1.UnimplementedMonitoringServiceServer
	scoringv1.UnimplementedBatchServiceServer

	addr string

	mu   sync.Mutex
	last map[string]proto.Message
}

// startFake serves a fake on a loopback port until the test ends.
func startFake(t *testing.T) *fake {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{addr: l.Addr().String(), last: map[string]proto.Message{}}
	s := grpc.NewServer(grpc.UnaryInterceptor(func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		f.keep(info.FullMethod, req)
		return handler(ctx, req)
	}))
	lifecyclev1.RegisterRegistryServiceServer(s, f)
	lifecyclev1.RegisterTrainingServiceServer(s, f)
	lifecyclev1.RegisterValidationServiceServer(s, f)
	lifecyclev1.RegisterPromotionServiceServer(s, f)
	lifecyclev1.RegisterTriggerServiceServer(s, f)
	lifecyclev1.RegisterScheduleServiceServer(s, f)
	lifecyclev1.RegisterOrchestrationServiceServer(s, f)
	lifecyclev1.RegisterOutboxServiceServer(s, f)
	monitoringv1.RegisterMonitoringServiceServer(s, f)
	scoringv1.RegisterBatchServiceServer(s, f)
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := s.Serve(l); err != nil {
			t.Errorf("serving: %v", err)
		}
	})
	t.Cleanup(func() {
		s.Stop()
		serving.Wait()
	})
	return f
}

func (f *fake) keep(method string, req any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last[method[strings.LastIndexByte(method, '/')+1:]] = req.(proto.Message)
}

// asked is the last request of a method.
func (f *fake) asked(method string) proto.Message {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last[method]
}

// screen is what a command line left on the two streams.
type screen struct {
	code      int
	out, errs string
}

// ctl runs a command line against the fake, on a terminal of 100 columns or, with tty false, in a pipe.
func (f *fake) ctl(t *testing.T, tty bool, args ...string) screen {
	t.Helper()
	var out, errs bytes.Buffer
	c := &console.Console{Out: &out, Err: &errs, Getenv: func(name string) string {
		return map[string]string{"SCORER_ADDR": f.addr, "SCORER_ADMIN_ADDR": f.addr, "SCORER_ACTOR": "tester"}[name]
	}}
	if tty {
		c.OutTTY, c.Width = true, 100
	}
	code := command.Execute(t.Context(), c, args)
	return screen{code: code, out: out.String(), errs: errs.String()}
}

// TestVerbs compares what each verb shows with testdata/verbs; -update rewrites the files for a reader to judge.
func TestVerbs(t *testing.T) {
	f := startFake(t)
	seen := map[string]bool{}
	for _, line := range []string{
		"train churn --date 2026-11-02 --reason features",
		"train fraud",
		"train churn --no-wait",
		"training list",
		"training list churn -n 1 -o json",
		"training show t-failed",
		"training logs t-1",
		"training cancel t-1 --reason enough",
		"training cancel t-1",
		"training show nobody",
		"validate churn",
		"validate churn --version 5 --details",
		"validate churn --show -o json",
		"validate churn --waive slices --reason agreed",
		"validate churn --waive all",
		"validate churn --reason agreed",
		"promote churn --force --version 5 --reason agreed",
		"model compare churn 5",
		"model compare churn 5 v4 --all",
		"model compare churn five",
		"schedule list",
		"schedule pause churn train --reason late",
		"schedule resume churn train",
		"schedule resume churn training",
		"trigger list churn",
		"trigger fire churn --reason pricing",
		"trigger fire churn --reason early",
		"trigger evaluate churn --dry-run",
		"trigger history churn --fired",
		"run --all",
		"run churn fraud --steps features,score --no-wait",
		"run churn --steps features,scores",
		"run",
		"run --all churn",
		"runs list",
		"runs show r-1",
		"runs show r-blocked",
		"runs watch r-blocked",
		"runs cancel r-1 --reason wrong",
		"drift churn",
		"drift churn --mode p_value --batch " + batchID + " --all -o yaml",
		"drift churn --mode chi2",
		"drift churn --history",
		"drift nobody",
		"outbox list --state dead",
		"outbox list --state lost",
		"outbox replay 17 18",
		"outbox replay --kind alert",
		"outbox replay",
		"outbox replay x",
		"registry check",
		"registry check fraud",
		"batch show " + batchID,
	} {
		name := strings.NewReplacer(" ", "_", "--", "", batchID, "ID").Replace(line) + ".txt"
		seen[name] = true
		t.Run(line, func(t *testing.T) {
			got := f.ctl(t, true, strings.Fields(line)...)
			for l := range strings.Lines(got.out) {
				if n := utf8.RuneCountInString(strings.TrimSuffix(l, "\n")); n > 100 && !strings.Contains(line, "-o ") {
					t.Errorf("a line of %d columns: %s", n, l)
				}
			}
			if got.code == 0 && got.out == "" && got.errs == "" {
				t.Error("it shows nothing")
			}
			if got.code != 0 && !strings.Contains(got.errs, "\nhint: ") {
				t.Errorf("an error without a hint: %s", got.errs)
			}
			golden(t, filepath.Join("testdata", "verbs", name), fmt.Sprintf("exit code %d\n-- stdout --\n%s-- stderr --\n%s", got.code, got.out, got.errs))
		})
	}
	files, err := os.ReadDir(filepath.Join("testdata", "verbs"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !seen[file.Name()] {
			t.Errorf("testdata/verbs/%s belongs to no command line: remove it", file.Name())
		}
	}
}

// TestReportsInAPipe: sentences are broken into lines in a file or a pipe, too; lists have one record a line there.
func TestReportsInAPipe(t *testing.T) {
	f := startFake(t)
	for _, line := range []string{
		"runs show r-1", "runs watch r-blocked", "validate churn", "model compare churn 5", "drift churn", "training show t-failed",
		"trigger fire churn --reason pricing", "trigger evaluate churn --dry-run", "promote churn --force --version 5 --reason agreed",
	} {
		piped, shown := f.ctl(t, false, strings.Fields(line)...), f.ctl(t, true, strings.Fields(line)...)
		if diff := cmp.Diff(shown.out, piped.out); diff != "" {
			t.Errorf("%s differs from that on a terminal of 100 columns (-terminal +pipe):\n%s", line, diff)
		}
	}
	if got := f.ctl(t, false, "schedule", "list"); strings.Count(got.out, "\n") != 3 {
		t.Errorf("a list of two is not three lines:\n%s", got.out)
	}
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestRequests looks at what command lines make of their flags.
func TestRequests(t *testing.T) {
	f := startFake(t)
	for _, tc := range []struct {
		line, method string
		want         proto.Message
	}{
		{
			"train churn --date 2026-11-02 --reason r --git-sha abc --key k --no-wait", "TriggerTraining",
			&lifecyclev1.TriggerTrainingRequest{ModelName: "churn", ComputeDate: "2026-11-02", Reason: "r", GitSha: "abc", IdempotencyKey: "k", Actor: "tester"},
		},
		{
			"training cancel t-1 --reason r --actor ann", "CancelTraining",
			&lifecyclev1.CancelTrainingRequest{TrainingId: "t-1", Reason: "r", Actor: "ann"},
		},
		{
			"training list churn -n 7", "ListTrainings", &lifecyclev1.ListTrainingsRequest{ModelName: "churn", PageSize: 6, PageToken: "next"},
		},
		{
			"validate churn --version v5 --waive slices,calibration --waive no_drift --reason r", "Waive",
			&lifecyclev1.WaiveRequest{ModelName: "churn", Version: 5, Gates: []string{"slices", "calibration", "no_drift"}, Reason: "r", Actor: "tester"},
		},
		{"validate churn --waive all --reason r", "Waive", &lifecyclev1.WaiveRequest{ModelName: "churn", Reason: "r", Actor: "tester"}},
		{"validate churn --show --version 3", "GetReport", &lifecyclev1.GetReportRequest{ModelName: "churn", Version: 3}},
		{"promote churn --force --reason r", "Promote", &lifecyclev1.PromoteRequest{ModelName: "churn", Reason: "r", Actor: "tester", Force: true}},
		{"model compare churn v5 4", "CompareVersions", &lifecyclev1.CompareVersionsRequest{ModelName: "churn", Version: 5, OtherVersion: 4}},
		{
			"run churn fraud --steps train,score --date 2026-11-02 --git-sha abc --reason r --no-wait", "StartRun",
			&lifecyclev1.StartRunRequest{
				ModelNames: []string{"churn", "fraud"}, ComputeDate: "2026-11-02", GitSha: "abc", Reason: "r", Actor: "tester",
				Steps: []lifecyclev1.RunStep{lifecyclev1.RunStep_RUN_STEP_TRAIN, lifecyclev1.RunStep_RUN_STEP_SCORE},
			},
		},
		{"run --all --no-wait", "StartRun", &lifecyclev1.StartRunRequest{All: true, Actor: "tester"}},
		{
			"trigger fire churn --reason r --date 2026-11-02 --ignore-cooldown", "FireTrigger",
			&lifecyclev1.FireTriggerRequest{ModelName: "churn", Reason: "r", ComputeDate: "2026-11-02", IgnoreCooldown: true, Actor: "tester"},
		},
		{
			"trigger evaluate churn --dry-run", "EvaluateTriggers",
			&lifecyclev1.EvaluateTriggersRequest{ModelName: "churn", DryRun: true, Actor: "tester"},
		},
		{
			"trigger history churn --fired -n 3", "ListDecisions",
			&lifecyclev1.ListDecisionsRequest{ModelName: "churn", FiredOnly: true, PageSize: 3},
		},
		{
			"drift churn --mode p_value --batch " + batchID + " --reference " + batchID, "CheckDrift",
			&monitoringv1.CheckDriftRequest{
				ModelName: "churn", Mode: monitoringv1.DriftMode_DRIFT_MODE_P_VALUE, ScoreBatchId: batchID, ReferenceBatchId: batchID,
			},
		},
		{
			"outbox list --kind alert --state pending -n 2", "ListDeliveries",
			&lifecyclev1.ListDeliveriesRequest{Kind: "alert", State: lifecyclev1.DeliveryState_DELIVERY_STATE_PENDING, PageSize: 2},
		},
		{
			"outbox replay 17 18", "ReplayDeliveries", &lifecyclev1.ReplayDeliveriesRequest{DeliveryIds: []int64{17, 18}, Actor: "tester"},
		},
		{
			"registry check churn --dry-run", "ReconcileRegistry",
			&lifecyclev1.ReconcileRegistryRequest{ModelName: "churn", DryRun: true, Actor: "tester"},
		},
		{
			"schedule pause churn batch_inference --reason r", "PauseSchedule",
			&lifecyclev1.PauseScheduleRequest{ModelName: "churn", Job: "batch_inference", Reason: "r", Actor: "tester"},
		},
	} {
		f.ctl(t, false, strings.Fields(tc.line)...)
		if got := f.asked(tc.method); !proto.Equal(got, tc.want) {
			t.Errorf("%s: asked %v, want %v", tc.line, got, tc.want)
		}
	}
}

func at(s string) *timestamppb.Timestamp {
	t, err := time.Parse("2006-01-02 15:04:05", "2026-11-"+s)
	if err != nil {
		panic(err)
	}
	return timestamppb.New(t)
}

// refusal is an error as the daemon words it.
func refusal(code codes.Code, reason lifecyclev1.ErrorReason, message string) error {
	s, err := status.New(code, message).WithDetails(&errdetails.ErrorInfo{Domain: "treeline", Reason: reason.String()})
	if err != nil {
		return err
	}
	return s.Err()
}
