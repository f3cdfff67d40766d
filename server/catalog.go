package server

import (
	"context"
	"strconv"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/frame"
	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
	"github.com/treeline-ml/treeline/lifecycle/version"
	"github.com/treeline-ml/treeline/scoring"
)

// catalogService tells what can be scored.
type catalogService struct {
	scoringv1.UnimplementedCatalogServiceServer

	versions Versions
	resolver scoring.Resolver
	models   Models
}

// ListModels lists the models by name.
func (s *catalogService) ListModels(
	ctx context.Context, _ *scoringv1.ListModelsRequest,
) (*scoringv1.ListModelsResponse, error) {
	models, err := s.versions.Models(ctx)
	if err != nil {
		return nil, err
	}
	return &scoringv1.ListModelsResponse{Models: each(models, entryOf)}, nil
}

func entryOf(m version.Model) *scoringv1.CatalogEntry {
	return &scoringv1.CatalogEntry{
		Name: m.Name, ChampionVersion: m.Champion, Generation: m.Generation, Versions: m.Versions,
	}
}

// GetModel describes a version: what it takes, what it gives, and how it is scored. feature_schema_hash is empty: it
// belongs to columns that were bound.
func (s *catalogService) GetModel(
	ctx context.Context, r *scoringv1.GetModelRequest,
) (*scoringv1.GetModelResponse, error) {
	var c check
	c.ref("model", r.GetModel())
	if err := c.err(); err != nil {
		return nil, err
	}
	pinned, err := s.resolver.Resolve(ctx, r.GetModel().GetName(), r.GetModel().GetVersion())
	if err != nil {
		return nil, err
	}
	loaded, err := s.models.Load(ctx, pinned.Digest)
	if err != nil {
		return nil, err
	}
	m, p := loaded.Model, loaded.Program
	out := &scoringv1.GetModelResponse{
		Lineage:           lineageProto(scoring.Lineage{Pinned: pinned, EngineBuild: engine.Build()}),
		Format:            m.Provenance.Format,
		Library:           m.Provenance.Library,
		Objective:         m.Provenance.Objective,
		Trees:             int32(len(m.Trees)),
		Outputs:           int32(p.Outputs()),
		PredictionColumns: frame.PredColumns(p.Width()),
		Classes:           m.Classes,
		Kernel:            p.Explain().String(),
	}
	for i, f := range m.Features {
		out.Features = append(out.Features, featureProto(f, p.Uses(i)))
	}
	return out, nil
}

func featureProto(f forest.Feature, used bool) *scoringv1.FeatureSpec {
	out := &scoringv1.FeatureSpec{Name: f.Name, Kind: "numeric", Used: used}
	if f.Kind != forest.Categorical {
		return out
	}
	out.Kind = "categorical"
	out.UnknownCategory = "missing"
	if f.Unknown == forest.UnknownError {
		out.UnknownCategory = "error"
	}
	for _, v := range f.Vocabulary {
		out.Vocabulary = append(out.Vocabulary, categoryText(v))
	}
	return out
}

func categoryText(c forest.Category) string {
	switch c.Kind {
	case forest.CategoryNumber:
		return strconv.FormatFloat(c.Number, 'g', -1, 64)
	case forest.CategoryBool:
		return strconv.FormatBool(c.Number != 0)
	default:
		return c.Text
	}
}
