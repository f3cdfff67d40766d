// Package ndarray reads NumPy arrays: from .npy files, from what pickles say of them, and from raw bytes.
//
// An Array is a view of the file's bytes with the layout that the file states. Nothing is copied or converted before a
// value is asked for, and every size is checked against the bytes that are there.
package ndarray

import (
	"fmt"
	"math"
	"strconv"

	"github.com/treeline-ml/treeline/loader/internal/fault"
	"github.com/treeline-ml/treeline/loader/internal/pydata"
)

// Dtype is the type of an array's elements.
type Dtype struct {
	Kind   byte // b bool, i signed, u unsigned, f float, U text (UTF-32), S bytes, O objects, V fields or padding
	Size   int  // bytes
	Big    bool // big-endian
	Fields []Field
}

// Field is a part of a structured element.
type Field struct {
	Name   string
	Type   Dtype
	Offset int
}

// maxItem bounds an element: text of 256 Ki characters.
const maxItem = 1 << 20

// Field returns the field of a name.
func (d *Dtype) Field(name string) (Field, bool) {
	for _, f := range d.Fields {
		if f.Name == name {
			return f, true
		}
	}
	return Field{}, false
}

// String is close to NumPy's spelling.
func (d *Dtype) String() string {
	order := "<"
	if d.Big {
		order = ">"
	}
	if len(d.Fields) > 0 {
		return fmt.Sprintf("a structure of %d fields", len(d.Fields))
	}
	size := d.Size
	if d.Kind == 'U' {
		size /= 4
	}
	return fmt.Sprintf("%s%c%d", order, d.Kind, size)
}

// ParseDtype reads NumPy's short form: "<f8", "|b1", "U5", "O".
func ParseDtype(s string) (Dtype, error) {
	d := Dtype{}
	rest := s
	if rest != "" {
		switch rest[0] {
		case '<', '|', '=':
			rest = rest[1:]
		case '>':
			d.Big, rest = true, rest[1:]
		}
	}
	if rest == "" {
		return d, fault.Malformed("dtype %.40q", s)
	}
	d.Kind, rest = rest[0], rest[1:]
	if d.Kind == 'O' {
		d.Size = 8
		return d, nil
	}
	if d.Kind == '?' && rest == "" {
		d.Kind, rest = 'b', "1"
	}
	n, err := strconv.ParseUint(rest, 10, 31)
	if err != nil || n > maxItem {
		return d, fault.Malformed("dtype %.40q", s)
	}
	d.Size = int(n)
	ok := false
	switch d.Kind {
	case 'b':
		ok = n == 1
	case 'i', 'u':
		ok = n == 1 || n == 2 || n == 4 || n == 8
	case 'f':
		ok = n == 4 || n == 8
	case 'U':
		d.Size *= 4
		ok = d.Size <= maxItem
	case 'S', 'V':
		ok = true
	}
	if !ok {
		return d, fault.NotSupported("arrays of dtype %.40q", s)
	}
	return d, nil
}

// check verifies that fields lie inside the element.
func (d *Dtype) check() error {
	for _, f := range d.Fields {
		if f.Offset < 0 || f.Offset > d.Size-f.Type.Size {
			return fault.Malformed("field %.80q lies at %d..%d of %d bytes", f.Name, f.Offset, f.Offset+f.Type.Size, d.Size)
		}
	}
	return nil
}

// dtypeOf reads numpy.dtype('f8', False, True) with the state (3, '<', None, names, fields, size, alignment, flags).
func dtypeOf(v pydata.Value) (Dtype, error) {
	o, ok := v.(*pydata.Object)
	if !ok || !o.Class.Is("numpy.dtype") || len(o.Args) == 0 {
		return Dtype{}, fault.Malformed("%s where a dtype is wanted", pydata.Kind(v))
	}
	text, ok := o.Args[0].(string)
	if !ok {
		return Dtype{}, fault.Malformed("a dtype of %s", pydata.Kind(o.Args[0]))
	}
	d, err := ParseDtype(text)
	if err != nil || o.State == nil {
		return d, err
	}
	state, ok := pydata.Sequence(o.State)
	if !ok || len(state) < 5 {
		return d, fault.Malformed("the state of a dtype is %s", pydata.Kind(o.State))
	}
	order, ok := state[1].(string)
	if !ok {
		return d, fault.Malformed("the byte order of a dtype is %s", pydata.Kind(state[1]))
	}
	d.Big = order == ">"
	if state[2] != nil {
		return d, fault.NotSupported("arrays whose elements are arrays")
	}
	if state[3] == nil {
		return d, nil
	}
	return d, structure(&d, state[3], state[4])
}

// structure reads the names and fields of a structured dtype, which hold plain types only.
func structure(d *Dtype, names, fields pydata.Value) error {
	order, ok := pydata.Sequence(names)
	where, ok2 := fields.(*pydata.Dict)
	if !ok || !ok2 || d.Kind != 'V' || len(order) > maxFields {
		return fault.Malformed("a structured dtype with %s as names and %s as fields", pydata.Kind(names), pydata.Kind(fields))
	}
	for _, n := range order {
		name, _ := n.(string)
		entry, _ := where.Get(name)
		parts, ok := pydata.Sequence(entry)
		if !ok || len(parts) < 2 {
			return fault.Malformed("field %.80q of a dtype is %s", name, pydata.Kind(entry))
		}
		offset, ok := parts[1].(int64)
		if !ok || offset < 0 || offset > maxItem {
			return fault.Malformed("field %.80q of a dtype lies at %s", name, pydata.Kind(parts[1]))
		}
		inner, ok := parts[0].(*pydata.Object)
		if ok && inner.State != nil {
			if state, _ := pydata.Sequence(inner.State); len(state) > 3 && state[3] != nil {
				return fault.NotSupported("structures inside structures of a dtype")
			}
		}
		t, err := dtypeOf(parts[0])
		if err != nil {
			return err
		}
		d.Fields = append(d.Fields, Field{Name: name, Type: t, Offset: int(offset)})
	}
	return d.check()
}

// maxFields bounds a structure; a tree's node has eight.
const maxFields = 256

// count multiplies the shape, nil for a scalar. It fails where the elements would exceed the given bytes.
func count(shape []int64, size int, bytes int) (int, error) {
	n := int64(1)
	for _, s := range shape {
		if s < 0 {
			return 0, fault.Malformed("an array of shape %v", clipped(shape))
		}
		if s == 0 {
			return 0, nil
		}
	}
	for _, s := range shape {
		if s > math.MaxInt64/n {
			return 0, fault.Malformed("an array of shape %v, larger than the file", clipped(shape))
		}
		n *= s
	}
	if size == 0 || n > int64(bytes)/int64(size) {
		return 0, fault.Malformed("an array of shape %v and %d bytes an element, the file has %d bytes for it",
			clipped(shape), size, bytes)
	}
	return int(n), nil
}

func clipped(shape []int64) []int64 { return shape[:min(len(shape), 8)] }
