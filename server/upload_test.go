package server

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/treeline-ml/treeline/client"
	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
	"github.com/treeline-ml/treeline/scoring"
	"github.com/treeline-ml/treeline/warehouse"
)

// reader is a batch service that reads what was uploaded and refuses to run it.
type reader struct {
	refusals

	t   *testing.T
	got chan string // name, tab, content
}

func (r reader) Start(_ context.Context, req scoring.Request) (*scoring.Watcher, error) {
	defer req.Release()
	body, err := os.ReadFile(req.InputFiles)
	if err != nil {
		r.t.Error(err)
	}
	r.got <- req.InputName + "\t" + filepath.Ext(req.InputFiles) + "\t" + string(body)
	return nil, fmt.Errorf("%s: column x: %w", req.InputFiles, warehouse.ErrColumn)
}

func uploadServer(t *testing.T, limit int64) (*fixture, reader, string) {
	t.Helper()
	dir := t.TempDir()
	r := reader{t: t, got: make(chan string, 1)}
	return serveTest(t, Deps{Batches: r}, Options{UploadDir: dir, UploadBytes: limit}), r, dir
}

func TestUploadHandsOverTheFileAndRemovesIt(t *testing.T) {
	f, r, dir := uploadServer(t, 0)
	body := "a,b\n" + strings.Repeat("1,2\n", 300_000)
	path := filepath.Join(t.TempDir(), "Rows [1]*.CSV")
	if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	var sent int64
	err := drainEvents(f.client.UploadBatch(t.Context(), &scoringv1.UploadBatchStart{Model: &scoringv1.ModelRef{Name: "churn"}},
		path, func(s, _ int64) { sent = s }))
	d := client.Describe(err)
	if d.Code != codes.InvalidArgument {
		t.Fatalf("got %v", err)
	}
	if strings.Contains(d.Message, dir) || !strings.Contains(d.Message, "Rows [1]*.CSV: column x") {
		t.Errorf("the message speaks of the daemon's copy: %q", d.Message)
	}
	if got := <-r.got; got != "Rows [1]*.CSV\t.csv\t"+body {
		t.Errorf("the batch got %.60q...", got)
	}
	if sent != int64(len(body)) {
		t.Errorf("progress ended at %d, want %d", sent, len(body))
	}
	if left := files(t, dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func uploadStart(name string) *scoringv1.UploadBatchRequest {
	return &scoringv1.UploadBatchRequest{Message: &scoringv1.UploadBatchRequest_Start{Start: &scoringv1.UploadBatchStart{
		Model: &scoringv1.ModelRef{Name: "churn"}, FileName: name,
	}}}
}

func uploadChunk(s string) *scoringv1.UploadBatchRequest {
	return &scoringv1.UploadBatchRequest{Message: &scoringv1.UploadBatchRequest_Chunk{Chunk: []byte(s)}}
}

func TestUploadRefusesAndLeavesNothing(t *testing.T) {
	f, r, dir := uploadServer(t, 100)
	for _, tc := range []struct {
		name     string
		messages []*scoringv1.UploadBatchRequest
		code     codes.Code
	}{
		{"nothing", nil, codes.InvalidArgument},
		{"chunk first", []*scoringv1.UploadBatchRequest{uploadChunk("x")}, codes.InvalidArgument},
		{"second start", []*scoringv1.UploadBatchRequest{uploadStart("a.csv"), uploadStart("a.csv")}, codes.InvalidArgument},
		{"empty message", []*scoringv1.UploadBatchRequest{uploadStart("a.csv"), {}}, codes.InvalidArgument},
		{"unknown format", []*scoringv1.UploadBatchRequest{uploadStart("a.xlsx")}, codes.InvalidArgument},
		{"no name", []*scoringv1.UploadBatchRequest{uploadStart("")}, codes.InvalidArgument},
		{"path", []*scoringv1.UploadBatchRequest{uploadStart("../a.csv")}, codes.InvalidArgument},
		{"absolute path", []*scoringv1.UploadBatchRequest{uploadStart("/etc/a.csv")}, codes.InvalidArgument},
		{"windows path", []*scoringv1.UploadBatchRequest{uploadStart(`c:\a.csv`)}, codes.InvalidArgument},
		{"too large", []*scoringv1.UploadBatchRequest{uploadStart("a.csv"), uploadChunk(strings.Repeat("x", 101))}, codes.ResourceExhausted},
	} {
		t.Run(tc.name, func(t *testing.T) {
			stream, err := f.client.Batches.UploadBatch(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range tc.messages {
				_ = stream.Send(m) // the server may have ended the stream already
			}
			_ = stream.CloseSend()
			if err := recvAll(stream.Recv); status.Code(err) != tc.code {
				t.Errorf("got %v, want %v", err, tc.code)
			}
			if left := files(t, dir); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
			if len(r.got) != 0 {
				t.Errorf("a batch got %q", <-r.got)
			}
		})
	}
}

func TestUploadCancelledLeavesNothing(t *testing.T) {
	f, _, dir := uploadServer(t, 0)
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := f.client.Batches.UploadBatch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []*scoringv1.UploadBatchRequest{uploadStart("a.csv"), uploadChunk("half a")} {
		if err := stream.Send(m); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := recvAll(stream.Recv); status.Code(err) != codes.Canceled {
		t.Errorf("got %v", err)
	}
	stopNow(t, f)
	if left := files(t, dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestNewRemovesOldUploads(t *testing.T) {
	dir := t.TempDir()
	keep := filepath.Join(dir, "notes.txt")
	old := filepath.Join(dir, "treeline-upload-123")
	if err := os.MkdirAll(old, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{keep, filepath.Join(old, "rows.csv")} {
		if err := os.WriteFile(p, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	serveTest(t, Deps{}, Options{UploadDir: dir})
	if left := files(t, dir); len(left) != 1 || left[0] != keep {
		t.Errorf("left: %v, want only %s", left, keep)
	}
}
