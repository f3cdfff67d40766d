package batch

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/treeline-ml/treeline/client"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/console"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/render"
	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
	monitoringv1 "github.com/treeline-ml/treeline/gen/treeline/monitoring/v1"
	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
)

// statistics are those of the batch's input, nil where the daemon kept none.
func statistics(ctx context.Context, cl *client.Client, b *scoringv1.Batch) (*monitoringv1.GetStatisticsResponse, error) {
	answer, err := cl.Monitoring.GetStatistics(ctx, &monitoringv1.GetStatisticsRequest{
		ModelName: b.GetLineage().GetModelName(),
		Subject:   &monitoringv1.GetStatisticsRequest_ScoreBatchId{ScoreBatchId: b.GetScoreBatchId()},
	})
	switch d := client.Describe(err); {
	case err == nil:
		return answer, nil
	case d.Reason == lifecyclev1.ErrorReason_ERROR_REASON_STATISTICS_NOT_FOUND,
		d.Reason == lifecyclev1.ErrorReason_ERROR_REASON_SERVICE_NOT_CONFIGURED,
		d.Code == codes.Unimplemented: // an older daemon
		return nil, nil
	}
	return nil, err
}

// mostCategories is how many categories of a feature the table names.
const mostCategories = 3

func writeStatistics(c *console.Console, s *monitoringv1.GetStatisticsResponse) error {
	if len(s.GetFeatures()) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(c.Out, "\ninput"); err != nil {
		return err
	}
	g := render.NewGrid(c.Width, "FEATURE", ">NULLS", ">MEAN", ">SD", ">MIN", ">MAX", "~CATEGORIES")
	for _, f := range s.GetFeatures() {
		nulls := "-"
		if f.GetCount() > 0 && f.GetNulls() > 0 {
			nulls = strconv.FormatFloat(100*float64(f.GetNulls())/float64(f.GetCount()), 'f', 1, 64) + "%"
		}
		if f.GetCategorical() {
			g.Row(f.GetFeature(), nulls, "", "", "", "", categories(f))
		} else {
			g.Row(f.GetFeature(), nulls, small(f.GetMean()), small(f.GetStandardDeviation()), small(f.GetMin()), small(f.GetMax()))
		}
	}
	return g.Write(c.Out)
}

func small(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) }

// categories are the most frequent ones with their shares.
func categories(f *monitoringv1.FeatureStatistics) string {
	var out []string
	for i, k := range f.GetCategories() {
		if i == mostCategories {
			out = append(out, fmt.Sprintf("%d more", len(f.GetCategories())-i))
			break
		}
		out = append(out, fmt.Sprintf("%s %.0f%%", k.GetValue(), 100*float64(k.GetCount())/float64(max(1, f.GetCount()))))
	}
	return strings.Join(out, ", ")
}
