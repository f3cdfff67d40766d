package ndarray

import (
	"encoding/binary"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/treeline-ml/treeline/loader/internal/fault"
	"github.com/treeline-ml/treeline/loader/internal/pydata"
)

// Array is a view of an array's bytes.
type Array struct {
	Type    Dtype
	Shape   []int64
	Fortran bool // the first index runs fastest
	N       int  // elements
	Data    []byte
	Objects []pydata.Value // instead of Data for dtype O
}

// New returns a view of data, which must have at least the elements' bytes. Bytes beyond them are cut off.
func New(t Dtype, shape []int64, fortran bool, data []byte) (*Array, error) {
	if t.Kind == 'O' {
		return nil, fault.Malformed("an array of objects in raw bytes")
	}
	n, err := count(shape, t.Size, len(data))
	if err != nil {
		return nil, err
	}
	return &Array{Type: t, Shape: shape, Fortran: fortran && len(shape) > 1, N: n, Data: data[:n*t.Size]}, nil
}

// OfObjects returns an array of dtype O.
func OfObjects(shape []int64, items []pydata.Value) (*Array, error) {
	n, err := count(shape, 1, len(items))
	if err == nil && n != len(items) {
		err = fault.Malformed("an array of shape %v with %d objects", clipped(shape), len(items))
	}
	if err != nil {
		return nil, err
	}
	return &Array{Type: Dtype{Kind: 'O', Size: 8}, Shape: shape, N: n, Objects: items}, nil
}

// Of returns the array that a value stands for: an Array itself, or what a pickle of one says.
func Of(v pydata.Value) (*Array, error) {
	switch v := v.(type) {
	case *Array:
		return v, nil
	case *pydata.Object:
		if v.Payload != nil {
			return Of(v.Payload)
		}
		switch v.Class.Name {
		case "_reconstruct":
			return reconstructed(v)
		case "_frombuffer":
			return fromBuffer(v)
		case "scalar":
			return scalar(v)
		}
	}
	return nil, fault.Malformed("%s where an array is wanted", pydata.Kind(v))
}

// reconstructed reads _reconstruct(numpy.ndarray, (0,), b'b') with the state (version, shape, dtype, fortran, data).
func reconstructed(o *pydata.Object) (*Array, error) {
	state, ok := pydata.Sequence(o.State)
	if !ok || len(state) != 5 {
		return nil, fault.Malformed("the state of an array is %s", pydata.Kind(o.State))
	}
	if len(o.Args) == 0 {
		return nil, fault.Malformed("an array without a class")
	}
	if g, ok := o.Args[0].(*pydata.Global); !ok || !g.Is("numpy.ndarray") {
		return nil, fault.NotSupported("arrays of %s", pydata.Kind(o.Args[0]))
	}
	shape, err := shapeOf(state[1])
	if err != nil {
		return nil, err
	}
	t, err := dtypeOf(state[2])
	if err != nil {
		return nil, err
	}
	fortran, _ := state[3].(bool)
	if t.Kind == 'O' {
		items, ok := pydata.Sequence(state[4])
		if !ok {
			return nil, fault.Malformed("the objects of an array are %s", pydata.Kind(state[4]))
		}
		return OfObjects(shape, items)
	}
	data, err := Bytes(state[4])
	if err != nil {
		return nil, err
	}
	return New(t, shape, fortran, data)
}

// fromBuffer reads _frombuffer(buffer, dtype, shape, order), of protocol 5.
func fromBuffer(o *pydata.Object) (*Array, error) {
	if len(o.Args) != 4 {
		return nil, fault.Malformed("_frombuffer of %d arguments", len(o.Args))
	}
	data, err := Bytes(o.Args[0])
	if err != nil {
		return nil, err
	}
	t, err := dtypeOf(o.Args[1])
	if err != nil {
		return nil, err
	}
	shape, err := shapeOf(o.Args[2])
	if err != nil {
		return nil, err
	}
	order, _ := o.Args[3].(string)
	return New(t, shape, order == "F", data)
}

// scalar reads scalar(dtype, bytes).
func scalar(o *pydata.Object) (*Array, error) {
	if len(o.Args) != 2 {
		return nil, fault.Malformed("a NumPy scalar of %d arguments", len(o.Args))
	}
	t, err := dtypeOf(o.Args[0])
	if err != nil {
		return nil, err
	}
	if t.Kind == 'O' {
		return OfObjects(nil, o.Args[1:])
	}
	data, err := Bytes(o.Args[1])
	if err != nil {
		return nil, err
	}
	return New(t, nil, false, data)
}

// Raw returns the array of a dtype and shape, as pickles spell them, whose bytes or objects the caller reads: bytes is
// called with the number of bytes, objects for dtype O.
func Raw(dtype, shape pydata.Value, fortran bool, rest int, bytes func(n uint64) ([]byte, error),
	objects func() (pydata.Value, error),
) (*Array, error) {
	t, err := dtypeOf(dtype)
	if err != nil {
		return nil, err
	}
	if t.Kind == 'O' {
		v, err := objects()
		if err != nil {
			return nil, err
		}
		return Of(v)
	}
	s, err := shapeOf(shape)
	if err != nil {
		return nil, err
	}
	n, err := count(s, t.Size, rest)
	if err != nil {
		return nil, err
	}
	data, err := bytes(uint64(n) * uint64(t.Size))
	if err != nil {
		return nil, err
	}
	return New(t, s, fortran, data)
}

func shapeOf(v pydata.Value) ([]int64, error) {
	items, ok := pydata.Sequence(v)
	if !ok || len(items) > maxDims {
		return nil, fault.Malformed("the shape of an array is %s", pydata.Kind(v))
	}
	shape := make([]int64, 0, len(items))
	for _, i := range items {
		n, ok := i.(int64)
		if !ok {
			return nil, fault.Malformed("the shape of an array holds %s", pydata.Kind(i))
		}
		shape = append(shape, n)
	}
	return shape, nil
}

// maxDims is NumPy's.
const maxDims = 64

// Bytes returns bytes, also those that protocol 2 writes as text: _codecs.encode(text, 'latin1').
func Bytes(v pydata.Value) ([]byte, error) {
	switch v := v.(type) {
	case []byte:
		return v, nil
	case *pydata.Object:
		switch {
		case v.Class.Is("_codecs.encode") && len(v.Args) == 2:
			text, ok := v.Args[0].(string)
			if codec, _ := v.Args[1].(string); !ok || codec != "latin1" {
				break
			}
			out := make([]byte, 0, utf8.RuneCountInString(text))
			for _, r := range text {
				if r > math.MaxUint8 {
					return nil, fault.Malformed("bytes written as text hold the character %q", r)
				}
				out = append(out, byte(r))
			}
			return out, nil
		case (v.Class.Is("builtins.bytearray") || v.Class.Is("builtins.bytes")) && len(v.Args) <= 1:
			if len(v.Args) == 0 {
				return nil, nil
			}
			if inner, ok := v.Args[0].(*pydata.Object); !ok || inner.Class.Is("_codecs.encode") {
				return Bytes(v.Args[0])
			}
		}
	}
	return nil, fault.Malformed("%s where bytes are wanted", pydata.Kind(v))
}

// Ints returns a reader of element i as an integer, of a field where field is not "".
func (a *Array) Ints(field string) (func(i int) int64, error) {
	t, at, err := a.part(field)
	if err != nil {
		return nil, err
	}
	step, data := a.Type.Size, a.Data
	order := byteOrder(t.Big)
	switch {
	case t.Size == 1 && (t.Kind == 'u' || t.Kind == 'b'):
		return func(i int) int64 { return int64(data[i*step+at]) }, nil
	case t.Size == 1 && t.Kind == 'i':
		return func(i int) int64 { return int64(int8(data[i*step+at])) }, nil
	case t.Size == 2 && t.Kind == 'i':
		return func(i int) int64 { return int64(int16(order.Uint16(data[i*step+at:]))) }, nil
	case t.Size == 2 && t.Kind == 'u':
		return func(i int) int64 { return int64(order.Uint16(data[i*step+at:])) }, nil
	case t.Size == 4 && t.Kind == 'i':
		return func(i int) int64 { return int64(int32(order.Uint32(data[i*step+at:]))) }, nil
	case t.Size == 4 && t.Kind == 'u':
		return func(i int) int64 { return int64(order.Uint32(data[i*step+at:])) }, nil
	case t.Size == 8 && (t.Kind == 'i' || t.Kind == 'u'):
		return func(i int) int64 { return int64(order.Uint64(data[i*step+at:])) }, nil
	}
	return nil, fault.Malformed("%s is %s, integers are wanted", name(field), t.String())
}

// Floats returns a reader of element i as a float64.
func (a *Array) Floats(field string) (func(i int) float64, error) {
	t, at, err := a.part(field)
	if err != nil {
		return nil, err
	}
	step, data := a.Type.Size, a.Data
	order := byteOrder(t.Big)
	switch {
	case t.Kind == 'f' && t.Size == 8:
		return func(i int) float64 { return math.Float64frombits(order.Uint64(data[i*step+at:])) }, nil
	case t.Kind == 'f' && t.Size == 4:
		return func(i int) float64 { return float64(math.Float32frombits(order.Uint32(data[i*step+at:]))) }, nil
	}
	return nil, fault.Malformed("%s is %s, floats are wanted", name(field), t.String())
}

func (a *Array) part(field string) (Dtype, int, error) {
	if a.Objects != nil || a.Type.Kind == 'O' {
		return Dtype{}, 0, fault.Malformed("an array of objects where numbers are wanted")
	}
	if field == "" {
		return a.Type, 0, nil
	}
	f, ok := a.Type.Field(field)
	if !ok {
		return Dtype{}, 0, fault.Malformed("no field %q in %s", field, a.Type.String())
	}
	return f.Type, f.Offset, nil
}

func name(field string) string {
	if field == "" {
		return "an array"
	}
	return "field " + field
}

func byteOrder(big bool) binary.ByteOrder {
	if big {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

// Texts returns the elements of a one-dimensional array, at most limit of them, as Python's str() shows them; whole
// floats without their ".0", and bools as True and False.
func (a *Array) Texts(limit int) ([]string, error) {
	if len(a.Shape) > 1 || a.N > limit {
		return nil, fault.Malformed("an array of shape %v where one of at most %d entries is wanted", clipped(a.Shape), limit)
	}
	out := make([]string, 0, a.N)
	for i := range a.N {
		s, err := a.text(i)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func (a *Array) text(i int) (string, error) {
	switch a.Type.Kind {
	case 'O':
		return objectText(a.Objects[i])
	case 'U':
		return a.utf32(a.Data[i*a.Type.Size : (i+1)*a.Type.Size])
	case 'S':
		b := a.Data[i*a.Type.Size : (i+1)*a.Type.Size]
		for len(b) > 0 && b[len(b)-1] == 0 {
			b = b[:len(b)-1]
		}
		if !utf8.Valid(b) {
			return "", fault.Malformed("bytes that are not UTF-8 where a name is wanted")
		}
		return string(b), nil
	case 'f':
		get, err := a.Floats("")
		if err != nil {
			return "", err
		}
		return strconv.FormatFloat(get(i), 'g', -1, 8*a.Type.Size), nil
	}
	get, err := a.Ints("")
	if err != nil {
		return "", err
	}
	switch a.Type.Kind {
	case 'b':
		return boolText(get(i) != 0), nil
	case 'u':
		return strconv.FormatUint(uint64(get(i)), 10), nil
	}
	return strconv.FormatInt(get(i), 10), nil
}

func boolText(b bool) string {
	if b {
		return "True"
	}
	return "False"
}

func objectText(v pydata.Value) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case bool:
		return boolText(v), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), nil
	case *pydata.Object, *Array:
		if inner, err := Of(v); err == nil && len(inner.Shape) == 0 && inner.N == 1 && inner.Type.Kind != 'O' {
			return inner.text(0)
		}
	}
	return "", fault.NotSupported("%s as a name or class label", pydata.Kind(v))
}

// utf32 decodes text that zeros fill up.
func (a *Array) utf32(b []byte) (string, error) {
	order := byteOrder(a.Type.Big)
	end := len(b)
	for end >= 4 && order.Uint32(b[end-4:]) == 0 {
		end -= 4
	}
	out := make([]byte, 0, end/4)
	for ; end >= 4; b, end = b[4:], end-4 {
		r := order.Uint32(b)
		if r > utf8.MaxRune || !utf8.ValidRune(rune(r)) {
			return "", fault.Malformed("the character %#x in a text", r)
		}
		out = utf8.AppendRune(out, rune(r))
	}
	return string(out), nil
}

// Int returns the integer that a value or a NumPy scalar holds.
func Int(v pydata.Value) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case *pydata.Object, *Array:
		if a, err := Of(v); err == nil && a.N == 1 {
			if get, err := a.Ints(""); err == nil {
				return get(0), true
			}
		}
	}
	return 0, false
}

// Float returns the number that a value or a NumPy scalar holds.
func Float(v pydata.Value) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case int64:
		return float64(v), true
	case *pydata.Object, *Array:
		a, err := Of(v)
		if err != nil || a.N != 1 {
			return 0, false
		}
		if get, err := a.Floats(""); err == nil {
			return get(0), true
		}
		if get, err := a.Ints(""); err == nil {
			return float64(get(0)), true
		}
	}
	return 0, false
}
