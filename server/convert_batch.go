package server

import (
	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
	"github.com/treeline-ml/treeline/scoring"
	"github.com/treeline-ml/treeline/warehouse"
)

func stateProto(s scoring.State) scoringv1.BatchState {
	switch s {
	case scoring.StateRunning:
		return scoringv1.BatchState_BATCH_STATE_RUNNING
	case scoring.StateSucceeded:
		return scoringv1.BatchState_BATCH_STATE_SUCCEEDED
	case scoring.StateFailed:
		return scoringv1.BatchState_BATCH_STATE_FAILED
	case scoring.StateCancelled:
		return scoringv1.BatchState_BATCH_STATE_CANCELLED
	case scoring.StateInterrupted:
		return scoringv1.BatchState_BATCH_STATE_INTERRUPTED
	default:
		return scoringv1.BatchState_BATCH_STATE_UNSPECIFIED
	}
}

func phaseProto(p scoring.Phase) scoringv1.BatchPhase {
	switch p {
	case scoring.PhaseResolve:
		return scoringv1.BatchPhase_BATCH_PHASE_RESOLVE
	case scoring.PhaseSnapshot:
		return scoringv1.BatchPhase_BATCH_PHASE_SNAPSHOT
	case scoring.PhaseScore:
		return scoringv1.BatchPhase_BATCH_PHASE_SCORE
	case scoring.PhaseCommit:
		return scoringv1.BatchPhase_BATCH_PHASE_COMMIT
	case scoring.PhaseVerify:
		return scoringv1.BatchPhase_BATCH_PHASE_VERIFY
	case scoring.PhaseDone:
		return scoringv1.BatchPhase_BATCH_PHASE_DONE
	default:
		return scoringv1.BatchPhase_BATCH_PHASE_UNSPECIFIED
	}
}

func eventProto(e scoring.Event) *scoringv1.BatchEvent {
	out := &scoringv1.BatchEvent{
		ScoreBatchId: string(e.ID),
		Phase:        phaseProto(e.Phase),
		RowsRead:     e.RowsRead,
		RowsScored:   e.RowsScored,
		RowsWritten:  e.RowsWritten,
		RowsTotal:    e.RowsTotal,
		At:           timeProto(e.At),
	}
	if e.Batch != nil {
		out.Batch = batchProto(*e.Batch)
	}
	return out
}

func batchProto(b scoring.Batch) *scoringv1.Batch {
	out := &scoringv1.Batch{
		ScoreBatchId:      string(b.ID),
		State:             stateProto(b.State),
		Phase:             phaseProto(b.Phase),
		Lineage:           lineageProto(b.Lineage),
		InputSource:       b.InputSource,
		InputVersion:      b.InputVersion,
		InputDate:         b.InputDate,
		ConfigDigest:      b.ConfigDigest,
		Rows:              b.Rows,
		RowsRefused:       b.RowsRefused,
		StartedAt:         timeProto(b.StartedAt),
		FinishedAt:        timeProto(b.FinishedAt),
		ScoredAt:          timeProto(b.ScoredAt),
		ScoreHistogram:    b.Profile.Histogram,
		ScoreMin:          b.Profile.Min,
		ScoreMax:          b.Profile.Max,
		ScoreMean:         b.Profile.Mean,
		PositiveRate:      b.Profile.PositiveRate,
		DecisionThreshold: b.Threshold,
		OutputDigest:      b.OutputDigest,
		Replaced:          b.Replaced,
		Error:             b.Error,
		Attempt:           int32(b.Attempt),
		PostProcessor:     b.PostProcessor,

		PostProcessorDigest: b.PostProcessorDigest,
	}
	switch {
	case b.Output.File != "":
		out.OutputFile = b.Output.File
	case b.Output.Table != (warehouse.TableName{}):
		out.OutputTable = b.Output.Table.String()
	}
	for _, t := range b.Timings {
		out.Timings = append(out.Timings, &scoringv1.StepTiming{Step: t.Step, Nanos: t.Duration.Nanoseconds()})
	}
	return out
}
