package server

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/treeline-ml/treeline/client"
	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
	"github.com/treeline-ml/treeline/lifecycle/stage"
	"github.com/treeline-ml/treeline/lifecycle/version"
	"github.com/treeline-ml/treeline/registry"
	"github.com/treeline-ml/treeline/registry/local"
)

// recorder is a version service that keeps the requests it gets.
type recorder struct {
	versionRefusals

	got chan version.RegisterRequest
}

func (r recorder) Register(_ context.Context, req version.RegisterRequest) (version.Version, bool, error) {
	r.got <- req
	return version.Version{Model: req.Model, Version: 7, Stage: stage.Trained, Digest: req.Artifact.Digest, Tags: req.Tags}, true, nil
}

// registerServer is a server with a local registry in a directory.
func registerServer(t *testing.T, o Options) (*fixture, recorder, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "registry")
	reg, err := local.Open(dir, local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := recorder{got: make(chan version.RegisterRequest, 1)}
	return serveTest(t, Deps{Registry: reg, Versions: r}, o), r, dir
}

// files lists what lies below a directory, without the directories.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			out = append(out, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRegisterStreamsFiles(t *testing.T) {
	f, r, dir := registerServer(t, Options{})
	model, golden := filepath.Join(t.TempDir(), "model.txt"), filepath.Join(t.TempDir(), "golden.parquet")
	body := strings.Repeat("tree\n", 200_000) // several chunks
	for path, content := range map[string]string{model: body, golden: "PAR1"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	trained := time.Date(2026, 3, 4, 5, 6, 7, 8000, time.UTC)
	var sent, total int64
	v, err := f.client.RegisterPath(t.Context(), "churn", model, golden, client.RegisterMeta{
		RunID: "run-1", GitSHA: "abc", TrainedAt: trained, Tags: map[string]string{"env": "uat"},
	}, func(s, n int64) { sent, total = s, n })
	if err != nil {
		t.Fatal(err)
	}
	req := <-r.got
	if req.ModelFile != "model.txt" || req.GoldenFile != "golden.parquet" || req.Model != "churn" || req.RunID != "run-1" ||
		req.GitSHA != "abc" || !req.TrainedAt.Equal(trained) || req.Tags["env"] != "uat" || req.Actor != "tester" || req.RequestID == "" {
		t.Errorf("registered %+v", req)
	}
	if want := int64(len(body) + 4); sent != want || total != want {
		t.Errorf("progress ended at %d of %d, want %d", sent, total, want)
	}
	if v.GetVersion().GetVersion() != 7 || v.GetVersion().GetStage() != lifecyclev1.Stage_STAGE_TRAINED || !v.GetAlreadyRegistered() {
		t.Errorf("answer %v", v)
	}
	stored, err := os.ReadFile(filepath.Join(dir, "artifacts", "sha256", strings.TrimPrefix(req.Artifact.Digest, "sha256:"), "files", "model.txt"))
	if err != nil || string(stored) != body {
		t.Errorf("stored %d bytes, %v; want %d", len(stored), err, len(body))
	}
}

func start(name string) *lifecyclev1.RegisterRequest {
	return &lifecyclev1.RegisterRequest{Message: &lifecyclev1.RegisterRequest_Start{Start: &lifecyclev1.RegisterStart{ModelName: name}}}
}

func registerFile(name string, role lifecyclev1.FileRole) *lifecyclev1.RegisterRequest {
	return &lifecyclev1.RegisterRequest{Message: &lifecyclev1.RegisterRequest_File{File: &lifecyclev1.RegisterFile{Name: name, Role: role}}}
}

func chunk(s string) *lifecyclev1.RegisterRequest {
	return &lifecyclev1.RegisterRequest{Message: &lifecyclev1.RegisterRequest_Chunk{Chunk: []byte(s)}}
}

func TestRegisterRefusesAndLeavesNothing(t *testing.T) {
	const (
		model  = lifecyclev1.FileRole_FILE_ROLE_MODEL
		golden = lifecyclev1.FileRole_FILE_ROLE_GOLDEN_ROWS
		other  = lifecyclev1.FileRole_FILE_ROLE_OTHER
	)
	f, r, dir := registerServer(t, Options{UploadBytes: 1 << 10})
	before := len(files(t, dir))
	bad := start("churn")
	bad.GetStart().TrainedAt = &timestamppb.Timestamp{Seconds: 1 << 60}
	for _, tc := range []struct {
		name     string
		messages []*lifecyclev1.RegisterRequest
		code     codes.Code
	}{
		{"nothing", nil, codes.InvalidArgument},
		{"empty message", []*lifecyclev1.RegisterRequest{{}}, codes.InvalidArgument},
		{"file before start", []*lifecyclev1.RegisterRequest{registerFile("m", model)}, codes.InvalidArgument},
		{"chunk before start", []*lifecyclev1.RegisterRequest{chunk("x")}, codes.InvalidArgument},
		{"chunk before file", []*lifecyclev1.RegisterRequest{start("churn"), chunk("x")}, codes.InvalidArgument},
		{"second start", []*lifecyclev1.RegisterRequest{start("churn"), start("churn")}, codes.InvalidArgument},
		{"empty message later", []*lifecyclev1.RegisterRequest{start("churn"), {}}, codes.InvalidArgument},
		{"no files", []*lifecyclev1.RegisterRequest{start("churn")}, codes.InvalidArgument},
		{"no model file", []*lifecyclev1.RegisterRequest{start("churn"), registerFile("m", other), chunk("x")}, codes.InvalidArgument},
		{"two models", []*lifecyclev1.RegisterRequest{start("churn"), registerFile("a", model), chunk("x"), registerFile("b", model)}, codes.InvalidArgument},
		{"two goldens", []*lifecyclev1.RegisterRequest{start("churn"), registerFile("a", golden), registerFile("b", golden)}, codes.InvalidArgument},
		{"same name twice", []*lifecyclev1.RegisterRequest{start("churn"), registerFile("a", model), registerFile("a", other)}, codes.InvalidArgument},
		{"no role", []*lifecyclev1.RegisterRequest{start("churn"), registerFile("a", 0)}, codes.InvalidArgument},
		{"unknown role", []*lifecyclev1.RegisterRequest{start("churn"), registerFile("a", 77)}, codes.InvalidArgument},
		{"no model name", []*lifecyclev1.RegisterRequest{start("")}, codes.InvalidArgument},
		{"bad time", []*lifecyclev1.RegisterRequest{bad}, codes.InvalidArgument},
		{"parent directory", []*lifecyclev1.RegisterRequest{start("churn"), registerFile("../evil", model)}, codes.InvalidArgument},
		{"parent in the middle", []*lifecyclev1.RegisterRequest{start("churn"), registerFile("a/../../evil", model)}, codes.InvalidArgument},
		{"absolute", []*lifecyclev1.RegisterRequest{start("churn"), registerFile("/etc/evil", model)}, codes.InvalidArgument},
		{"backslash", []*lifecyclev1.RegisterRequest{start("churn"), registerFile(`..\evil`, model)}, codes.InvalidArgument},
		{"dot", []*lifecyclev1.RegisterRequest{start("churn"), registerFile(".", model)}, codes.InvalidArgument},
		{"empty name", []*lifecyclev1.RegisterRequest{start("churn"), registerFile("", model)}, codes.InvalidArgument},
		{"NUL", []*lifecyclev1.RegisterRequest{start("churn"), registerFile("a\x00b", model)}, codes.InvalidArgument},
		{"too many bytes", []*lifecyclev1.RegisterRequest{start("churn"), registerFile("m", model), chunk(strings.Repeat("x", 1025))}, codes.ResourceExhausted},
	} {
		t.Run(tc.name, func(t *testing.T) {
			stream, err := f.client.Registry.Register(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range tc.messages {
				// The server may have ended the stream already; CloseAndRecv says why.
				_ = stream.Send(m)
			}
			_, err = stream.CloseAndRecv()
			d := client.Describe(err)
			if d.Code != tc.code || d.Reason == lifecyclev1.ErrorReason_ERROR_REASON_UNSPECIFIED {
				t.Errorf("got %v %v %q, want %v", d.Code, d.Reason, d.Message, tc.code)
			}
			if after := files(t, dir); len(after) != before {
				t.Errorf("left behind: %v", after)
			}
			if len(r.got) != 0 {
				t.Errorf("registered %+v", <-r.got)
			}
		})
	}
}

// TestRegisterCancelledLeavesNothing drops the call in the middle of a file.
func TestRegisterCancelledLeavesNothing(t *testing.T) {
	f, _, dir := registerServer(t, Options{})
	before := len(files(t, dir))
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := f.client.Registry.Register(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []*lifecyclev1.RegisterRequest{
		start("churn"), registerFile("m", lifecyclev1.FileRole_FILE_ROLE_MODEL), chunk("half a tree"),
	} {
		if err := stream.Send(m); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := stream.RecvMsg(&lifecyclev1.RegisterResponse{}); status.Code(err) != codes.Canceled {
		t.Errorf("got %v", err)
	}
	stopNow(t, f) // every handler has returned
	if after := files(t, dir); len(after) != before {
		t.Errorf("left behind: %v", after)
	}
}

// fullArtifacts is a registry on a full disk: as in registry/local, the error of a write sticks to the upload.
type fullArtifacts struct{ Artifacts }

func (u fullArtifacts) NewUpload(ctx context.Context) (registry.Upload, error) {
	up, err := u.Artifacts.NewUpload(ctx)
	return fullUpload{up}, err
}

type fullUpload struct{ registry.Upload }

func (u fullUpload) Create(name string) (io.WriteCloser, error) {
	w, err := u.Upload.Create(name)
	return &fullFile{WriteCloser: w}, err
}

type fullFile struct {
	io.WriteCloser

	failed error
}

func (f *fullFile) Write([]byte) (int, error) {
	f.failed = &fs.PathError{Op: "write", Path: "m", Err: syscall.ENOSPC}
	return 0, f.failed
}

func (f *fullFile) Close() error { return errors.Join(f.WriteCloser.Close(), f.failed) }

func TestRegisterOnAFullDiskSaysSoOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "registry")
	reg, err := local.Open(dir, local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := serveTest(t, Deps{Registry: fullArtifacts{reg}}, Options{})
	before := len(files(t, dir))
	model := filepath.Join(t.TempDir(), "model.txt")
	if err := os.WriteFile(model, []byte("tree"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = f.client.RegisterPath(t.Context(), "churn", model, "", client.RegisterMeta{}, nil)
	d := client.Describe(err)
	if d.Reason != lifecyclev1.ErrorReason_ERROR_REASON_STORAGE_FULL || strings.Count(d.Message, "no space left on device") != 1 {
		t.Errorf("%v %q, want the full disk once", d.Reason, d.Message)
	}
	if after := files(t, dir); len(after) != before {
		t.Errorf("left behind: %v", after)
	}
}
