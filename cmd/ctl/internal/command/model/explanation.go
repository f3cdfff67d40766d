package model

import (
	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/frame"
)

// explanation says what "ctl model score" writes beside scores.
type explanation struct{ contributions, leaves bool }

// maxCells bounds the values that an explanation adds to a record: 128 MiB.
const maxCells = 16 << 20

// batchRows is the number of rows in a record: fewer for models of many features, outputs or trees.
func (e explanation) batchRows(p *engine.Program) int {
	width := 1
	if e.contributions {
		width += p.Outputs() * (p.Features() + 1)
	}
	if e.leaves {
		width += p.Trees()
	}
	return min(batchRows, max(1, maxCells/width))
}

func (e explanation) fields(p *engine.Program, features []forest.Feature) []arrow.Field {
	var fields []arrow.Field
	if e.contributions {
		fields = frame.ContributionFields(p, features)
	}
	if e.leaves {
		fields = append(fields, frame.LeafFields(p)...)
	}
	return fields
}

// explain fills s with what is to be written of the block's rows.
func (e explanation) explain(p *engine.Program, b *engine.Block, threads int, s *scores) error {
	if e.contributions {
		s.contributions = resize(s.contributions, b.Rows()*p.Outputs()*(p.Features()+1))
		if err := p.ContributionsParallel(s.contributions, b, threads); err != nil {
			return err
		}
	}
	if e.leaves {
		s.leaves = resize(s.leaves, b.Rows()*p.Trees())
		return p.LeavesParallel(s.leaves, b, threads)
	}
	return nil
}

// columns returns the columns of fields. The caller releases them.
func (e explanation) columns(mem memory.Allocator, p *engine.Program, s *scores, rows int) []arrow.Array {
	var cols []arrow.Array
	if e.contributions {
		cols = frame.ContributionColumns(mem, p, s.contributions, rows, s.refusedOrNil())
	}
	if e.leaves {
		cols = append(cols, frame.LeafColumns(mem, p, s.leaves, rows, s.refusedOrNil())...)
	}
	return cols
}
