package server

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
)

// wantAnswerOrRefusal: whatever the bytes, the caller is answered or told what is wrong with them. Internal is a bug.
func wantAnswerOrRefusal(t *testing.T, err error) {
	t.Helper()
	switch status.Code(err) {
	case codes.OK, codes.InvalidArgument, codes.ResourceExhausted:
	default:
		t.Errorf("got %v", err)
	}
}

// FuzzScore sends arbitrary bytes as the Arrow stream of Score.
func FuzzScore(f *testing.F) {
	s := newStack(f, Options{})
	s.promote(f, "v1")
	g := readGolden(f, "v1")
	few := g.features.NewSlice(0, 3)
	f.Cleanup(few.Release)
	small := golden{features: few}
	for _, h := range attacks(f, small) {
		f.Add(h.stream())
	}
	schema, messages := encoded(f, few)
	f.Add(hostile{schema, messages}.stream())
	f.Fuzz(func(t *testing.T, b []byte) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := s.client.Scoring.Score(ctx, &scoringv1.ScoreRequest{Model: churnRef, ArrowIpc: b})
		if len(b) == 0 && status.Code(err) != codes.InvalidArgument {
			t.Errorf("empty bytes: %v", err)
		}
		wantAnswerOrRefusal(t, err)
	})
}

// FuzzScoreStream reads its bytes as a sequence of messages and sends it.
//
//	kind, length (2 bytes), content
//
// kind%4: 0 a start with the content as schema, 1 a start with the model's schema, 2 an Arrow message, 3 no content.
func FuzzScoreStream(f *testing.F) {
	s := newStack(f, Options{})
	s.promote(f, "v1")
	g := readGolden(f, "v1")
	few := g.features.NewSlice(0, 3)
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
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		stream, err := s.client.Scoring.ScoreStream(ctx)
		if err != nil {
			t.Fatal(err)
		}
		received := make(chan error, 1)
		go func() { received <- recvAll(stream.Recv) }()
		for _, m := range script(b, schema) {
			if stream.Send(m) != nil {
				break // the server has ended the stream
			}
		}
		_ = stream.CloseSend()
		wantAnswerOrRefusal(t, <-received)
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
