package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
	"github.com/treeline-ml/treeline/lifecycle/version"
	"github.com/treeline-ml/treeline/registry"
)

// maxRegisterFiles bounds the files of one version.
const maxRegisterFiles = 1000

// registryService registers versions and lists them.
type registryService struct {
	lifecyclev1.UnimplementedRegistryServiceServer

	registry Artifacts
	versions Versions
	models   Models
	gates    Gates
	limit    int64 // bytes of all files of a version
}

// Register receives a start, then for each file its head and its chunks, stores the files and registers the version.
func (s *registryService) Register(stream lifecyclev1.RegistryService_RegisterServer) error {
	ctx := stream.Context()
	in := registering{limit: s.limit, names: map[string]bool{}}
	start, err := in.start(stream)
	if err != nil {
		return err
	}
	upload, err := s.registry.NewUpload(ctx)
	if err != nil {
		return err
	}
	in.upload = upload
	artifact, err := in.receive(ctx, stream)
	if err != nil {
		return errors.Join(err, upload.Abort()) // Abort closes the file; Close would repeat the error of a write
	}
	v, already, err := s.versions.Register(ctx, version.RegisterRequest{
		Model: start.GetModelName(), Artifact: artifact, ModelFile: in.model, GoldenFile: in.golden, HoldoutFile: in.holdout,
		RunID: start.GetRunId(), GitSHA: start.GetGitSha(), TrainedAt: trainedAt(start), Tags: start.GetTags(),
		Actor: actor(ctx, start.GetActor()), AuthMethod: authMethod, RequestID: callOf(ctx).id,
	})
	if err != nil {
		return err
	}
	err = stream.SendAndClose(&lifecyclev1.RegisterResponse{Version: versionProto(v), AlreadyRegistered: already})
	if err != nil {
		return &wireError{err}
	}
	return nil
}

func trainedAt(r *lifecyclev1.RegisterStart) time.Time {
	if r.GetTrainedAt() == nil {
		return time.Time{}
	}
	return r.GetTrainedAt().AsTime()
}

// registering is one Register call while its files come in.
type registering struct {
	upload                 registry.Upload
	limit                  int64
	names                  map[string]bool
	model, golden, holdout string
	file                   io.WriteCloser // nil between files
	fileName               string
	bytes                  int64
}

func (in *registering) start(stream lifecyclev1.RegistryService_RegisterServer) (*lifecyclev1.RegisterStart, error) {
	m, err := stream.Recv()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("the stream ended before its start message: %w", errSequence)
	}
	if err != nil {
		return nil, &wireError{err}
	}
	r := m.GetStart()
	if r == nil {
		return nil, fmt.Errorf("the first message must be the start: %w", errSequence)
	}
	var c check
	c.model("start.model_name", r.GetModelName())
	c.line("start.run_id", r.GetRunId(), maxLabelBytes)
	c.line("start.git_sha", r.GetGitSha(), maxLabelBytes)
	c.tags("start.tags", r.GetTags())
	c.actor("start.actor", r.GetActor())
	if t := r.GetTrainedAt(); t != nil && t.CheckValid() != nil {
		c.failf("start.trained_at", "is no valid time")
	}
	return r, c.err()
}

// receive takes in all files and commits them.
func (in *registering) receive(
	ctx context.Context, stream lifecyclev1.RegistryService_RegisterServer,
) (registry.Artifact, error) {
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return registry.Artifact{}, &wireError{err}
		}
		switch m := m.GetMessage().(type) {
		case *lifecyclev1.RegisterRequest_File:
			err = in.begin(m.File)
		case *lifecyclev1.RegisterRequest_Chunk:
			err = in.write(m.Chunk)
		case *lifecyclev1.RegisterRequest_Start:
			err = fmt.Errorf("a second start: one call registers one version: %w", errSequence)
		default:
			err = fmt.Errorf("a message without content: %w", errSequence)
		}
		if err != nil {
			return registry.Artifact{}, err
		}
	}
	if err := in.closeFile(); err != nil {
		return registry.Artifact{}, err
	}
	if in.model == "" {
		return registry.Artifact{}, fmt.Errorf("no file with role FILE_ROLE_MODEL was sent: %w", errSequence)
	}
	return in.upload.Commit(ctx)
}

// begin starts the next file.
func (in *registering) begin(f *lifecyclev1.RegisterFile) error {
	if err := in.closeFile(); err != nil {
		return err
	}
	var c check
	name := f.GetName()
	c.line("file.name", name, maxPathBytes)
	switch {
	case name == "":
		c.failf("file.name", "is empty")
	case in.names[name]:
		c.failf("file.name", "%q was sent before", clip(name))
	case len(in.names) == maxRegisterFiles:
		c.failf("file", "is one too many: a version has at most %d files", maxRegisterFiles)
	}
	in.role(&c, f)
	if err := c.err(); err != nil {
		return err
	}
	w, err := in.upload.Create(name)
	if err != nil {
		return err
	}
	in.names[name], in.file, in.fileName = true, w, name
	return nil
}

// role notes what a file is for; each role but FILE_ROLE_OTHER is given once.
func (in *registering) role(c *check, f *lifecyclev1.RegisterFile) {
	var holder *string
	switch f.GetRole() {
	case lifecyclev1.FileRole_FILE_ROLE_MODEL:
		holder = &in.model
	case lifecyclev1.FileRole_FILE_ROLE_GOLDEN_ROWS:
		holder = &in.golden
	case lifecyclev1.FileRole_FILE_ROLE_HOLDOUT_ROWS:
		holder = &in.holdout
	case lifecyclev1.FileRole_FILE_ROLE_OTHER:
		return
	default:
		c.failf("file.role", "is %d; use FILE_ROLE_MODEL, _GOLDEN_ROWS, _HOLDOUT_ROWS or _OTHER", f.GetRole())
		return
	}
	if *holder != "" {
		c.failf("file.role", "%s was given to %q before", f.GetRole(), clip(*holder))
	}
	*holder = f.GetName()
}

func (in *registering) write(chunk []byte) error {
	if in.file == nil {
		return fmt.Errorf("a chunk before any file: %w", errSequence)
	}
	if in.bytes += int64(len(chunk)); in.bytes > in.limit {
		return fmt.Errorf("the files have more than %d bytes: %w", in.limit, errTooLarge)
	}
	if _, err := in.file.Write(chunk); err != nil {
		return fmt.Errorf("storing %q: %w", clip(in.fileName), err)
	}
	return nil
}

func (in *registering) closeFile() error {
	if in.file == nil {
		return nil
	}
	f := in.file
	in.file = nil
	if err := f.Close(); err != nil {
		return fmt.Errorf("storing %q: %w", clip(in.fileName), err)
	}
	return nil
}

// ListModels lists all registered models by name.
func (s *registryService) ListModels(
	ctx context.Context, _ *lifecyclev1.ListModelsRequest,
) (*lifecyclev1.ListModelsResponse, error) {
	models, err := s.versions.Models(ctx)
	if err != nil {
		return nil, err
	}
	return &lifecyclev1.ListModelsResponse{Models: each(models, modelProto)}, nil
}

func modelProto(m version.Model) *lifecyclev1.RegisteredModel {
	return &lifecyclev1.RegisteredModel{
		Name: m.Name, Versions: m.Versions, LatestVersion: m.Latest, ChampionVersion: m.Champion, Generation: m.Generation,
	}
}

// ListVersions lists a model's versions, newest first.
func (s *registryService) ListVersions(
	ctx context.Context, r *lifecyclev1.ListVersionsRequest,
) (*lifecyclev1.ListVersionsResponse, error) {
	var c check
	c.model("model_name", r.GetModelName())
	if err := c.err(); err != nil {
		return nil, err
	}
	versions, err := s.versions.Versions(ctx, r.GetModelName())
	if err != nil {
		return nil, err
	}
	return &lifecyclev1.ListVersionsResponse{Versions: each(versions, versionProto)}, nil
}
