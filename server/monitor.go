package server

import (
	"context"
	"strconv"

	monitoringv1 "github.com/treeline-ml/treeline/gen/treeline/monitoring/v1"
	"github.com/treeline-ml/treeline/monitor"
	"github.com/treeline-ml/treeline/store"
)

// monitoringService compares what is scored with what was trained on.
type monitoringService struct {
	monitoringv1.UnimplementedMonitoringServiceServer

	monitor Monitor
}

// CheckDrift compares a batch with its reference and keeps the report. Drift is an answer, not an error.
func (s *monitoringService) CheckDrift(
	ctx context.Context, r *monitoringv1.CheckDriftRequest,
) (*monitoringv1.CheckDriftResponse, error) {
	var c check
	c.model("model_name", r.GetModelName())
	if r.GetScoreBatchId() != "" {
		c.batchID("score_batch_id", r.GetScoreBatchId())
	}
	if r.GetReferenceBatchId() != "" {
		c.batchID("reference_batch_id", r.GetReferenceBatchId())
	}
	mode := c.driftMode("mode", r.GetMode())
	if err := c.err(); err != nil {
		return nil, err
	}
	report, err := s.monitor.Check(ctx, monitor.Request{
		Model: r.GetModelName(), BatchID: r.GetScoreBatchId(), ReferenceBatchID: r.GetReferenceBatchId(), Mode: mode,
	})
	if err != nil {
		return nil, err
	}
	return &monitoringv1.CheckDriftResponse{Report: driftProto(report)}, nil
}

// ListDriftReports lists stored reports, newest first.
func (s *monitoringService) ListDriftReports(
	ctx context.Context, r *monitoringv1.ListDriftReportsRequest,
) (*monitoringv1.ListDriftReportsResponse, error) {
	rows, next, err := list(r, nil, func(p page) ([]monitor.Report, string, error) {
		return s.monitor.Reports(ctx, store.DriftQuery{Model: r.GetModelName(), PageSize: p.size, PageToken: p.token})
	}, driftProto)
	if err != nil {
		return nil, err
	}
	return &monitoringv1.ListDriftReportsResponse{Reports: rows, NextPageToken: next}, nil
}

// GetStatistics returns the statistics of a batch's input, or of a version's training data.
func (s *monitoringService) GetStatistics(
	ctx context.Context, r *monitoringv1.GetStatisticsRequest,
) (*monitoringv1.GetStatisticsResponse, error) {
	var c check
	c.model("model_name", r.GetModelName())
	kind, subject, name := store.ProfileOfBatch, r.GetScoreBatchId(), "batch "+r.GetScoreBatchId()
	switch r.GetSubject().(type) {
	case *monitoringv1.GetStatisticsRequest_ScoreBatchId:
		c.batchID("score_batch_id", r.GetScoreBatchId())
	case *monitoringv1.GetStatisticsRequest_Version:
		if r.GetVersion() < 1 {
			c.failf("version", "is %d; versions start at 1", r.GetVersion())
		}
		kind, subject = store.ProfileOfTraining, strconv.FormatInt(r.GetVersion(), 10)
		name = "training of version " + subject
	default:
		c.failf("subject", "is missing; name a batch or a version")
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	of, p, err := s.monitor.Statistics(ctx, r.GetModelName(), kind, subject)
	if err != nil {
		return nil, err
	}
	return &monitoringv1.GetStatisticsResponse{
		ModelName: r.GetModelName(), Subject: name, Rows: p.Rows, At: timeProto(of.At),
		Features: each(p.Features, statisticsProto),
	}, nil
}

func (c *check) driftMode(field string, m monitoringv1.DriftMode) monitor.Mode {
	switch m {
	case monitoringv1.DriftMode_DRIFT_MODE_UNSPECIFIED:
		return ""
	case monitoringv1.DriftMode_DRIFT_MODE_PSI:
		return monitor.ModePSI
	case monitoringv1.DriftMode_DRIFT_MODE_P_VALUE:
		return monitor.ModePValue
	default:
		c.failf(field, "is %d; use DRIFT_MODE_PSI or DRIFT_MODE_P_VALUE, or leave it out", m)
		return ""
	}
}

func driftModeProto(m monitor.Mode) monitoringv1.DriftMode {
	switch m {
	case monitor.ModePSI:
		return monitoringv1.DriftMode_DRIFT_MODE_PSI
	case monitor.ModePValue:
		return monitoringv1.DriftMode_DRIFT_MODE_P_VALUE
	default:
		return monitoringv1.DriftMode_DRIFT_MODE_UNSPECIFIED
	}
}

func verdictProto(v monitor.Verdict) monitoringv1.DriftVerdict {
	switch v {
	case monitor.None:
		return monitoringv1.DriftVerdict_DRIFT_VERDICT_NONE
	case monitor.Warn:
		return monitoringv1.DriftVerdict_DRIFT_VERDICT_WARN
	case monitor.Drift:
		return monitoringv1.DriftVerdict_DRIFT_VERDICT_DRIFT
	case monitor.Inconclusive:
		return monitoringv1.DriftVerdict_DRIFT_VERDICT_INCONCLUSIVE
	default:
		return monitoringv1.DriftVerdict_DRIFT_VERDICT_UNSPECIFIED
	}
}

func driftProto(r monitor.Report) *monitoringv1.DriftReport {
	return &monitoringv1.DriftReport{
		ReportId:       r.ID,
		ModelName:      r.Model,
		Version:        r.Version,
		ScoreBatchId:   r.BatchID,
		Reference:      r.Reference,
		At:             timeProto(r.At),
		Mode:           driftModeProto(r.Mode),
		Verdict:        verdictProto(r.Verdict),
		OverallDrift:   r.OverallDrift,
		DriftShare:     r.Share,
		ShareThreshold: r.ShareThreshold,
		PThreshold:     r.PThreshold,
		ReferenceRows:  r.ReferenceRows,
		CurrentRows:    r.CurrentRows,
		Features:       each(r.Features, featureDriftProto),
		ScorePsi:       r.ScorePSI,
		Summary:        r.Summary,
	}
}

func featureDriftProto(f monitor.FeatureDrift) *monitoringv1.FeatureDrift {
	return &monitoringv1.FeatureDrift{
		Feature:           f.Feature,
		Categorical:       f.Categorical,
		Psi:               f.PSI,
		NoiseFloor:        f.NoiseFloor,
		Statistic:         f.Statistic,
		PValue:            f.PValue,
		PValueCorrected:   f.PValueCorrected,
		NullRateReference: f.NullRateRef,
		NullRateCurrent:   f.NullRateCur,
		UnseenRate:        f.UnseenRate,
		MeanReference:     f.MeanRef,
		MeanCurrent:       f.MeanCur,
		Importance:        f.Importance,
		Verdict:           verdictProto(f.Verdict),
		Reason:            f.Reason,
	}
}

func statisticsProto(f monitor.FeatureProfile) *monitoringv1.FeatureStatistics {
	return &monitoringv1.FeatureStatistics{
		Feature:           f.Name,
		Categorical:       f.Categorical,
		Count:             f.Count,
		Nulls:             f.Nulls,
		Mean:              f.Mean,
		StandardDeviation: f.SD,
		Min:               f.Min,
		Max:               f.Max,
		Edges:             f.Edges,
		Bins:              f.Bins,
		Categories: each(f.Categories, func(c monitor.CategoryCount) *monitoringv1.CategoryCount {
			return &monitoringv1.CategoryCount{Value: c.Value, Count: c.Count}
		}),
	}
}
