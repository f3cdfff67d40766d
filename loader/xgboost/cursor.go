package xgboost

import (
	"errors"
	"fmt"

	"github.com/treeline-ml/treeline/loader/internal/fault"
	"github.com/treeline-ml/treeline/loader/internal/limit"
)

// kind is the type of a value in a document.
type kind uint8

const (
	kindNull kind = iota
	kindBool
	kindNumber
	kindText
	kindArray
	kindObject
)

func (k kind) String() string {
	return [...]string{"null", "a boolean", "a number", "a string", "an array", "an object"}[k]
}

// cursor walks one document front to back. Both encodings implement it, so the schema is written once (document.go)
// and the same corpus tests both. Each method consumes one value; its errors carry the byte they were met at.
type cursor interface {
	// peek returns the kind of the next value without consuming it.
	peek() (kind, error)
	// object calls visit for each key; visit must consume the value.
	object(visit func(key string) error) error
	// array calls visit for each element; visit must consume it.
	array(visit func() error) error
	// text returns a string, or a number or boolean as its text.
	text() (string, error)
	// int64s appends an array of integers or booleans to dst; int32s does, too, and refuses larger values.
	int64s(dst []int64, most bound) ([]int64, error)
	int32s(dst []int32, most bound) ([]int32, error)
	// float32s appends an array of numbers to dst.
	float32s(dst []float32, most bound) ([]float32, error)
	// skip consumes any value.
	skip() error
	// finish fails unless the document ends here.
	finish() error
}

// bound is the most values that an array may have, and the field of Limits that says so.
type bound struct {
	field string
	max   int64
}

func (b bound) check(n int64) error { return limit.Check(b.field, b.max, n) }

// The texts of booleans.
const (
	textTrue  = "true"
	textFalse = "false"
)

// at places err at a byte unless a deeper value has done so already.
func at(offset int64, err error) error {
	if err == nil {
		return nil
	}
	if _, placed := errors.AsType[*fault.Error](err); placed {
		return err
	}
	return fault.At(fmt.Sprintf("byte %d", offset), err)
}
