package frame

import (
	"fmt"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/treeline-ml/treeline/forest"
)

// want words what a feature takes.
func want(f *forest.Feature) string {
	if f.Kind == forest.Numeric {
		return "a number"
	}
	if len(f.Vocabulary) == 0 {
		return "an integer category code"
	}
	var text, number, boolean int
	for _, c := range f.Vocabulary {
		switch c.Kind {
		case forest.CategoryText:
			text++
		case forest.CategoryNumber:
			number++
		case forest.CategoryBool:
			boolean++
		}
	}
	switch len(f.Vocabulary) {
	case text:
		return fmt.Sprintf("one of %d category names", text)
	case number:
		return fmt.Sprintf("one of %d numbers that are categories", number)
	case boolean:
		return "true or false, a category"
	}
	return fmt.Sprintf("one of %d categories", len(f.Vocabulary))
}

// unreadable returns the way out when the column's type cannot feed the feature, "" when it can.
func (r *reader) unreadable(f *forest.Feature) string {
	typ := r.typ
	if d, ok := typ.(*arrow.DictionaryType); ok {
		typ = d.ValueType
	}
	if hint := never(typ); hint != "" {
		return hint
	}
	if typ.ID() == arrow.NULL { // all missing
		return ""
	}
	isText := typ.ID() == arrow.STRING || typ.ID() == arrow.LARGE_STRING
	isBool := typ.ID() == arrow.BOOL
	switch {
	case r.vocab == nil && isText && f.Kind == forest.Categorical:
		return "the model has no category names: send the codes of its training"
	case r.vocab == nil && isText:
		return "parse it to a number first"
	case r.vocab == nil:
		return ""
	case isText && r.vocab.text == nil:
		return "the model's categories are no texts: send them in their own type"
	case isBool && !r.vocab.boolean:
		return "the model's categories are no booleans: send them in their own type"
	case !isText && !isBool && r.vocab.number == nil:
		return "the model's categories are no numbers: send them by name"
	}
	return ""
}

// whyText prefers, for a column of texts, the reason that the reader of its file left in the field's metadata (see
// warehouse/file).
func whyText(f arrow.Field, hint string) string {
	if i := f.Metadata.FindKey("treeline.why_text"); i >= 0 && f.Type.ID() == arrow.STRING {
		return f.Metadata.Values()[i]
	}
	return hint
}

// never returns the way out for types that feed no feature at all.
func never(t arrow.DataType) string {
	switch t.ID() {
	case arrow.FLOAT16:
		return "half precision is not read, because no training library says how it widens it: cast to float32"
	case arrow.TIMESTAMP, arrow.DATE32, arrow.DATE64, arrow.TIME32, arrow.TIME64:
		return "its unit and origin are not the model's: send the number that training used"
	case arrow.DURATION, arrow.INTERVAL_MONTHS, arrow.INTERVAL_DAY_TIME, arrow.INTERVAL_MONTH_DAY_NANO:
		return "its unit is not the model's: send the number that training used"
	case arrow.NULL, arrow.BOOL, arrow.INT8, arrow.INT16, arrow.INT32, arrow.INT64, arrow.UINT8, arrow.UINT16, arrow.UINT32,
		arrow.UINT64, arrow.FLOAT32, arrow.FLOAT64, arrow.DECIMAL128, arrow.DECIMAL256, arrow.STRING, arrow.LARGE_STRING:
		return ""
	}
	return "this type is not read: send a number, a boolean or a text"
}
