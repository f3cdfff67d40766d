package server

import (
	"context"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/treeline-ml/treeline/client"
	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
)

var churnRef = &scoringv1.ModelRef{Name: "churn"}

// wantBits compares scores with the library's own, bit for bit.
func wantBits(t *testing.T, what string, col arrow.Array, want []float64) {
	t.Helper()
	got := col.(*array.Float64).Float64Values()
	if len(got) != len(want) {
		t.Fatalf("%s: %d rows, want %d", what, len(got), len(want))
	}
	for i := range want {
		if math.Float64bits(got[i]) != math.Float64bits(want[i]) {
			t.Fatalf("%s: row %d is %v, LightGBM says %v", what, i, got[i], want[i])
		}
	}
}

func TestScoreGivesLightGBMsBits(t *testing.T) {
	s := newStack(t, Options{})
	s.promote(t, "v1")
	g := readGolden(t, "v1")
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	// Several record batches in one stream.
	half := g.features.NumRows() / 2
	a, b := g.features.NewSlice(0, half), g.features.NewSlice(half, g.features.NumRows())
	defer a.Release()
	defer b.Release()
	out, err := s.client.ScoreRecords(t.Context(), mem, churnRef, &scoringv1.ScoreOptions{Margin: true}, g.features.Schema(), a, b)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Release()
	if len(out.Records) != 2 || out.Rows != g.features.NumRows() || out.RequestID == "" {
		t.Fatalf("%d records, %d rows, request id %q", len(out.Records), out.Rows, out.RequestID)
	}
	for i, r := range out.Records {
		if r.ColumnName(0) != "raw" || r.ColumnName(1) != "pred" || r.NumCols() != 2 {
			t.Fatalf("columns %v", r.Schema())
		}
		from, to := int64(i)*half, min(int64(i)*half+half, g.features.NumRows())
		wantBits(t, "raw", r.Column(0), g.raw[from:to])
		wantBits(t, "pred", r.Column(1), g.pred[from:to])
	}
	l := out.Lineage
	if l.GetModelName() != "churn" || l.GetModelVersion() != 1 || l.GetGeneration() != 1 || l.GetRunId() != "run-v1" ||
		!strings.HasPrefix(l.GetModelDigest(), "sha256:") || l.GetFeatureSchemaHash() == "" || l.GetEngineBuild() == "" {
		t.Errorf("lineage %v", l)
	}
}

func TestScoreWithoutRows(t *testing.T) {
	s := newStack(t, Options{})
	s.promote(t, "v1")
	g := readGolden(t, "v1")
	none := g.features.NewSlice(0, 0)
	defer none.Release()
	for name, recs := range map[string][]arrow.Record{"no batch": nil, "an empty batch": {none}} {
		out, err := s.client.ScoreRecords(t.Context(), memory.DefaultAllocator, churnRef, nil, g.features.Schema(), recs...)
		if err != nil || out.Rows != 0 {
			t.Fatalf("%s: %v, %v", name, out, err)
		}
		out.Release()
	}
}

func TestScoreStreamAnswersInOrder(t *testing.T) {
	s := newStack(t, Options{})
	s.promote(t, "v1")
	g := readGolden(t, "v1")
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	stream, err := s.client.ScoreStream(t.Context(), mem, churnRef, nil, g.features.Schema())
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if stream.Lineage().GetModelVersion() != 1 || stream.RequestID() == "" {
		t.Errorf("started with %v, %q", stream.Lineage(), stream.RequestID())
	}
	sent := make(chan error, 1)
	go func() {
		sent <- func() error {
			for from, step := int64(0), int64(1); from < g.features.NumRows(); from, step = from+step, step*3 {
				slice := g.features.NewSlice(from, min(from+step, g.features.NumRows()))
				err := stream.Send(slice)
				slice.Release()
				if err != nil {
					return err
				}
			}
			return stream.CloseSend()
		}()
	}()
	next := int64(0)
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if r.RowOffset != next {
			t.Fatalf("offset %d, want %d", r.RowOffset, next)
		}
		wantBits(t, "pred", r.Record.Column(0), g.pred[next:next+r.Record.NumRows()])
		next += r.Record.NumRows()
		r.Record.Release()
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if next != g.features.NumRows() {
		t.Errorf("%d rows answered, want %d", next, g.features.NumRows())
	}
}

// TestManyRowsInFewBytesAreSliced sends columns of nothing but nulls: rows that cost the sender nothing.
func TestManyRowsInFewBytesAreSliced(t *testing.T) {
	s := scoringOnly(t, memory.DefaultAllocator)
	s.slice = 8 * 100
	const rows = 1050
	features := readGolden(t, "v1").features.Schema().Fields()
	fields, cols := make([]arrow.Field, len(features)), make([]arrow.Array, len(features))
	nulls := array.NewNull(rows)
	defer nulls.Release()
	for i, f := range features {
		fields[i], cols[i] = arrow.Field{Name: f.Name, Type: arrow.Null, Nullable: true}, nulls
	}
	rec := array.NewRecord(arrow.NewSchema(fields, nil), cols, rows)
	defer rec.Release()
	stream := &scriptedStream{ctx: t.Context(), t: t, in: streamMessages(t, rec)}
	if err := s.ScoreStream(stream); err != nil {
		t.Fatal(err)
	}
	// 10 slices of 100 rows and one of 50; the stream itself checks the offsets.
	if stream.rows != rows || stream.batches != 11 {
		t.Errorf("%d rows in %d pieces, want %d in 11", stream.rows, stream.batches, rows)
	}
}

// TestArrowMemoryIsGivenBack scores good and hostile streams with an allocator that counts.
func TestArrowMemoryIsGivenBack(t *testing.T) {
	g := readGolden(t, "v1")
	schema, messages := encoded(t, g.features)
	all := attacks(t, g)
	all["good"] = hostile{schema, messages}
	for name, h := range all {
		t.Run(name, func(t *testing.T) {
			mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
			defer mem.AssertSize(t, 0)
			s := scoringOnly(t, mem)
			_, err := s.Score(t.Context(), &scoringv1.ScoreRequest{Model: churnRef, ArrowIpc: h.stream()})
			if (err == nil) != (name == "good") {
				t.Errorf("Score: %v", err)
			}
			in := []*scoringv1.ScoreStreamRequest{{Message: &scoringv1.ScoreStreamRequest_Start{
				Start: &scoringv1.ScoreStreamStart{Model: churnRef, ArrowSchema: h.schema},
			}}}
			for _, m := range h.messages {
				in = append(in, arrowMessage(m))
			}
			err = s.ScoreStream(&scriptedStream{ctx: t.Context(), t: t, in: in})
			if (err == nil) != (name == "good") {
				t.Errorf("ScoreStream: %v", err)
			}
		})
	}
}

func TestScoreRefusals(t *testing.T) {
	s := newStack(t, Options{ScoreBytes: 1 << 20, StreamBytes: 4 << 20})
	s.promote(t, "v1")
	g := readGolden(t, "v1")
	few := array.NewRecord(arrow.NewSchema(g.features.Schema().Fields()[1:], nil), g.features.Columns()[1:], g.features.NumRows())
	defer few.Release()
	one := g.features.NewSlice(0, 1)
	defer one.Release()
	many := make([]arrow.Record, 8)
	for i := range many {
		many[i] = g.features
	}
	for _, tc := range []struct {
		name   string
		ref    *scoringv1.ModelRef
		recs   []arrow.Record
		code   codes.Code
		reason lifecyclev1.ErrorReason
	}{
		{"a column is missing", churnRef, []arrow.Record{few}, codes.InvalidArgument, lifecyclev1.ErrorReason_ERROR_REASON_SCHEMA_MISMATCH},
		{"unknown model", &scoringv1.ModelRef{Name: "nobody"}, []arrow.Record{one}, codes.NotFound, lifecyclev1.ErrorReason_ERROR_REASON_MODEL_NOT_FOUND},
		{"unknown version", &scoringv1.ModelRef{Name: "churn", Version: 9}, []arrow.Record{one}, codes.NotFound, lifecyclev1.ErrorReason_ERROR_REASON_VERSION_NOT_FOUND},
		{"over the budget of all calls", churnRef, many, codes.ResourceExhausted, lifecyclev1.ErrorReason_ERROR_REASON_OVERLOADED},
	} {
		_, err := s.client.ScoreRecords(t.Context(), memory.DefaultAllocator, tc.ref, nil, tc.recs[0].Schema(), tc.recs...)
		d := client.Describe(err)
		if d.Code != tc.code || d.Reason != tc.reason {
			t.Errorf("%s: %v %v %q", tc.name, d.Code, d.Reason, d.Message)
		}
		if d.Reason == lifecyclev1.ErrorReason_ERROR_REASON_OVERLOADED && d.RetryIn <= 0 {
			t.Errorf("%s: no retry delay", tc.name)
		}
		if d.Reason == lifecyclev1.ErrorReason_ERROR_REASON_SCHEMA_MISMATCH && !strings.Contains(d.Message, g.features.ColumnName(0)) {
			t.Errorf("%s: %q does not name %s", tc.name, d.Message, g.features.ColumnName(0))
		}
	}
	// The budget was given back.
	out, err := s.client.ScoreRecords(t.Context(), memory.DefaultAllocator, churnRef, nil, one.Schema(), one)
	if err != nil {
		t.Fatal(err)
	}
	out.Release()
}

func TestScoreStreamMessageOrder(t *testing.T) {
	s := newStack(t, Options{})
	s.promote(t, "v1")
	g := readGolden(t, "v1")
	open := streamMessages(t, g.features)
	for _, tc := range []struct {
		name     string
		messages []*scoringv1.ScoreStreamRequest
	}{
		{"nothing", nil},
		{"empty message", []*scoringv1.ScoreStreamRequest{{}}},
		{"record before start", open[1:]},
		{"second start", []*scoringv1.ScoreStreamRequest{open[0], open[0]}},
		{"empty message later", []*scoringv1.ScoreStreamRequest{open[0], {}}},
		{"schema in mid-stream", []*scoringv1.ScoreStreamRequest{open[0], arrowMessage(open[0].GetStart().GetArrowSchema())}},
	} {
		stream, err := s.client.Scoring.ScoreStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range tc.messages {
			_ = stream.Send(m) // the server may have ended the stream already
		}
		_ = stream.CloseSend()
		if err := recvAll(stream.Recv); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v, want InvalidArgument", tc.name, err)
		}
	}
}

func TestScoreStreamEndsWhenTheServerDrains(t *testing.T) {
	s := newStack(t, Options{})
	s.promote(t, "v1")
	g := readGolden(t, "v1")
	stream, err := s.client.ScoreStream(t.Context(), memory.DefaultAllocator, churnRef, nil, g.features.Schema())
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	stopNow(t, s.fixture) // an idle stream does not hold up the stop
	_, err = stream.Recv()
	if d := client.Describe(err); d.Code != codes.Unavailable || d.Reason != lifecyclev1.ErrorReason_ERROR_REASON_DRAINING {
		t.Errorf("got %v %v %q", d.Code, d.Reason, d.Message)
	}
}

// TestCancelInMidStream drops streams at every stage; goleak and the stop in the cleanup see what stays behind.
func TestCancelInMidStream(t *testing.T) {
	s := newStack(t, Options{})
	s.promote(t, "v1")
	g := readGolden(t, "v1")
	open := streamMessages(t, g.features)
	for stage := range 4 {
		ctx, cancel := context.WithCancel(t.Context())
		stream, err := s.client.Scoring.ScoreStream(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if stage > 0 {
			if err := stream.Send(open[0]); err != nil {
				t.Fatal(err)
			}
		}
		if stage > 1 {
			if _, err := stream.Recv(); err != nil {
				t.Fatal(err)
			}
		}
		sent := make(chan struct{})
		close(sent)
		if stage > 2 {
			// The sender is busy, and soon the server blocks, as one answer is read and no more.
			sent = make(chan struct{})
			go func() {
				defer close(sent)
				for stream.Send(open[1]) == nil {
				}
			}()
			if _, err := stream.Recv(); err != nil {
				t.Fatal(err)
			}
		}
		cancel()
		if err := recvAll(stream.Recv); status.Code(err) != codes.Canceled {
			t.Errorf("stage %d: %v", stage, err)
		}
		<-sent
	}
	stopNow(t, s.fixture)
}
