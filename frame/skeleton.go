// Package frame binds Arrow columns to engine blocks by name and builds output records.
package frame

import (
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/forest"
)

type BindOptions struct {
	Allowed     []string
	IgnoreExtra bool
	BaseMargin  string
}

type Binding struct{}

type SchemaError struct{}

func (e *SchemaError) Error() string { return "" }

type Refusal struct {
	Row            int
	Column, Reason string
}

func NewBinding(m *forest.Model, p *engine.Program, s *arrow.Schema, o BindOptions) (*Binding, error) {
	return nil, &SchemaError{}
}
func (b *Binding) Bind(blk *engine.Block, rec arrow.Record) ([]Refusal, error) { return nil, nil }
func (b *Binding) SchemaHash() string                                          { return "" }

func RawColumns(outputs int) []string                          { return nil }
func PredColumns(width int) []string                           { return nil }
func ScoreFields(p *engine.Program, margin bool) []arrow.Field { return nil }
func ScoreColumns(mem memory.Allocator, p *engine.Program, margins, preds []float64, margin bool, null []bool) []arrow.Array {
	return nil
}

type OutputSpec struct {
	ModelKey  string
	Keys      []arrow.Field
	Task      forest.Task
	Classes   []string
	Width     int
	Threshold float64
}
type Stamp struct {
	ModelVersion       int64
	RunID              string
	ScoredAt           time.Time
	BatchID, ModelName string
	TrainedAt          time.Time
	GitSHA, Digest     string
}

func (o OutputSpec) Schema() *arrow.Schema  { return nil }
func (o OutputSpec) SevenColumns() []string { return nil }
func (o OutputSpec) Record(mem memory.Allocator, keys []arrow.Array, preds []float64, rows int, s Stamp) (arrow.Record, error) {
	return nil, nil
}
