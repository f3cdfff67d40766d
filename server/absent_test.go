package server

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/treeline-ml/treeline/client"
	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
)

// TestWithoutTheServices asks a daemon for what it runs without: it says what to configure.
func TestWithoutTheServices(t *testing.T) {
	f := serveTest(t, Deps{}, Options{})
	calls := everyCall(t, f.client)
	for name, want := range map[string]string{
		"TriggerTraining": "training.python", "WatchTraining": "training.python", "ListTrainings": "training.python",
		"FireTrigger": "trainer_class", "ListDecisions": "trainer_class",
		"StartRun": "config.yml", "WatchRun": "config.yml",
		"ListSchedules": "schedules", "PauseSchedule": "schedules", "ResumeSchedule": "schedules",
		"ReconcileRegistry": "mlflow.tracking_uri", "ListDeliveries": "tells nobody", "ReplayDeliveries": "tells nobody",
		"CheckDrift": "statistics", "GetStatistics": "statistics",
	} {
		d := client.Describe(calls[name](t.Context()))
		if d.Code != codes.FailedPrecondition || d.Reason != lifecyclev1.ErrorReason_ERROR_REASON_SERVICE_NOT_CONFIGURED ||
			!strings.Contains(d.Message, want) {
			t.Errorf("%s: %+v", name, d)
		}
	}
	// What needs no service answers all the same.
	p, err := f.client.Schedules.PreviewSchedule(t.Context(), &lifecyclev1.PreviewScheduleRequest{
		QuartzCronExpression: "0 30 2 * * ?", TimezoneId: "America/New_York", Count: 2, After: stamp(t, "2026-03-07T12:00:00Z"),
	})
	if err != nil {
		t.Fatal(err)
	}
	// 02:30 on the day on which the clocks go forward comes at the first instant after the gap.
	if len(p.GetTimes()) != 2 || !p.GetTimes()[0].AsTime().Equal(stamp(t, "2026-03-08T07:00:00Z").AsTime()) ||
		!p.GetTimes()[1].AsTime().Equal(stamp(t, "2026-03-09T06:30:00Z").AsTime()) || p.GetDescription() == "" {
		t.Errorf("preview %v", p)
	}
	_, err = f.client.Schedules.PreviewSchedule(t.Context(), &lifecyclev1.PreviewScheduleRequest{QuartzCronExpression: "0 0 25 * * ?"})
	if d := client.Describe(err); d.Code != codes.InvalidArgument || d.Reason != lifecyclev1.ErrorReason_ERROR_REASON_SCHEDULE_INVALID ||
		!strings.Contains(d.Message, "25") {
		t.Errorf("%+v", d)
	}
	_, err = f.client.Schedules.PreviewSchedule(t.Context(), &lifecyclev1.PreviewScheduleRequest{QuartzCronExpression: "0 0 0 * * ?", TimezoneId: "Mars/Olympus"})
	if d := client.Describe(err); d.Reason != lifecyclev1.ErrorReason_ERROR_REASON_SCHEDULE_INVALID {
		t.Errorf("%+v", d)
	}
}
