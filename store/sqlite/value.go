package sqlite

import (
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/treeline-ml/treeline/store"
)

// timeLayout has a fixed width, so that text order is time order.
const timeLayout = "2006-01-02T15:04:05.000000Z"

// stamp is a time as it stands in a column: UTC text, "" for the zero time.
type stamp struct{ t *time.Time }

func at(t time.Time) stamp { return stamp{&t} }

// Value implements driver.Valuer.
func (s stamp) Value() (driver.Value, error) {
	t := s.t.UTC()
	if t.IsZero() {
		return "", nil
	}
	if y := t.Year(); y < 1 || y > 9999 {
		return nil, fmt.Errorf("time in year %d, want 1 to 9999", y)
	}
	return t.Format(timeLayout), nil
}

// Scan implements sql.Scanner.
func (s stamp) Scan(src any) error {
	text, ok := src.(string)
	if !ok {
		return fmt.Errorf("time is %T, want text: %w", src, store.ErrCorrupt)
	}
	if text == "" {
		*s.t = time.Time{}
		return nil
	}
	t, err := time.Parse(timeLayout, text)
	if err != nil {
		return fmt.Errorf("time %q: %w", text, store.ErrCorrupt)
	}
	*s.t = t
	return nil
}

// float is a float column: SQLite has no NaN and stores it as NULL.
type float struct{ v *float64 }

// Value implements driver.Valuer.
func (r float) Value() (driver.Value, error) {
	if math.IsNaN(*r.v) {
		return nil, nil
	}
	return *r.v, nil
}

// Scan implements sql.Scanner.
func (r float) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*r.v = math.NaN()
	case float64:
		*r.v = v
	case int64:
		*r.v = float64(v)
	default:
		return fmt.Errorf("number is %T: %w", src, store.ErrCorrupt)
	}
	return nil
}

// document is a JSON column.
type document struct{ v any }

// Value implements driver.Valuer.
func (d document) Value() (driver.Value, error) {
	b, err := json.Marshal(d.v)
	return string(b), err
}

// Scan implements sql.Scanner; d.v is a pointer then.
func (d document) Scan(src any) error {
	text, ok := src.(string)
	if !ok {
		return fmt.Errorf("document is %T, want text: %w", src, store.ErrCorrupt)
	}
	if err := json.Unmarshal([]byte(text), d.v); err != nil {
		return fmt.Errorf("document: %w: %w", err, store.ErrCorrupt)
	}
	return nil
}

// blob keeps an empty value from becoming NULL, which is what the driver makes of nil.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// figures is a JSON column of numbers by name; what JSON has no number for is "NaN", "+Inf" or "-Inf".
type figures struct{ v *map[string]float64 }

// Value implements driver.Valuer.
func (f figures) Value() (driver.Value, error) {
	doc := make(map[string]any, len(*f.v))
	for name, v := range *f.v {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			doc[name] = strconv.FormatFloat(v, 'g', -1, 64)
		} else {
			doc[name] = v
		}
	}
	return document{doc}.Value()
}

// Scan implements sql.Scanner.
func (f figures) Scan(src any) error {
	var doc map[string]any
	if err := (document{&doc}).Scan(src); err != nil {
		return err
	}
	out := make(map[string]float64, len(doc))
	for name, v := range doc {
		switch v := v.(type) {
		case float64:
			out[name] = v
		case string:
			x, err := strconv.ParseFloat(v, 64)
			if err != nil {
				return fmt.Errorf("figure %q is %q: %w", name, v, store.ErrCorrupt)
			}
			out[name] = x
		default:
			return fmt.Errorf("figure %q is %T: %w", name, v, store.ErrCorrupt)
		}
	}
	*f.v = out
	return nil
}
