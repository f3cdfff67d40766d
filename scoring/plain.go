package scoring

import (
	"fmt"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/treeline-ml/treeline/warehouse"
)

// plainType is the type of a column without its dictionary.
func plainType(t arrow.DataType) arrow.DataType {
	if d, ok := t.(*arrow.DictionaryType); ok {
		return plainType(d.ValueType)
	}
	return t
}

// plain returns a column without its dictionary, which other programs need not know. The caller releases it.
func plain(mem memory.Allocator, col arrow.Array) (arrow.Array, error) {
	d, ok := col.(*array.Dictionary)
	if !ok {
		col.Retain()
		return col, nil
	}
	b := array.NewBuilder(mem, plainType(d.DataType()))
	defer b.Release()
	b.Reserve(d.Len())
	texts, isText := b.(array.StringLikeBuilder)
	values, hasTexts := d.Dictionary().(interface{ Value(i int) string })
	for i := range d.Len() {
		if d.IsNull(i) || d.Dictionary().IsNull(d.GetValueIndex(i)) {
			b.AppendNull()
			continue
		}
		if isText && hasTexts { // the text "(null)" is no null
			texts.Append(values.Value(d.GetValueIndex(i)))
			continue
		}
		if err := b.AppendValueFromString(d.Dictionary().ValueStr(d.GetValueIndex(i))); err != nil {
			return nil, fmt.Errorf("key column of type %s: %w: %w", d.DataType(), warehouse.ErrColumn, err)
		}
	}
	return b.NewArray(), nil
}
