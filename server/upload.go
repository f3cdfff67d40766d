package server

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
	"github.com/treeline-ml/treeline/scoring"
)

// uploadPattern names the directory of one upload.
const uploadPattern = "treeline-upload-*"

// UploadBatch receives a file and runs a batch over it. The file is removed as soon as the batch has its own copy.
func (s *batchService) UploadBatch(stream scoringv1.BatchService_UploadBatchServer) error {
	m, err := stream.Recv()
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("the stream ended before its start message: %w", errSequence)
	}
	if err != nil {
		return &wireError{err}
	}
	start := m.GetStart()
	if start == nil {
		return fmt.Errorf("the first message must be the start: %w", errSequence)
	}
	ext, err := checkUpload(start)
	if err != nil {
		return err
	}
	up, err := newUpload(s.options, start.GetFileName(), ext)
	if err != nil {
		return err
	}
	if err := up.receive(stream); err != nil {
		return errors.Join(up.rename(err), up.remove())
	}
	// From here on the batch owns the file: Start calls Release whatever happens.
	w, err := s.batches.Start(stream.Context(), scoring.Request{
		Model: start.GetModel().GetName(), Version: start.GetModel().GetVersion(), OutputTable: start.GetOutputTable(),
		OutputFile: start.GetOutputFile(), InputFiles: up.path, InputName: start.GetFileName(),
		// What is left behind when removal fails goes with the next start of the daemon.
		Release: func() { _ = up.remove() },
	})
	if err != nil {
		return up.rename(err)
	}
	last, err := s.follow(stream.Context(), w, func(e *scoringv1.BatchEvent) error {
		return stream.Send(&scoringv1.UploadBatchResponse{Event: e})
	})
	if err != nil {
		return err
	}
	return up.rename(last.Err)
}

func checkUpload(start *scoringv1.UploadBatchStart) (ext string, err error) {
	var c check
	c.ref("start.model", start.GetModel())
	c.table("start.output_table", start.GetOutputTable())
	c.outputFile("start.output_file", start.GetOutputFile())
	name := start.GetFileName()
	c.line("start.file_name", name, 255)
	if name != filepath.Base(name) || strings.ContainsAny(name, `/\`) || name == "." || name == ".." {
		c.failf("start.file_name", "%q is no base name; send the name without a directory", clip(name))
	}
	ext = strings.ToLower(filepath.Ext(name))
	switch ext {
	case ".parquet", ".arrow", ".csv":
	default:
		c.failf("start.file_name", "%q: the extension must be .parquet, .arrow or .csv", clip(name))
	}
	return ext, c.err()
}

// upload is a file that a caller sends, alone in a directory of its own.
type upload struct {
	dir, path, name string
	limit           int64
}

// newUpload keeps the extension of the caller's name and nothing else of it: the path is read as a glob later.
func newUpload(o Options, name, ext string) (*upload, error) {
	dir, err := os.MkdirTemp(o.UploadDir, uploadPattern)
	if err != nil {
		return nil, fmt.Errorf("making room for an upload: %w", err)
	}
	return &upload{dir: dir, path: filepath.Join(dir, "rows"+ext), name: name, limit: o.UploadBytes}, nil
}

func (u *upload) remove() error { return os.RemoveAll(u.dir) }

func (u *upload) receive(stream scoringv1.BatchService_UploadBatchServer) error {
	f, err := os.OpenFile(u.path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := u.copy(f, stream); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

func (u *upload) copy(f io.Writer, stream scoringv1.BatchService_UploadBatchServer) error {
	var total int64
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return &wireError{err}
		}
		switch m := m.GetMessage().(type) {
		case *scoringv1.UploadBatchRequest_Chunk:
			if total += int64(len(m.Chunk)); total > u.limit {
				return fmt.Errorf("the file has more than %d bytes: place it where the daemon reads it, and name it as input: %w",
					u.limit, errTooLarge)
			}
			if _, err := f.Write(m.Chunk); err != nil {
				return err
			}
		case *scoringv1.UploadBatchRequest_Start:
			return fmt.Errorf("a second start: one call uploads one file: %w", errSequence)
		default:
			return fmt.Errorf("a message without content: %w", errSequence)
		}
	}
}

// rename makes an error speak of the caller's file instead of the daemon's copy.
func (u *upload) rename(err error) error {
	if err == nil {
		return nil
	}
	return &renamedError{err: err, old: u.path, name: u.name}
}

type renamedError struct {
	err       error
	old, name string
}

func (e *renamedError) Error() string { return strings.ReplaceAll(e.err.Error(), e.old, e.name) }
func (e *renamedError) Unwrap() error { return e.err }

// clearUploads removes what an earlier process left in a directory that is for uploads only.
func clearUploads(dir string) error {
	if dir == "" {
		return nil // shared with others: theirs is not ours to remove
	}
	left, err := filepath.Glob(filepath.Join(dir, uploadPattern))
	if err != nil {
		return err
	}
	for _, l := range left {
		if err := os.RemoveAll(l); err != nil {
			return err
		}
	}
	return nil
}
