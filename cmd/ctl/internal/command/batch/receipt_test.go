package batch

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/console"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/render"
	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
)

func TestRefusedRowsOnTheReceipt(t *testing.T) {
	for refused, line := range map[int64]string{0: "", 1234: "rows refused    1,234 (null scores: the training library would refuse these rows)\n"} {
		r := Receipt{Batch: &scoringv1.Batch{ScoreBatchId: id, Rows: 5000, RowsRefused: refused}}
		var out bytes.Buffer
		c := &console.Console{Out: &out, Width: 100}
		if err := r.Write(t.Context(), c, nil, render.Table); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); !strings.Contains(got, line) || strings.Contains(got, "refused") != (refused > 0) {
			t.Errorf("%d refused: want the line %q in\n%s", refused, line, got)
		}
		out.Reset()
		if err := r.Write(t.Context(), c, nil, render.JSON); err != nil {
			t.Fatal(err)
		}
		var doc struct {
			Batch struct {
				RowsRefused *int64 `json:"rows_refused"`
			} `json:"batch"`
		}
		if err := json.Unmarshal(out.Bytes(), &doc); err != nil {
			t.Fatal(err)
		}
		if got := doc.Batch.RowsRefused; got == nil || *got != refused {
			t.Errorf("%d refused: JSON is %s", refused, &out)
		}
	}
}
