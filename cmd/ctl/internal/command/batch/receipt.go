package batch

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/treeline-ml/treeline/client"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/console"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/exit"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/render"
	monitoringv1 "github.com/treeline-ml/treeline/gen/treeline/monitoring/v1"
	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
)

// MostRows is the largest number of rows that the daemon shows of a batch.
const MostRows = 1000

// CheckRows finds a --rows out of range.
func CheckRows(n int) error {
	if n < 0 || n > MostRows {
		return exit.Usage(fmt.Sprintf("give a number from 0 to %d", MostRows), "--rows %d", n)
	}
	return nil
}

// Receipt is what is shown of one batch: its ledger row and, when asked for, its first rows and its histogram.
type Receipt struct {
	Batch *scoringv1.Batch
	Rows  int  // how many rows to show
	Plot  bool // show the histogram of the scores and the statistics of the input
}

// document is the JSON of a receipt. rows is empty and statistics null unless asked for.
type document struct {
	Batch      json.Marshaler   `json:"batch"`
	Rows       []json.Marshaler `json:"rows"`
	Statistics json.Marshaler   `json:"statistics"`
}

// Write shows the receipt on standard output. It asks the daemon for the rows.
func (r Receipt) Write(ctx context.Context, c *console.Console, cl *client.Client, format render.Format) error {
	var schema *arrow.Schema
	var records []arrow.Record
	if r.Rows > 0 && r.Batch.GetState() == scoringv1.BatchState_BATCH_STATE_SUCCEEDED {
		answer, err := cl.Batches.GetBatchRows(ctx, &scoringv1.GetBatchRowsRequest{
			ScoreBatchId: r.Batch.GetScoreBatchId(), Limit: int32(r.Rows),
		})
		if err != nil {
			return err
		}
		schema, records, err = client.DecodeRecords(memory.DefaultAllocator, answer.GetArrowIpc())
		if err != nil {
			return err
		}
		defer func() {
			for _, rec := range records {
				rec.Release()
			}
		}()
	}
	var input *monitoringv1.GetStatisticsResponse
	if r.Plot {
		var err error
		if input, err = statistics(ctx, cl, r.Batch); err != nil {
			return err
		}
	}
	if format != render.Table {
		doc := document{Batch: render.Message(r.Batch), Rows: []json.Marshaler{}}
		if schema != nil {
			doc.Rows = render.RowDocuments(schema, records)
		}
		if input != nil {
			doc.Statistics = render.Message(input)
		}
		return render.Document(c.Out, format, doc)
	}
	if err := facts(c.Width, r.Batch).Write(c.Out); err != nil {
		return err
	}
	if r.Plot {
		if err := plot(c.Out, r.Batch); err != nil {
			return err
		}
		if err := writeStatistics(c, input); err != nil {
			return err
		}
	}
	if schema == nil {
		return nil
	}
	if _, err := fmt.Fprintln(c.Out); err != nil {
		return err
	}
	return render.Rows(c.Out, c.Width, schema, records)
}

func facts(width int, b *scoringv1.Batch) *render.Grid {
	l := b.GetLineage()
	g := render.NewGrid(width, "", "~")
	g.Row("score_batch_id", b.GetScoreBatchId())
	g.Row("state", state(b))
	g.Row("model", fmt.Sprintf("%s version %d, generation %d", l.GetModelName(), l.GetModelVersion(), l.GetGeneration()))
	g.Row("digest", l.GetModelDigest())
	g.Row("run_id", render.OrDash(l.GetRunId()))
	g.Row("input", input(b))
	g.Row("input version", b.GetInputVersion())
	g.Row("output", cmp.Or(b.GetOutputFile(), b.GetOutputTable()))
	g.Row("rows", render.Count(b.GetRows()))
	if b.GetRowsRefused() > 0 {
		g.Row("rows refused", render.Count(b.GetRowsRefused())+" (null scores: the training library would refuse these rows)")
	}
	if b.GetPostProcessor() != "" {
		g.Row("post-processed", "by "+b.GetPostProcessor()+", source "+render.OrDash(b.GetPostProcessorDigest()))
	}
	if b.GetFinishedAt() != nil {
		g.Row("started", fmt.Sprintf("%s, took %s", render.Time(b.GetStartedAt()),
			render.Duration(b.GetFinishedAt().AsTime().Sub(b.GetStartedAt().AsTime()))))
	} else {
		g.Row("started", render.Time(b.GetStartedAt()))
	}
	if b.GetScoredAt() != nil {
		g.Row("scored_at", render.Time(b.GetScoredAt()))
	}
	for i, t := range b.GetTimings() {
		label := ""
		if i == 0 {
			label = "timings"
		}
		g.Row(label, fmt.Sprintf("%-10s %s", t.GetStep(), render.Duration(time.Duration(t.GetNanos()))))
	}
	if isBinary(b) {
		g.Row("positive rate", fmt.Sprintf("%.4f at threshold %s", b.GetPositiveRate(), short(b.GetDecisionThreshold())))
	}
	if b.GetRows() > 0 && b.GetState() == scoringv1.BatchState_BATCH_STATE_SUCCEEDED {
		g.Row("scores", fmt.Sprintf("min %s, mean %s, max %s", short(b.GetScoreMin()), short(b.GetScoreMean()), short(b.GetScoreMax())))
	}
	g.Row("output digest", render.OrDash(b.GetOutputDigest()))
	g.Row("replaced", replaced(b))
	if b.GetError() != "" {
		g.Row("error", b.GetError())
	}
	return g
}

func state(b *scoringv1.Batch) string {
	s := render.Enum(b.GetState())
	if b.GetState() == scoringv1.BatchState_BATCH_STATE_RUNNING {
		s += ", " + render.Enum(b.GetPhase())
	}
	if b.GetAttempt() > 1 {
		s += fmt.Sprintf(" (attempt %d)", b.GetAttempt())
	}
	return s
}

func input(b *scoringv1.Batch) string {
	if b.GetInputDate() != "" {
		return b.GetInputSource() + " of " + b.GetInputDate()
	}
	return b.GetInputSource()
}

func replaced(b *scoringv1.Batch) string {
	if b.GetReplaced() {
		return "yes: rows of an earlier run of this batch were replaced"
	}
	return "no"
}

func short(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }
