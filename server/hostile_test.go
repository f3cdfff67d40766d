package server

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"google.golang.org/grpc/codes"

	"github.com/treeline-ml/treeline/client"
	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
	"github.com/treeline-ml/treeline/internal/arrowguard"
)

// endOfStream ends an Arrow stream.
var endOfStream = []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}

func arrowMessage(b []byte) *scoringv1.ScoreStreamRequest {
	return &scoringv1.ScoreStreamRequest{Message: &scoringv1.ScoreStreamRequest_ArrowMessage{ArrowMessage: b}}
}

// streamMessages is a ScoreStream of one record: the start, then its messages.
func streamMessages(t testing.TB, rec arrow.Record) []*scoringv1.ScoreStreamRequest {
	t.Helper()
	schema, messages := encoded(t, rec)
	out := []*scoringv1.ScoreStreamRequest{{Message: &scoringv1.ScoreStreamRequest_Start{
		Start: &scoringv1.ScoreStreamStart{Model: churnRef, ArrowSchema: schema},
	}}}
	for _, m := range messages {
		out = append(out, arrowMessage(m))
	}
	return out
}

func encoded(t testing.TB, rec arrow.Record) (schema []byte, messages [][]byte) {
	t.Helper()
	e, err := arrowguard.NewEncoder(rec.Schema(), memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	messages, err = e.Encode(rec)
	if err != nil {
		t.Fatal(err)
	}
	schema = e.SchemaMessage()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return schema, messages
}

// dictionaryRecord is a few golden rows whose contract column is a dictionary with int8 indices.
func dictionaryRecord(t testing.TB, g golden) (rec arrow.Record, indices []byte) {
	t.Helper()
	rows := g.features.NumRows()
	col := g.features.Schema().FieldIndices("contract")[0]
	b := array.NewDictionaryBuilder(memory.DefaultAllocator,
		&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}).(*array.BinaryDictionaryBuilder)
	defer b.Release()
	text := g.features.Column(col).(*array.String)
	for i := range int(rows) {
		// No nulls: their indices are not checked, and every byte of the column should be.
		if err := b.AppendString(text.Value(i)); err != nil {
			t.Fatal(err)
		}
	}
	dict := b.NewDictionaryArray()
	defer dict.Release()
	fields, cols := slices.Clone(g.features.Schema().Fields()), slices.Clone(g.features.Columns())
	fields[col], cols[col] = arrow.Field{Name: "contract", Type: dict.DataType(), Nullable: true}, dict
	rec = array.NewRecord(arrow.NewSchema(fields, nil), cols, rows)
	for _, v := range dict.Indices().(*array.Int8).Int8Values() {
		indices = append(indices, byte(v))
	}
	return rec, indices
}

// forge replaces the first occurrence of a number in a message's metadata.
func forge(t testing.TB, message []byte, from, to int64) []byte {
	t.Helper()
	meta := 8 + int(binary.LittleEndian.Uint32(message[4:]))
	at := bytes.Index(message[:meta], binary.LittleEndian.AppendUint64(nil, uint64(from)))
	if at < 0 {
		t.Fatalf("the metadata does not hold %d", from)
	}
	out := bytes.Clone(message)
	binary.LittleEndian.PutUint64(out[at:], uint64(to))
	return out
}

func bodyLength(message []byte) int64 {
	return int64(len(message)) - 8 - int64(binary.LittleEndian.Uint32(message[4:]))
}

// hostile is one attack: the schema and the messages behind it.
type hostile struct {
	schema   []byte
	messages [][]byte
}

func (h hostile) stream() []byte {
	return slices.Concat(append([][]byte{h.schema}, append(slices.Clone(h.messages), endOfStream)...)...)
}

func attacks(t testing.TB, g golden) map[string]hostile {
	t.Helper()
	schema, good := encoded(t, g.features)
	record := good[len(good)-1]
	rows := g.features.NumRows()
	dictRec, indices := dictionaryRecord(t, g)
	defer dictRec.Release()
	dictSchema, dictMessages := encoded(t, dictRec)
	outside := bytes.Clone(dictMessages[1])
	at := bytes.Index(outside, indices)
	if at < 0 {
		t.Fatal("the record does not hold the dictionary's indices")
	}
	outside[at] = 0x7f
	other := array.NewRecord(arrow.NewSchema([]arrow.Field{{Name: "x", Type: arrow.PrimitiveTypes.Float64}}, nil),
		[]arrow.Array{g.features.Column(1)}, rows)
	defer other.Release()
	_, foreign := encoded(t, other)
	out := map[string]hostile{
		"forged body length":    {schema, [][]byte{forge(t, record, bodyLength(record), 64<<30)}},
		"forged row count":      {schema, [][]byte{forge(t, record, rows, 1<<40)}},
		"negative row count":    {schema, [][]byte{forge(t, record, rows, -1)}},
		"truncated body":        {schema, [][]byte{record[:len(record)-64]}},
		"truncated metadata":    {schema, [][]byte{record[:40]}},
		"trailing bytes":        {schema, [][]byte{append(bytes.Clone(record), 1, 2, 3)}},
		"not framed":            {schema, [][]byte{[]byte("these are no arrow bytes at all, not even framed")}},
		"index of dictionary":   {dictSchema, [][]byte{dictMessages[0], outside}},
		"dictionary is missing": {dictSchema, dictMessages[1:]},
		"wrong schema":          {schema, foreign},
		"compressed body":       {schema, [][]byte{compressed(t, g.features)}},
	}
	paths, err := filepath.Glob("testdata/hostile/*.bin")
	if err != nil || len(paths) < 5 {
		t.Fatalf("%d hostile schemas, %v", len(paths), err)
	}
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		out[strings.TrimSuffix(filepath.Base(p), ".bin")] = hostile{b, good}
	}
	return out
}

// compressed is the record message of a stream with LZ4 bodies.
func compressed(t testing.TB, rec arrow.Record) []byte {
	t.Helper()
	var buf, head bytes.Buffer
	w := ipc.NewWriter(&buf, ipc.WithSchema(rec.Schema()), ipc.WithLZ4())
	if err := w.Write(rec); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := ipc.NewWriter(&head, ipc.WithSchema(rec.Schema())).Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()[head.Len()-len(endOfStream) : buf.Len()-len(endOfStream)]
}

func wantRefused(t *testing.T, err error) {
	t.Helper()
	if d := client.Describe(err); d.Code != codes.InvalidArgument && d.Code != codes.ResourceExhausted {
		t.Errorf("got %v %q, want InvalidArgument or ResourceExhausted", d.Code, d.Message)
	}
}

// TestHostileArrow sends each attack over both calls. After it the server answers a good request, and no attack made it
// allocate more than a few times what was sent.
func TestHostileArrow(t *testing.T) {
	s := newStack(t, Options{})
	s.promote(t, "v1")
	g := readGolden(t, "v1")
	few := g.features.NewSlice(0, 4)
	defer few.Release()
	good := func(t *testing.T) {
		t.Helper()
		out, err := s.client.ScoreRecords(t.Context(), memory.DefaultAllocator, churnRef, nil, few.Schema(), few)
		if err != nil {
			t.Fatalf("the server does not serve any more: %v", err)
		}
		wantBits(t, "pred", out.Records[0].Column(0), g.pred[:4])
		out.Release()
	}
	good(t)
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(2 << 30))
	const budget = 32 << 20
	for name, h := range attacks(t, g) {
		t.Run("Score/"+name, func(t *testing.T) {
			used := allocated(func() {
				_, err := s.client.Scoring.Score(t.Context(), &scoringv1.ScoreRequest{Model: churnRef, ArrowIpc: h.stream()})
				wantRefused(t, err)
			})
			if used > budget {
				t.Errorf("%d bytes were allocated for %d", used, len(h.stream()))
			}
			good(t)
		})
		t.Run("ScoreStream/"+name, func(t *testing.T) {
			used := allocated(func() {
				stream, err := s.client.Scoring.ScoreStream(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				_ = stream.Send(&scoringv1.ScoreStreamRequest{Message: &scoringv1.ScoreStreamRequest_Start{
					Start: &scoringv1.ScoreStreamStart{Model: churnRef, ArrowSchema: h.schema},
				}})
				for _, m := range h.messages {
					_ = stream.Send(arrowMessage(m)) // the server may have ended the stream already
				}
				_ = stream.CloseSend()
				wantRefused(t, recvAll(stream.Recv))
			})
			if used > budget {
				t.Errorf("%d bytes were allocated for %d", used, len(h.stream()))
			}
			good(t)
		})
	}
}

// allocated runs f and returns the bytes that the process allocated meanwhile.
func allocated(f func()) uint64 {
	var a, b runtime.MemStats
	runtime.ReadMemStats(&a)
	f()
	runtime.ReadMemStats(&b)
	return b.TotalAlloc - a.TotalAlloc
}

// TestBadRecordInMidStream: what came before the bad record was answered.
func TestBadRecordInMidStream(t *testing.T) {
	s := newStack(t, Options{})
	s.promote(t, "v1")
	g := readGolden(t, "v1")
	h := attacks(t, g)["wrong schema"]
	open := streamMessages(t, g.features)
	stream, err := s.client.Scoring.ScoreStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range append(slices.Clone(open), arrowMessage(h.messages[0])) {
		if err := stream.Send(m); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := stream.Recv(); err != nil || r.GetStarted() == nil {
		t.Fatalf("%v, %v", r, err)
	}
	if r, err := stream.Recv(); err != nil || r.GetBatch().GetRows() != g.features.NumRows() {
		t.Fatalf("%v, %v", r, err)
	}
	_, err = stream.Recv()
	wantRefused(t, err)
	if !strings.Contains(err.Error(), "after row 2000") {
		t.Errorf("%v does not place the fault", err)
	}
}
