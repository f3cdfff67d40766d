package ndarray_test

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/treeline-ml/treeline/loader/internal/ndarray"
	"github.com/treeline-ml/treeline/loader/internal/pydata"
)

// npy is a version 1 file with a header.
func npy(header string, data string) []byte {
	out := []byte("\x93NUMPY\x01\x00")
	out = binary.LittleEndian.AppendUint16(out, uint16(len(header)))
	return append(append(out, header...), data...)
}

func TestNPY(t *testing.T) {
	a, err := ndarray.ParseNPY(npy("{'descr': '<i4', 'fortran_order': False, 'shape': (2, 1), }   \n", "\x01\x00\x00\x00\xff\xff\xff\xffrest"))
	if err != nil {
		t.Fatal(err)
	}
	get, err := a.Ints("")
	if err != nil || a.N != 2 || get(0) != 1 || get(1) != -1 || !slices.Equal(a.Shape, []int64{2, 1}) {
		t.Errorf("%+v, %v", a, err)
	}
	node := "{'descr': [('left', '<i8'), ('t', '>f8'), ('flag', '|u1'), ('', '|V7')], 'fortran_order': False, 'shape': (1,), }\n"
	row := binary.LittleEndian.AppendUint64(nil, math.MaxUint64)
	row = binary.BigEndian.AppendUint64(row, math.Float64bits(0.1))
	row = append(row, 1, 0, 0, 0, 0, 0, 0, 0)
	a, err = ndarray.ParseNPY(npy(node, string(row)))
	if err != nil {
		t.Fatal(err)
	}
	left, err := a.Ints("left")
	if err != nil || left(0) != -1 {
		t.Errorf("left: %v", err)
	}
	threshold, err := a.Floats("t")
	if err != nil || threshold(0) != 0.1 {
		t.Errorf("big-endian t: %v", err)
	}
	flag, err := a.Ints("flag")
	if err != nil || flag(0) != 1 || a.Type.Size != 24 {
		t.Errorf("flag: %v, size %d", err, a.Type.Size)
	}
	for _, field := range []string{"none", ""} {
		if _, err := a.Floats(field); err == nil {
			t.Errorf("field %q was read as floats", field)
		}
	}
}

func TestNPYErrors(t *testing.T) {
	good := "{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }\n"
	for _, c := range []struct {
		file []byte
		want string
	}{
		{nil, "does not begin as .npy"},
		{[]byte("\x93NUMPY\x01\x00"), "does not begin as .npy"},
		{[]byte("\x93NUMPY\x09\x00\x00\x00\x00\x00"), "version 9"},
		{[]byte("\x93NUMPY\x02\x00\xff\xff\xff\xff"), "the header of an array has 4294967295 bytes"},
		{[]byte("\x93NUMPY\x01\x00\xff\xff{"), "ends inside the header"},
		{npy(good, ""), "8 bytes an element, the file has 0 bytes"},
		{npy(strings.Replace(good, "(1,)", "(4611686018427387904, 4)", 1), "x"), "larger than the file"},
		{npy(strings.Replace(good, "(1,)", "(2305843009213693952,)", 1), "x"), "the file has 1 bytes"},
		{npy(strings.Replace(good, "(1,)", "(-1,)", 1), "x"), "an integer is wanted"},
		{npy(strings.Replace(good, "(1,)", "(99999999999999999999,)", 1), "x"), "an integer is wanted"},
		{npy(strings.Replace(good, "(1,)", "("+strings.Repeat("1,", 99)+")", 1), "x"), "more than 64 dimensions"},
		{npy(strings.Replace(good, "<f8", "|O", 1), "x"), "objects in raw bytes"},
		{npy(strings.Replace(good, "<f8", "<f2", 1), "x"), "dtype"},
		{npy(strings.Replace(good, "<f8", "<U999999999", 1), "x"), "dtype"},
		{npy(strings.Replace(good, "<f8", "<M8[ns]", 1), "x"), "dtype"},
		{npy(strings.Replace(good, "'<f8'", "[('a', 'O')]", 1), "x"), "objects in a structure"},
		{npy(strings.Replace(good, "'<f8'", "["+strings.Repeat("('a','<f8'),", 300)+"]", 1), "x"), "fields"},
		{npy(strings.Replace(good, "'<f8'", "__import__('os').system('id')", 1), "x"), "a string is wanted"},
		{npy(strings.Replace(good, "False", "Maybe", 1), "x"), `"False" is wanted`},
		{npy("{'descr': '<f8', 'descr': '<f8', 'shape': ()}", "x"), "twice"},
		{npy("{'descr': '<f8', 'shape': ()}", "x"), "2 of the keys"},
		{npy("{'evil': 1}", "x"), `the key "evil"`},
		{npy(good+"x", "x"), "text after the dict"},
	} {
		if a, err := ndarray.ParseNPY(c.file); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.80q: %v, %v; want %q", c.file, a, err, c.want)
		}
	}
}

func object(class string, state pydata.Value, args ...pydata.Value) *pydata.Object {
	i := strings.LastIndexByte(class, '.')
	return &pydata.Object{Class: &pydata.Global{Module: class[:i], Name: class[i+1:]}, Args: args, State: state}
}

func tuple(items ...pydata.Value) *pydata.Tuple { return &pydata.Tuple{Items: items} }

// TestPickled: arrays as pickles spell them, and what does not fit.
func TestPickled(t *testing.T) {
	f8 := object("numpy.dtype", tuple(int64(3), "<", nil, nil, nil, int64(-1), int64(-1), int64(0)), "f8", false, true)
	reconstruct := func(state pydata.Value) *pydata.Object {
		return object("numpy.core.multiarray._reconstruct", state, &pydata.Global{Module: "numpy", Name: "ndarray"}, tuple(int64(0)), []byte("b"))
	}
	one := binary.LittleEndian.AppendUint64(nil, math.Float64bits(2.5))
	for _, c := range []struct {
		name string
		v    pydata.Value
		want string // part of the error; "" for an array with the element 2.5
	}{
		{"reconstruct", reconstruct(tuple(int64(1), tuple(int64(1)), f8, false, one)), ""},
		{"frombuffer", object("numpy._core.numeric._frombuffer", nil, one, f8, tuple(int64(1)), "C"), ""},
		{"scalar", object("numpy._core.multiarray.scalar", nil, f8, one), ""},
		{"protocol 2", reconstruct(tuple(int64(1), tuple(int64(1)), f8, false, object("_codecs.encode", nil, "\u0000\u0000\u0000\u0000\u0000\u0000\u0004@", "latin1"))), ""},
		{"overflow", reconstruct(tuple(int64(1), tuple(int64(1<<62), int64(4)), f8, false, one)), "larger than the file"},
		{"too large", reconstruct(tuple(int64(1), tuple(int64(2)), f8, false, one)), "has 8 bytes for it"},
		{"negative", reconstruct(tuple(int64(1), tuple(int64(-1)), f8, false, one)), "shape [-1]"},
		{"shape of text", reconstruct(tuple(int64(1), tuple("a"), f8, false, one)), "holds a str"},
		{"no state", reconstruct(nil), "the state of an array is None"},
		{"no class", object("numpy.core.multiarray._reconstruct", tuple(nil, nil, nil, nil, nil)), "without a class"},
		{"subclass", object("numpy.core.multiarray._reconstruct", tuple(nil, nil, nil, nil, nil), &pydata.Global{Module: "numpy", Name: "matrix"}), "not supported"},
		{"no bytes", reconstruct(tuple(int64(1), tuple(int64(1)), f8, false, "text")), "a str where bytes are wanted"},
		{"wide text", reconstruct(tuple(int64(1), tuple(int64(1)), f8, false, object("_codecs.encode", nil, "ő", "latin1"))), "hold the character"},
		{"other codec", reconstruct(tuple(int64(1), tuple(int64(1)), f8, false, object("_codecs.encode", nil, "a", "rot13"))), "where bytes are wanted"},
		{"object dtype", reconstruct(tuple(int64(1), tuple(int64(3)), object("numpy.dtype", nil, "O8"), false, &pydata.List{})), "has 0 bytes for it"},
		{"dtype of what", reconstruct(tuple(int64(1), tuple(int64(1)), "f8", false, one)), "where a dtype is wanted"},
		{"field outside", reconstruct(tuple(int64(1), tuple(int64(1)), object("numpy.dtype",
			tuple(int64(3), "|", nil, tuple("a"), &pydata.Dict{Keys: []pydata.Value{"a"}, Values: []pydata.Value{tuple(f8, int64(1))}}, int64(8)), "V8"), false, one)), "lies at 1..9 of 8 bytes"},
		{"another object", object("builtins.set", nil), "where an array is wanted"},
		{"None", nil, "None where an array is wanted"},
	} {
		a, err := ndarray.Of(c.v)
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, %v; want %q", c.name, a, err, c.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if get, err := a.Floats(""); err != nil || a.N != 1 || get(0) != 2.5 {
			t.Errorf("%s: %v, %v", c.name, a, err)
		}
	}
}

func TestTexts(t *testing.T) {
	utf32 := func(s string, order binary.AppendByteOrder) (out []byte) {
		for _, r := range s {
			out = order.AppendUint32(out, uint32(r))
		}
		return out
	}
	for _, c := range []struct {
		dtype, data string
		want        []string
	}{
		{"<U3", string(utf32("ab\x00őß\x00", binary.LittleEndian)), []string{"ab", "őß"}},
		{">U1", string(utf32("µ", binary.BigEndian)), []string{"µ"}},
		{"|S2", "a\x00bc", []string{"a", "bc"}},
		{"|b1", "\x01\x00", []string{"True", "False"}},
		{"<i2", "\xff\xff\x07\x00", []string{"-1", "7"}},
		{"|u1", "\xff", []string{"255"}},
		{"<u8", "\xff\xff\xff\xff\xff\xff\xff\xff", []string{"18446744073709551615"}},
		{"<f8", string(binary.LittleEndian.AppendUint64(nil, math.Float64bits(1))), []string{"1"}},
		{"<f4", string(binary.LittleEndian.AppendUint32(nil, math.Float32bits(0.1))), []string{"0.1"}},
	} {
		d, err := ndarray.ParseDtype(c.dtype)
		if err != nil {
			t.Fatal(err)
		}
		a, err := ndarray.New(d, []int64{int64(len(c.want))}, false, []byte(c.data))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := a.Texts(10); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, %v; want %q", c.dtype, got, err, c.want)
		}
		if _, err := a.Texts(len(c.want) - 1); err == nil {
			t.Errorf("%s: more texts than allowed", c.dtype)
		}
	}
	bad, err := ndarray.New(ndarray.Dtype{Kind: 'U', Size: 4}, []int64{1}, false, []byte("\x00\xd8\x00\x00"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bad.Texts(1); err == nil {
		t.Error("a lone surrogate was read")
	}
}

// FuzzNPY: any bytes end in an array whose elements can be read, or in an error.
func FuzzNPY(f *testing.F) {
	f.Add(npy("{'descr': '<i4', 'fortran_order': False, 'shape': (2, 1), }   \n", "\x01\x00\x00\x00\xff\xff\xff\xff"))
	f.Add(npy("{'descr': [('a', '<i8'), ('', '|V7')], 'fortran_order': True, 'shape': (1,), }\n", "123456789012345"))
	f.Add(npy("{'descr': '<U3', 'fortran_order': False, 'shape': (), }\n", "a\x00\x00\x00b\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := ndarray.ParseNPY(b)
		if err != nil || a.N == 0 {
			return
		}
		fields := []string{""}
		for _, f := range a.Type.Fields {
			fields = append(fields, f.Name)
		}
		for _, field := range fields {
			if get, err := a.Ints(field); err == nil {
				get(0)
				get(a.N - 1)
			}
			if get, err := a.Floats(field); err == nil {
				get(a.N - 1)
			}
		}
		_, _ = a.Texts(100)
	})
}
