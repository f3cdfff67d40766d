package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
)

// chunkBytes is the size of one streamed piece of a file: large enough that framing is negligible, small enough that
// progress moves and flow control bites.
const chunkBytes = 256 << 10

// RegisterMeta is what the caller knows about the training run of a model. All of it may be empty.
type RegisterMeta struct {
	RunID     string
	GitSHA    string
	TrainedAt time.Time
	Tags      map[string]string
	Holdout   string // path of a Parquet file with rows that the training did not see, for the gates that measure quality
	Actor     string // for the audit trail; "" means Options.Actor, or "anonymous"
}

// Progress reports how many of the total bytes were sent. It is called from the goroutine that sends, after each chunk.
type Progress func(sent, total int64)

// RegisterPath streams a model file, and a Parquet file of golden rows when golden is not "", to the registry. progress
// may be nil. The answer is the new version, or the earlier one when the same bytes were registered before.
//
// The path of an MLmodel file stands for its MLflow directory: all regular files below that are sent under "model/". The
// golden and holdout rows may lie in it.
func (c *Client) RegisterPath(
	ctx context.Context, model, path, golden string, meta RegisterMeta, progress Progress,
) (*lifecyclev1.RegisterResponse, error) {
	files, total, err := registerFiles(path, golden, meta.Holdout)
	if err != nil {
		return nil, err
	}
	// Whatever ends this call also ends the stream, so that no server-side upload outlives it.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.Registry.Register(ctx)
	if err != nil {
		return nil, err
	}
	start := &lifecyclev1.RegisterStart{
		ModelName: model, RunId: meta.RunID, GitSha: meta.GitSHA, Tags: meta.Tags, Actor: meta.Actor,
	}
	if !meta.TrainedAt.IsZero() {
		start.TrainedAt = timestamppb.New(meta.TrainedAt)
	}
	err = stream.Send(&lifecyclev1.RegisterRequest{Message: &lifecyclev1.RegisterRequest_Start{Start: start}})
	meter := meter{total: total, report: progress}
	for i := 0; i < len(files) && err == nil; i++ {
		err = sendRegisterFile(stream, files[i], &meter)
	}
	// io.EOF means that the server ended the stream: its status comes from CloseAndRecv.
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return stream.CloseAndRecv()
}

type registerFile struct {
	path, name string
	role       lifecyclev1.FileRole
}

// registerFiles checks the files before anything is sent and adds up their sizes.
func registerFiles(path, golden, holdout string) (files []registerFile, total int64, err error) {
	names := map[string]string{}
	for _, f := range []struct {
		path, what string
		role       lifecyclev1.FileRole
	}{
		{path, "the model file", lifecyclev1.FileRole_FILE_ROLE_MODEL},
		{golden, "the golden rows", lifecyclev1.FileRole_FILE_ROLE_GOLDEN_ROWS},
		{holdout, "the holdout rows", lifecyclev1.FileRole_FILE_ROLE_HOLDOUT_ROWS},
	} {
		if f.path == "" && f.role != lifecyclev1.FileRole_FILE_ROLE_MODEL {
			continue
		}
		name := filepath.Base(f.path)
		if other, taken := names[name]; taken {
			return nil, 0, fmt.Errorf("%s and %s are both named %q: rename one", other, f.what, name)
		}
		names[name] = f.what
		files = append(files, registerFile{f.path, name, f.role})
	}
	if filepath.Base(path) == mlflowName {
		if files, err = withDirectory(files); err != nil {
			return nil, 0, err
		}
	}
	for _, f := range files {
		info, err := os.Stat(f.path)
		if err != nil {
			return nil, 0, err
		}
		if !info.Mode().IsRegular() {
			return nil, 0, fmt.Errorf("%s is not a regular file: name the model file itself", f.path)
		}
		total += info.Size()
	}
	return files, total, nil
}

// mlflowName is the file that makes a directory an MLflow model, and mlflowFolder where a version keeps the directory.
const (
	mlflowName   = "MLmodel"
	mlflowFolder = "model/"
)

// mostFiles bounds the files of an MLflow directory, which has about ten, before anything is sent.
const mostFiles = 1000

// withDirectory adds the other files of the MLflow directory that the first file lies in. Symbolic links are left out.
func withDirectory(files []registerFile) ([]registerFile, error) {
	dir := filepath.Dir(files[0].path)
	given := map[string]bool{}
	for _, f := range files {
		given[filepath.Clean(f.path)] = true
	}
	files[0].name = mlflowFolder + files[0].name
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || given[filepath.Clean(path)] {
			return err
		}
		if len(files) >= mostFiles {
			return fmt.Errorf("%s has more than %d files: name the MLmodel file of a model directory", dir, mostFiles)
		}
		rel, err := filepath.Rel(dir, path)
		files = append(files, registerFile{path, mlflowFolder + filepath.ToSlash(rel), lifecyclev1.FileRole_FILE_ROLE_OTHER})
		return err
	})
	return files, err
}

func sendRegisterFile(stream grpc.ClientStreamingClient[lifecyclev1.RegisterRequest, lifecyclev1.RegisterResponse],
	file registerFile, m *meter,
) error {
	f, err := os.Open(file.path)
	if err != nil {
		return err
	}
	defer f.Close()
	head := &lifecyclev1.RegisterFile{Name: file.name, Role: file.role}
	err = stream.Send(&lifecyclev1.RegisterRequest{Message: &lifecyclev1.RegisterRequest_File{File: head}})
	if err != nil {
		return err
	}
	return sendChunks(f, m, func(chunk []byte) error {
		return stream.Send(&lifecyclev1.RegisterRequest{Message: &lifecyclev1.RegisterRequest_Chunk{Chunk: chunk}})
	})
}

// sendChunks reads r to its end and sends it in pieces.
func sendChunks(r io.Reader, m *meter, send func([]byte) error) error {
	for {
		// A fresh buffer each time: a sent message must not change, stats handlers may still hold it.
		buf := make([]byte, chunkBytes)
		n, err := io.ReadFull(r, buf)
		if n > 0 {
			if err := send(buf[:n]); err != nil {
				return err
			}
			m.add(n)
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

type meter struct {
	sent, total int64
	report      Progress
}

func (m *meter) add(n int) {
	m.sent += int64(n)
	if m.report != nil {
		m.report(m.sent, m.total)
	}
}
