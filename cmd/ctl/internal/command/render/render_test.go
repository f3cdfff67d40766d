package render_test

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/render"
	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// grid writes a table of one width.
func grid(t *testing.T, width int, rows [][]any, header ...string) string {
	t.Helper()
	g := render.NewGrid(width, header...)
	for _, row := range rows {
		g.Row(row...)
	}
	var out bytes.Buffer
	if err := g.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestGridFitsWidth(t *testing.T) {
	ids := [][]any{
		{"0123456789ab", "succeeded", 1234567, "a\x1b[31mred\nline"},
		{"-", "failed", 7, "two files match the digests that were registered"},
	}
	for _, c := range []struct {
		name   string
		width  int
		rows   [][]any
		header []string
		want   string
	}{
		{
			"no limit", 0, ids,
			[]string{"ID", "STATE", ">ROWS", "~REASON"},
			"ID            STATE         ROWS  REASON\n" +
				"0123456789ab  succeeded  1234567  a�[31mred�line\n" +
				"-             failed           7  two files match the digests that were registered\n",
		},
		{
			"prose is broken into lines", 60, ids,
			[]string{"ID", "STATE", ">ROWS", "~REASON"},
			"ID            STATE         ROWS  REASON\n" +
				"0123456789ab  succeeded  1234567  a�[31mred�line\n" +
				"-             failed           7  two files match the\n" +
				"                                  digests that were\n" +
				"                                  registered\n",
		},
		{
			"one block a record rather than narrow prose", 40, ids,
			[]string{"ID", "STATE", ">ROWS", "~REASON"},
			"ID            STATE         ROWS\n" +
				"    REASON\n" +
				"0123456789ab  succeeded  1234567\n" +
				"    a�[31mred�line\n" +
				"-             failed           7\n" +
				"    two files match the digests that\n" +
				"    were registered\n",
		},
		{
			"a cell wider than the terminal stays whole", 10,
			[][]any{{"0123456789ab", "x"}, {"y"}},
			[]string{"ID", "STATE"},
			"ID\n    STATE\n0123456789ab\n    x\ny\n",
		},
		{
			"a long word in the last column stays whole, elsewhere it is broken", 60,
			[][]any{{"see " + strings.Repeat("w", 30), "x", "of " + strings.Repeat("d", 30)}},
			[]string{"~A", "B", "~C"},
			"A                            B  C\n" +
				"see                          x  of\n" +
				"wwwwwwwwwwwwwwwwwwwwwwwwwww     dddddddddddddddddddddddddddddd\n" +
				"www\n",
		},
		{
			"facts have no header and stay in two columns", 40,
			[][]any{{"digest", "one two three four five six seven eight"}},
			[]string{"", "~"},
			"digest  one two three four five six\n        seven eight\n",
		},
	} {
		if diff := cmp.Diff(c.want, grid(t, c.width, c.rows, c.header...)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestBrief(t *testing.T) {
	for in, want := range map[string]string{
		"short":                            "short",
		"One sentence.  And another one":   "One sentence.…",
		"one line\nand another":            "one line and another",
		"ratio 0.25 is more than the rest": "ratio 0.25 is more than…",
	} {
		if got := render.Brief(in, 24); got != want {
			t.Errorf("Brief(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestNumbersAndTimes(t *testing.T) {
	for in, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567", math.MaxInt64: "9,223,372,036,854,775,807"} {
		if got := render.Count(in); got != want {
			t.Errorf("Count(%d) = %q, want %q", in, got, want)
		}
	}
	if got := render.Digest("sha256:0123456789abcdef0123"); got != "0123456789ab" {
		t.Errorf("Digest = %q, want the first 12 digits", got)
	}
	if got := render.Time(timestamppb.New(time.Date(2024, 6, 1, 12, 0, 0, 0, time.FixedZone("", 7200)))); got != "2024-06-01 10:00:00Z" {
		t.Errorf("Time = %q", got)
	}
}

func TestMessageJSON(t *testing.T) {
	period := &lifecyclev1.ChampionPeriod{Version: 1 << 60, Since: timestamppb.New(time.Unix(1717236000, 5000)), Action: "<promote>"}
	request := &lifecyclev1.PromoteRequest{ModelName: "churn"}
	version := &lifecyclev1.ModelVersion{Stage: lifecyclev1.Stage_STAGE_CHAMPION, Tags: map[string]string{"b": "2", "a": "1"}}
	gate := &lifecyclev1.ValidationReport{Gates: []*lifecyclev1.GateResult{{Gate: "parity", Outcome: lifecyclev1.GateOutcome_GATE_OUTCOME_FAIL}}}
	batch := &scoringv1.Batch{ScoreHistogram: []int64{1, 2}, ScoreMin: math.Inf(-1)}
	for name, c := range map[string]struct {
		value any
		want  string
	}{
		"64-bit integers are numbers, times RFC 3339 or null": {
			render.Message(period),
			`{"version":1152921504606846976,"generation":0,"since":"2024-06-01T10:00:00.000005Z","until":null,"actor":"","reason":"","action":"<promote>"}`,
		},
		"an absent optional is null": {
			render.Message(request),
			`{"model_name":"churn","version":0,"reason":"","expected_generation":null,"actor":"","dry_run":false,"force":false}`,
		},
		"enums lose their prefix, maps are sorted": {
			render.Message(version),
			`{"model_name":"","version":0,"stage":"champion","model_digest":"","format":"","library":"","objective":"","features":0,"trees":0,"run_id":"","git_sha":"","trained_at":null,"registered_at":null,"registered_by":"","tags":{"a":"1","b":"2"},"training_id":"","metrics":{},"registry_version":""}`,
		},
		"lists of messages": {
			render.Message(gate),
			`{"version":null,"passed":false,"gates":[{"gate":"parity","outcome":"fail","summary":"","hint":"","evidence":{},"required":false,"waived_by":"","waived_reason":"","details":[]}],"validated_at":null,"evidence_digest":"","explanation":""}`,
		},
	} {
		var out bytes.Buffer
		if err := render.Document(&out, render.JSON, c.value); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got bytes.Buffer
		if err := json.Compact(&got, out.Bytes()); err != nil {
			t.Fatalf("%s: not json: %v", name, err)
		}
		if diff := cmp.Diff(c.want, got.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	var out bytes.Buffer
	if err := render.Document(&out, render.JSON, render.Message(batch)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"score_histogram": [1, 2],`, `"score_min": "-Inf"`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in\n%s", want, out.String())
		}
	}
}

func TestYAMLKeepsOrderAndTypes(t *testing.T) {
	var out bytes.Buffer
	doc := render.Messages([]*lifecyclev1.RegisteredModel{{Name: "no", Versions: 2}})
	if err := render.Document(&out, render.YAML, doc); err != nil {
		t.Fatal(err)
	}
	want := "- name: \"no\"\n  versions: 2\n  latest_version: 0\n  champion_version: 0\n  generation: 0\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("yaml (-want +got):\n%s", diff)
	}
}

func TestHistogram(t *testing.T) {
	counts := make([]int64, 100)
	counts[0], counts[1], counts[99] = 400, 400, 1
	var out bytes.Buffer
	if err := render.Histogram(&out, counts, 0, 1, 4, 8); err != nil {
		t.Fatal(err)
	}
	want := "" +
		"  0 - 0.25    ████████ 800\n" +
		"  0.25 - 0.5           0\n" +
		"  0.5 - 0.75           0\n" +
		"  0.75 - 1    ▏        1\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("histogram (-want +got):\n%s", diff)
	}
}

func TestRowsWrapAndShortenDigests(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "account_id", Type: arrow.PrimitiveTypes.Int64},
		{Name: "churn_probability", Type: arrow.PrimitiveTypes.Float64, Nullable: true},
		{Name: "scored_at", Type: &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}},
		{Name: "model_digest", Type: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}},
	}, nil)
	rec := stampedRows(t, mem, schema)
	defer rec.Release()

	var out bytes.Buffer
	if err := render.Rows(&out, 36, schema, []arrow.Record{rec}); err != nil {
		t.Fatal(err)
	}
	want := "" +
		"account_id  churn_probability\n" +
		"         1               0.25\n" +
		"         2               null\n" +
		"\n" +
		"scored_at             model_digest\n" +
		"2024-06-01T10:00:00Z  0123456789ab\n" +
		"2024-06-01T10:00:00Z  0123456789ab\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}

	out.Reset()
	if err := render.Document(&out, render.JSON, render.RowDocuments(schema, []arrow.Record{rec})); err != nil {
		t.Fatal(err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, out.Bytes()); err != nil {
		t.Fatal(err)
	}
	wantJSON := `[{"account_id":1,"churn_probability":0.25,"scored_at":"2024-06-01T10:00:00Z","model_digest":"sha256:0123456789abcdef"},` +
		`{"account_id":2,"churn_probability":null,"scored_at":"2024-06-01T10:00:00Z","model_digest":"sha256:0123456789abcdef"}]`
	if diff := cmp.Diff(wantJSON, compact.String()); diff != "" {
		t.Errorf("json (-want +got):\n%s", diff)
	}
}

func stampedRows(t *testing.T, mem memory.Allocator, schema *arrow.Schema) arrow.Record {
	t.Helper()
	b := array.NewRecordBuilder(mem, schema)
	defer b.Release()
	at := arrow.Timestamp(time.Date(2024, 6, 1, 10, 0, 0, 0, time.UTC).UnixMicro())
	b.Field(0).(*array.Int64Builder).AppendValues([]int64{1, 2}, nil)
	b.Field(1).(*array.Float64Builder).AppendValues([]float64{0.25, 0}, []bool{true, false})
	b.Field(2).(*array.TimestampBuilder).AppendValues([]arrow.Timestamp{at, at}, nil)
	for range 2 {
		if err := b.Field(3).(*array.BinaryDictionaryBuilder).AppendString("sha256:0123456789abcdef"); err != nil {
			t.Fatal(err)
		}
	}
	return b.NewRecord()
}

func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines, bar bytes.Buffer
		p, q := render.NewProgress(&lines, false, "rows"), render.NewProgress(&bar, true, "rows")
		for _, each := range []*render.Progress{p, q} {
			each.Total(2000)
			each.Set(500)
			each.Step("score")
		}
		time.Sleep(12 * time.Second)
		p.Stop()
		q.Stop()
		want := "score  25% 500 of 2,000 rows 0s\nscore  25% 500 of 2,000 rows 5s\nscore  25% 500 of 2,000 rows 10s\n"
		if diff := cmp.Diff(want, lines.String()); diff != "" {
			t.Errorf("lines (-want +got):\n%s", diff)
		}
		if got := strings.Count(bar.String(), "\r\x1b[Kscore [=======                       ]  25% 500 of 2,000 rows"); got < 100 {
			t.Errorf("the bar was drawn %d times in 12 s, want ten a second", got)
		}
		if !strings.HasSuffix(bar.String(), "\r\x1b[K") {
			t.Error("Stop left the bar on the terminal")
		}
	})
}
