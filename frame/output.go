package frame

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/forest"
)

// OutputSpec describes the output table of a batch. <key> is ModelKey.
//
//	binary      <keys>  <key>_probability          <key>_predicted   lineage
//	multiclass  <keys>  <key>_probability_<class>  <key>_predicted   lineage
//	regression  <keys>  <key>_score                                  lineage
//
// A multiclass model that predicts only the class index (multi:softmax) has <key>_score in place of probabilities.
type OutputSpec struct {
	ModelKey string
	Keys     []arrow.Field
	Task     forest.Task
	Classes  []string // labels in output order; empty when the model has none
	Width    int      // prediction columns per row
	// Threshold is the probability from which on a binary model predicts the positive class.
	Threshold float64
}

// Stamp is the lineage that every row of a batch carries.
type Stamp struct {
	ModelVersion       int64
	RunID              string
	ScoredAt           time.Time
	BatchID, ModelName string
	TrainedAt          time.Time // zero when unknown: null
	GitSHA, Digest     string
}

// Column names of the lineage columns, in output order; the first four belong to the seven.
const (
	colVersion   = "model_version"
	colRunID     = "run_id"
	colScoredAt  = "scored_at"
	colBatchID   = "score_batch_id"
	colModelName = "model_name"
	colTrainedAt = "trained_at"
	colGitSHA    = "git_sha"
	colDigest    = "model_digest"
)

func timestampType() arrow.DataType {
	return &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}
}

// constantOf is the type of a lineage column, which has one value in a batch: a row costs a byte.
func constantOf(t arrow.DataType) *arrow.DictionaryType {
	return &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: t}
}

// Schema returns the columns of Record: keys, scores, predicted label, model_version, run_id, scored_at, score_batch_id,
// model_name, trained_at, git_sha, model_digest. Lineage columns are dictionaries with int8 indices, of int64, utf8, and
// timestamp[us, UTC].
func (o OutputSpec) Schema() *arrow.Schema {
	fields := append([]arrow.Field{}, o.Keys...)
	for _, name := range o.scoreColumns() {
		fields = append(fields, arrow.Field{Name: name, Type: arrow.PrimitiveTypes.Float64, Nullable: true})
	}
	if o.Task != forest.Regression {
		fields = append(fields, arrow.Field{Name: o.ModelKey + "_predicted", Type: o.labels().typ(), Nullable: true})
	}
	add := func(name string, t arrow.DataType, nullable bool) {
		fields = append(fields, arrow.Field{Name: name, Type: constantOf(t), Nullable: nullable})
	}
	add(colVersion, arrow.PrimitiveTypes.Int64, false)
	add(colRunID, arrow.BinaryTypes.String, false)
	add(colScoredAt, timestampType(), false)
	add(colBatchID, arrow.BinaryTypes.String, false)
	add(colModelName, arrow.BinaryTypes.String, false)
	add(colTrainedAt, timestampType(), true)
	add(colGitSHA, arrow.BinaryTypes.String, false)
	add(colDigest, arrow.BinaryTypes.String, false)
	return arrow.NewSchema(fields, nil)
}

// SevenColumns names the columns that a user's own output table must have: keys, scores, predicted label,
// model_version, run_id, scored_at and score_batch_id.
func (o OutputSpec) SevenColumns() []string {
	var out []string
	for _, f := range o.Schema().Fields() {
		out = append(out, f.Name)
		if f.Name == colBatchID {
			return out
		}
	}
	return out
}

func (o OutputSpec) scoreColumns() []string {
	switch {
	case o.Task == forest.Binary && o.Width == 1:
		return []string{o.ModelKey + "_probability"}
	case o.Task == forest.Regression || o.Width == 1:
		return numbered(o.ModelKey+"_score", o.Width)
	}
	out := make([]string, o.Width)
	taken := make(map[string]bool, o.Width)
	for i := range out {
		class := strconv.Itoa(i)
		if len(o.Classes) == o.Width {
			class = identifier(o.Classes[i])
		}
		name := o.ModelKey + "_probability_" + class
		if taken[name] {
			name += "_" + strconv.Itoa(i)
		}
		taken[name] = true
		out[i] = name
	}
	return out
}

// identifier makes a class label part of a column name.
func identifier(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, s)
}

// Record stamps the predictions (row-major, rows*Width values) of rows that the key arrays identify. The arrays are
// borrowed; the caller releases the record.
func (o OutputSpec) Record(mem memory.Allocator, keys []arrow.Array, preds []float64, rows int, s Stamp) (arrow.Record, error) {
	if o.Width < 1 || len(preds) != rows*o.Width {
		return nil, fmt.Errorf("%d predictions for %d rows of %d: %w", len(preds), rows, o.Width, engine.ErrShape)
	}
	if len(keys) != len(o.Keys) {
		return nil, fmt.Errorf("%d key columns, want %d: %w", len(keys), len(o.Keys), engine.ErrShape)
	}
	var cols []arrow.Array
	defer func() {
		for _, c := range cols {
			c.Release()
		}
	}()
	for i, k := range keys {
		if k.Len() != rows || !arrow.TypeEqual(k.DataType(), o.Keys[i].Type) {
			return nil, fmt.Errorf("key column %q has %d rows of %s, want %d of %s: %w",
				o.Keys[i].Name, k.Len(), k.DataType(), rows, o.Keys[i].Type, engine.ErrShape)
		}
		k.Retain()
		cols = append(cols, k)
	}
	for k := range o.Width {
		cols = append(cols, strided64(mem, preds, rows, o.Width, k, nil, 0))
	}
	if o.Task != forest.Regression {
		c, err := o.predicted(mem, preds, rows)
		if err != nil {
			return nil, err
		}
		cols = append(cols, c)
	}
	zeros := memory.NewResizableBuffer(mem)
	defer zeros.Release()
	zeros.Resize(rows)
	clear(zeros.Bytes())
	add := func(value arrow.Array) {
		cols = append(cols, constant(zeros, rows, value))
		value.Release()
	}
	add(word64(mem, arrow.PrimitiveTypes.Int64, s.ModelVersion))
	add(text(mem, s.RunID))
	add(word64(mem, timestampType(), s.ScoredAt.UnixMicro()))
	add(text(mem, s.BatchID))
	add(text(mem, s.ModelName))
	if s.TrainedAt.IsZero() {
		cols = append(cols, absent(mem, zeros, rows))
	} else {
		add(word64(mem, timestampType(), s.TrainedAt.UnixMicro()))
	}
	add(text(mem, s.GitSHA))
	add(text(mem, s.Digest))
	return array.NewRecord(o.Schema(), cols, int64(rows)), nil
}

// word64 is an array of one 64-bit value.
func word64(mem memory.Allocator, t arrow.DataType, v int64) arrow.Array {
	buf := memory.NewResizableBuffer(mem)
	defer buf.Release()
	buf.Resize(arrow.Int64SizeBytes)
	arrow.Int64Traits.CastFromBytes(buf.Bytes())[0] = v
	return newArray(t, 1, nil, buf, 0)
}

// text is an array of one text.
func text(mem memory.Allocator, v string) arrow.Array {
	b := array.NewStringBuilder(mem)
	defer b.Release()
	b.Append(v)
	return b.NewArray()
}

// constant is a dictionary column of one entry; zeros holds its indices.
func constant(zeros *memory.Buffer, rows int, value arrow.Array) arrow.Array {
	d := array.NewDataWithDictionary(constantOf(value.DataType()), rows, []*memory.Buffer{nil, zeros}, 0, 0, value.Data().(*array.Data))
	defer d.Release()
	return array.MakeFromData(d)
}

// absent is a dictionary column of times that are all null.
func absent(mem memory.Allocator, zeros *memory.Buffer, rows int) arrow.Array {
	bitmap := memory.NewResizableBuffer(mem)
	defer bitmap.Release()
	bitmap.Resize((rows + 7) / 8)
	clear(bitmap.Bytes())
	entry := word64(mem, timestampType(), 0)
	defer entry.Release()
	d := array.NewDataWithDictionary(constantOf(timestampType()), rows, []*memory.Buffer{bitmap, zeros}, rows, 0, entry.Data().(*array.Data))
	defer d.Release()
	return array.MakeFromData(d)
}
