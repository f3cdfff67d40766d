package frame

import (
	"fmt"
	"math"
	"strconv"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/forest"
)

// labels are the class labels of a classifier: int32 numbers where all labels are such numbers or there are none (the
// class index then), otherwise texts.
type labels struct {
	numbers []int32
	texts   []string
}

// labels falls back to class indices when the number of labels is not that of the classes.
func (o OutputSpec) labels() labels {
	want := o.Width
	switch {
	case o.Task == forest.Binary && o.Width == 1:
		want = 2
	case o.Width == 1: // the model predicts an index, its number of classes is not known here
		want = len(o.Classes)
	}
	var l labels
	if len(o.Classes) != want || want == 0 {
		return l
	}
	for _, c := range o.Classes {
		n, err := strconv.ParseInt(c, 10, 32)
		if err != nil || strconv.FormatInt(n, 10) != c {
			return labels{texts: o.Classes}
		}
		l.numbers = append(l.numbers, int32(n))
	}
	return l
}

func (l labels) typ() arrow.DataType {
	if l.texts == nil {
		return arrow.PrimitiveTypes.Int32
	}
	return &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.BinaryTypes.String}
}

// predicted returns the label column.
func (o OutputSpec) predicted(mem memory.Allocator, preds []float64, rows int) (arrow.Array, error) {
	l := o.labels()
	known := max(len(l.numbers), len(l.texts))
	buf := memory.NewResizableBuffer(mem)
	defer buf.Release()
	buf.Resize(rows * arrow.Int32SizeBytes)
	dst := arrow.Int32Traits.CastFromBytes(buf.Bytes())
	for i := range dst {
		c := o.class(preds[i*o.Width : (i+1)*o.Width])
		if known > 0 && c >= known {
			return nil, fmt.Errorf("row %d is of class %d, the model has labels for %d: %w", i, c, known, engine.ErrShape)
		}
		dst[i] = int32(c)
		if l.numbers != nil {
			dst[i] = l.numbers[c]
		}
	}
	if l.texts == nil {
		return newArray(l.typ(), rows, nil, buf, 0), nil
	}
	b := array.NewStringBuilder(mem)
	defer b.Release()
	b.AppendValues(l.texts, nil)
	dict := b.NewArray()
	defer dict.Release()
	d := array.NewDataWithDictionary(l.typ(), rows, []*memory.Buffer{nil, buf}, 0, 0, dict.Data().(*array.Data))
	defer d.Release()
	return array.MakeFromData(d), nil
}

// class returns the class index of one row's predictions: at the threshold for a binary model, the first largest one
// otherwise, or the value itself where the model predicts the class index.
func (o OutputSpec) class(pred []float64) int {
	if o.Width == 1 && o.Task == forest.Binary {
		if pred[0] >= o.Threshold {
			return 1
		}
		return 0
	}
	if o.Width == 1 {
		if !(pred[0] >= 0 && pred[0] < math.MaxInt32) {
			return 0
		}
		return int(pred[0])
	}
	best := 0
	for k, p := range pred {
		if p > pred[best] {
			best = k
		}
	}
	return best
}
