package server

import (
	"context"
	"encoding/binary"
	"io"
	"testing"

	"github.com/apache/arrow/go/v17/arrow/memory"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/treeline-ml/treeline/client"
	"github.com/treeline-ml/treeline/forest"
	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
	"github.com/treeline-ml/treeline/loader"
	"github.com/treeline-ml/treeline/scoring"
)

// pinned resolves everything to one version.
type pinned struct{}

func (pinned) Resolve(_ context.Context, model string, _ int64) (scoring.Pinned, error) {
	return scoring.Pinned{Model: model, Version: 1, Digest: "sha256:00"}, nil
}

// scoringOnly is the scoring service over the churn model without transport, store and tables, so that a fuzzer gets
// far with it.
func scoringOnly(t testing.TB, mem memory.Allocator) *scoringService {
	t.Helper()
	m, err := loader.Open(churn + "v1/model.txt")
	if err != nil {
		t.Fatal(err)
	}
	models := scoring.NewModels(func(context.Context, string) (*forest.Model, error) { return m, nil }, 0)
	t.Cleanup(models.Wait)
	dr := newDrain()
	t.Cleanup(func() { dr.begin(); dr.end() })
	online := scoring.NewOnline(scoring.Deps{Resolver: pinned{}, Models: models, Alloc: mem})
	s := newScoringService(Deps{Online: online}, Options{}.withDefaults(), dr)
	s.alloc = mem
	return s
}

// wantAnswerOrRefusal: whatever the bytes, the caller is answered or told what is wrong with them. Internal is a bug.
func wantAnswerOrRefusal(t *testing.T, err error) {
	t.Helper()
	switch status.Code(statusError(t.Context(), "fuzz", err)) {
	case codes.OK, codes.InvalidArgument, codes.ResourceExhausted:
	default:
		t.Errorf("got %v", err)
	}
}

// FuzzScore sends arbitrary bytes as the Arrow stream of Score.
func FuzzScore(f *testing.F) {
	s := scoringOnly(f, memory.DefaultAllocator)
	few := readGolden(f, "v1").features.NewSlice(0, 3)
	f.Cleanup(few.Release)
	for _, h := range attacks(f, golden{features: few}) {
		f.Add(h.stream())
	}
	schema, messages := encoded(f, few)
	f.Add(hostile{schema, messages}.stream())
	f.Fuzz(func(t *testing.T, b []byte) {
		answer, err := s.Score(t.Context(), &scoringv1.ScoreRequest{Model: churnRef, ArrowIpc: b})
		wantAnswerOrRefusal(t, err)
		if err != nil {
			return
		}
		_, records, err := client.DecodeRecords(memory.DefaultAllocator, answer.GetArrowIpc())
		if err != nil {
			t.Fatalf("the answer: %v", err)
		}
		rows := int64(0)
		for _, r := range records {
			rows += r.NumRows()
			r.Release()
		}
		if rows != answer.GetRows() {
			t.Errorf("%d rows answered, %d announced", rows, answer.GetRows())
		}
	})
}

// scriptedStream is a ScoreStream whose requests are known beforehand.
type scriptedStream struct {
	grpc.ServerStream

	ctx     context.Context //nolint:containedctx // grpc asks a stream for its context
	in      []*scoringv1.ScoreStreamRequest
	started int
	rows    int64
	batches int
	t       *testing.T
}

func (s *scriptedStream) Context() context.Context { return s.ctx }

func (s *scriptedStream) Recv() (*scoringv1.ScoreStreamRequest, error) {
	if len(s.in) == 0 {
		return nil, io.EOF
	}
	r := s.in[0]
	s.in = s.in[1:]
	return r, nil
}

func (s *scriptedStream) Send(r *scoringv1.ScoreStreamResponse) error {
	if r.GetStarted() != nil {
		s.started++
		return nil
	}
	if b := r.GetBatch(); s.started != 1 || b.GetRowOffset() != s.rows || len(b.GetArrowMessage()) == 0 {
		s.t.Errorf("after %d starts and %d rows: offset %d, message of %d bytes", s.started, s.rows, b.GetRowOffset(), len(b.GetArrowMessage()))
	}
	s.batches++
	s.rows += r.GetBatch().GetRows()
	return nil
}

// FuzzScoreStream reads its bytes as a sequence of messages and sends it.
//
//	kind, length (2 bytes), content
//
// kind%4: 0 a start with the content as schema, 1 a start with the model's schema, 2 an Arrow message, 3 no content.
func FuzzScoreStream(f *testing.F) {
	s := scoringOnly(f, memory.DefaultAllocator)
	few := readGolden(f, "v1").features.NewSlice(0, 3)
	f.Cleanup(few.Release)
	schema, messages := encoded(f, few)
	add := func(kinds []byte, contents ...[]byte) {
		var b []byte
		for i, k := range kinds {
			b = append(b, k)
			b = binary.LittleEndian.AppendUint16(b, uint16(len(contents[i])))
			b = append(b, contents[i]...)
		}
		f.Add(b)
	}
	add([]byte{1, 2}, nil, messages[0])
	add([]byte{0, 2, 2}, schema, messages[0], messages[0])
	add([]byte{2}, messages[0])
	add([]byte{1, 1}, nil, nil)
	add([]byte{1, 3}, nil, nil)
	add([]byte{1, 2}, nil, schema)
	for _, h := range attacks(f, golden{features: few}) {
		kinds, contents := []byte{0}, [][]byte{h.schema}
		for _, m := range h.messages {
			kinds, contents = append(kinds, 2), append(contents, m)
		}
		add(kinds, contents...)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		stream := &scriptedStream{ctx: t.Context(), in: script(b, schema), t: t}
		wantAnswerOrRefusal(t, s.ScoreStream(stream))
	})
}

// script reads the messages of FuzzScoreStream; what is cut off at the end is as long as it is.
func script(b, schema []byte) []*scoringv1.ScoreStreamRequest {
	var out []*scoringv1.ScoreStreamRequest
	for len(b) >= 3 && len(out) < 64 {
		n := min(int(binary.LittleEndian.Uint16(b[1:])), len(b)-3)
		kind, content := b[0]%4, b[3:3+n]
		b = b[3+n:]
		switch kind {
		case 0, 1:
			if kind == 1 {
				content = schema
			}
			out = append(out, &scoringv1.ScoreStreamRequest{Message: &scoringv1.ScoreStreamRequest_Start{
				Start: &scoringv1.ScoreStreamStart{Model: churnRef, ArrowSchema: content},
			}})
		case 2:
			out = append(out, arrowMessage(content))
		default:
			out = append(out, &scoringv1.ScoreStreamRequest{})
		}
	}
	return out
}
