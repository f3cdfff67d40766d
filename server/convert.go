package server

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
	"github.com/treeline-ml/treeline/lifecycle/audit"
	"github.com/treeline-ml/treeline/lifecycle/gate"
	"github.com/treeline-ml/treeline/lifecycle/promotion"
	"github.com/treeline-ml/treeline/lifecycle/stage"
	"github.com/treeline-ml/treeline/lifecycle/version"
	"github.com/treeline-ml/treeline/scoring"
)

// timeProto leaves the zero time unset.
func timeProto(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func lineageProto(l scoring.Lineage) *scoringv1.Lineage {
	return &scoringv1.Lineage{
		ModelName:         l.Model,
		ModelVersion:      l.Version,
		RunId:             l.RunID,
		ModelDigest:       l.Digest,
		Generation:        l.Generation,
		GitSha:            l.GitSHA,
		TrainedAt:         timeText(l.TrainedAt),
		FeatureSchemaHash: l.FeatureSchemaHash,
		EngineBuild:       l.EngineBuild,
	}
}

// timeText is RFC 3339 in UTC, empty when unknown.
func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func stageProto(s stage.Stage) lifecyclev1.Stage {
	switch s {
	case stage.Created:
		return lifecyclev1.Stage_STAGE_CREATED
	case stage.Trained:
		return lifecyclev1.Stage_STAGE_TRAINED
	case stage.Validated:
		return lifecyclev1.Stage_STAGE_VALIDATED
	case stage.Champion:
		return lifecyclev1.Stage_STAGE_CHAMPION
	case stage.Archived:
		return lifecyclev1.Stage_STAGE_ARCHIVED
	case stage.Rejected:
		return lifecyclev1.Stage_STAGE_REJECTED
	case stage.Failed:
		return lifecyclev1.Stage_STAGE_FAILED
	case stage.Quarantined:
		return lifecyclev1.Stage_STAGE_QUARANTINED
	case stage.Retired:
		return lifecyclev1.Stage_STAGE_RETIRED
	default:
		return lifecyclev1.Stage_STAGE_UNSPECIFIED
	}
}

func versionProto(v version.Version) *lifecyclev1.ModelVersion {
	return &lifecyclev1.ModelVersion{
		ModelName:    v.Model,
		Version:      v.Version,
		Stage:        stageProto(v.Stage),
		ModelDigest:  v.Digest,
		Format:       v.Format,
		Library:      v.Library,
		Objective:    v.Objective,
		Features:     int32(v.Features),
		Trees:        int32(v.Trees),
		RunId:        v.RunID,
		GitSha:       v.GitSHA,
		TrainedAt:    timeProto(v.TrainedAt),
		RegisteredAt: timeProto(v.RegisteredAt),
		RegisteredBy: v.RegisteredBy,
		Tags:         v.Tags,

		TrainingId:      v.TrainingID,
		Metrics:         v.Metrics,
		RegistryVersion: v.RegistryVersion,
	}
}

func outcomeProto(o gate.Outcome) lifecyclev1.GateOutcome {
	switch o {
	case gate.Pass:
		return lifecyclev1.GateOutcome_GATE_OUTCOME_PASS
	case gate.Fail:
		return lifecyclev1.GateOutcome_GATE_OUTCOME_FAIL
	case gate.Inconclusive:
		return lifecyclev1.GateOutcome_GATE_OUTCOME_INCONCLUSIVE
	case gate.Waived:
		return lifecyclev1.GateOutcome_GATE_OUTCOME_WAIVED
	default:
		return lifecyclev1.GateOutcome_GATE_OUTCOME_UNSPECIFIED
	}
}

func reportProto(r gate.Report) *lifecyclev1.ValidationReport {
	return &lifecyclev1.ValidationReport{
		Version:        versionProto(r.Version),
		Passed:         r.Passed(),
		Gates:          each(r.Gates, gateProto),
		ValidatedAt:    timeProto(r.ValidatedAt),
		EvidenceDigest: r.EvidenceDigest,
		Explanation:    r.Explanation,
	}
}

func gateProto(g gate.Result) *lifecyclev1.GateResult {
	return &lifecyclev1.GateResult{
		Gate: g.Gate, Outcome: outcomeProto(g.Outcome), Summary: g.Summary, Hint: g.Hint, Evidence: g.Evidence,
		Required: g.Required, WaivedBy: g.WaivedBy, WaivedReason: g.WaivedReason, Details: each(g.Details, detailProto),
	}
}

func detailProto(d gate.Detail) *lifecyclev1.GateDetail {
	return &lifecyclev1.GateDetail{Name: d.Name, Outcome: outcomeProto(d.Outcome), Summary: d.Summary, Figures: d.Figures}
}

func changeProto(c promotion.Change) *lifecyclev1.ChampionChange {
	return &lifecyclev1.ChampionChange{
		ModelName:        c.Model,
		FromVersion:      c.FromVersion,
		ToVersion:        c.ToVersion,
		FromVersionStage: stageProto(c.FromVersionStage),
		Generation:       c.Generation,
		At:               timeProto(c.At),
		AuditHash:        c.AuditHash,
		AuditSeq:         c.AuditSeq,
		Effects:          c.Effects,
		DryRun:           c.DryRun,
	}
}

func periodProto(p promotion.Period) *lifecyclev1.ChampionPeriod {
	return &lifecyclev1.ChampionPeriod{
		Version:    p.Version,
		Generation: p.Generation,
		Since:      timeProto(p.Since),
		Until:      timeProto(p.Until),
		Actor:      p.Actor,
		Reason:     p.Reason,
		Action:     p.Action,
	}
}

func entryProto(e audit.Entry) *lifecyclev1.AuditEntry {
	return &lifecyclev1.AuditEntry{
		Seq:            e.Seq,
		At:             timeProto(e.At),
		Actor:          e.Actor,
		Action:         e.Action,
		ModelName:      e.Model,
		Version:        e.Version,
		FromStage:      e.FromStage,
		ToStage:        e.ToStage,
		Generation:     e.Generation,
		Reason:         e.Reason,
		EvidenceDigest: e.EvidenceDigest,
		RequestId:      e.RequestID,
		PrevHash:       e.PrevHash,
		Hash:           e.Hash,
		AuthMethod:     e.AuthMethod,
	}
}
