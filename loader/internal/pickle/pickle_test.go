package pickle_test

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/treeline-ml/treeline/loader/internal/fault"
	"github.com/treeline-ml/treeline/loader/internal/pickle"
	"github.com/treeline-ml/treeline/loader/internal/pydata"
)

// onlySafe allows what the tests need.
func onlySafe(module, name string) bool {
	return module == "collections" && name == "OrderedDict" || module == "numpy" && name == "ndarray"
}

func load(text string) (pydata.Value, error) {
	r := pickle.NewReader([]byte(text), pickle.Options{Allow: onlySafe, Objects: 1 << 16, Depth: 16})
	v, err := r.Load()
	if err == nil && r.Rest() > 0 {
		err = fmt.Errorf("%d bytes are left", r.Rest())
	}
	return v, err
}

// TestValues: what CPython's pickle.dumps writes for plain values (protocols 2 to 5; the bytes are CPython 3.12's).
func TestValues(t *testing.T) {
	for _, c := range []struct {
		bytes string
		want  pydata.Value
	}{
		{"\x80\x02N.", nil},
		{"\x80\x02\x88.", true},
		{"\x80\x04K\x07.", int64(7)},
		{"\x80\x04M\xe8\x03.", int64(1000)},
		{"\x80\x04J\xff\xff\xff\xff.", int64(-1)},
		{"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80.", int64(math.MinInt64)},
		{"\x80\x02\x8a\x05\x00\x00\x00\x00\x01.", int64(1 << 32)},
		{"\x80\x02\x8a\x02\x00\x80.", int64(-32768)},
		{"\x80\x02\x8a\x00.", int64(0)},
		{"\x80\x04\x95\x0a\x00\x00\x00\x00\x00\x00\x00G?\xf8\x00\x00\x00\x00\x00\x00.", 1.5},
		{"\x80\x04\x95\x08\x00\x00\x00\x00\x00\x00\x00\x8c\x04gr\xc3\xb6\x94.", "grö"},
		{"\x80\x02X\x01\x00\x00\x00aq\x00.", "a"},
		{"\x80\x04C\x02\x00\xff\x94.", []byte{0, 255}},
		{"\x80\x05\x96\x02\x00\x00\x00\x00\x00\x00\x00ab\x94.", []byte("ab")},
		{"\x80\x02]q\x00(K\x01K\x02e.", &pydata.List{Items: []pydata.Value{int64(1), int64(2)}}},
		{"\x80\x02K\x01K\x02\x86q\x00.", &pydata.Tuple{Items: []pydata.Value{int64(1), int64(2)}}},
		{"\x80\x04\x8f\x94(K\x01\x90.", &pydata.List{Items: []pydata.Value{int64(1)}}},
		{
			"\x80\x02}q\x00(X\x01\x00\x00\x00aK\x01X\x01\x00\x00\x00bNu.",
			&pydata.Dict{Keys: []pydata.Value{"a", "b"}, Values: []pydata.Value{int64(1), nil}},
		},
		{
			"\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01X\x01\x00\x00\x00aK\x01s.",
			&pydata.Object{
				Class: &pydata.Global{Module: "collections", Name: "OrderedDict"},
				Pairs: pydata.Dict{Keys: []pydata.Value{"a"}, Values: []pydata.Value{int64(1)}},
			},
		},
	} {
		got, err := load(c.bytes)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q is %#v, %v; want %#v", c.bytes, got, err, c.want)
		}
	}
	long, err := load("\x80\x02\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01.")
	if _, ok := long.(*pydata.Long); !ok || err != nil {
		t.Errorf("2**64 is %#v, %v", long, err)
	}
}

// TestRefusedByName: every way in which a pickle can name something to run ends in an error with that name.
func TestRefusedByName(t *testing.T) {
	short := func(s string) string { return "\x8c" + string(rune(len(s))) + s }
	for _, c := range []struct{ name, text, want string }{
		{"REDUCE", "\x80\x02cposix\nsystem\nX\x02\x00\x00\x00id\x85R.", "not supported: posix.system"},
		{"STACK_GLOBAL", "\x80\x04" + short("os") + short("system") + "\x93" + short("id") + "\x85R.", "not supported: os.system"},
		{"INST", "\x80\x02(X\x02\x00\x00\x00idios\nsystem\n.", "not supported: os.system"},
		{"OBJ", "\x80\x02(cos\nsystem\nX\x02\x00\x00\x00ido.", "not supported: os.system"},
		{"NEWOBJ", "\x80\x02csubprocess\nPopen\nX\x02\x00\x00\x00id\x85\x81.", "not supported: subprocess.Popen"},
		{"NEWOBJ_EX", "\x80\x04" + short("subprocess") + short("Popen") + "\x93)}\x92.", "not supported: subprocess.Popen"},
		{"eval", "\x80\x02c__builtin__\neval\nX\x01\x00\x00\x001\x85R.", "not supported: builtins.eval"},
		{"exec", "\x80\x03cbuiltins\nexec\nX\x01\x00\x00\x001\x85R.", "not supported: builtins.exec"},
		{"getattr", "\x80\x03cbuiltins\ngetattr\ncos\nenviron\nX\x03\x00\x00\x00get\x86R.", "not supported: builtins.getattr"},
		{"import", "\x80\x03cbuiltins\n__import__\nX\x02\x00\x00\x00os\x85R.", "not supported: builtins.__import__"},
		{"dotted name", "\x80\x04" + short("collections") + short("OrderedDict.update") + "\x93.", "not supported: collections.OrderedDict.update"},
		{"dotted module", "\x80\x02ccollections.abc\nOrderedDict\n.", "not supported: collections.abc.OrderedDict"},
		{"copy_reg", "\x80\x02ccopy_reg\nadd_extension\n.", "not supported: copyreg.add_extension"},
		{"attrgetter", "\x80\x02coperator\nattrgetter\n.", "not supported: operator.attrgetter"},
		{"not called", "\x80\x02cos\nsystem\n0N.", "not supported: os.system"},
		{"BUILD of a name", "\x80\x02cnumpy\nndarray\n}b.", "not supported: setting the state of the name numpy.ndarray"},
		{"BUILD of a dict", "\x80\x02}}b.", "not supported: setting the state of a dict"},
		{"calling a result", "\x80\x02cnumpy\nndarray\n)R)R.", "not supported: calling a numpy.ndarray"},
		{"calling a string", "\x80\x02X\x02\x00\x00\x00id)R.", "not supported: calling a str"},
		{"EXT1", "\x80\x02\x82\x01.", "not supported: the extension registry"},
		{"EXT2", "\x80\x02\x83\x01\x00.", "not supported: the extension registry"},
		{"EXT4", "\x80\x02\x84\x01\x00\x00\x00.", "not supported: the extension registry"},
		{"PERSID", "\x80\x02P1\n.", "not supported: persistent ids"},
		{"BINPERSID", "\x80\x02K\x01Q.", "not supported: persistent ids"},
		{"NEXT_BUFFER", "\x80\x05\x97.", "not supported: out-of-band buffers"},
		{"READONLY_BUFFER", "\x80\x05\x98.", "not supported: out-of-band buffers"},
		{"protocol 0", "cos\nsystem\n(S'id'\ntR.", "not supported: pickle protocols other than 2 to 5"},
		{"protocol 1", "\x80\x01N.", "not supported: pickle protocols other than 2 to 5"},
		{"protocol 6", "\x80\x06N.", "not supported: pickle protocols other than 2 to 5"},
	} {
		v, err := load(c.text)
		if err == nil || !errors.Is(err, fault.ErrNotSupported) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v; want %q", c.name, v, err, c.want)
		}
	}
}

// TestMalformed: opcodes that do not fit what is there.
func TestMalformed(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "ends inside the pickle"},
		{"\x80\x02", "ends inside the pickle"},
		{"\x80\x02N", "ends inside the pickle"},
		{"\x80\x02.", "too little on the stack"},
		{"\x80\x02(.", "too little on the stack"},
		{"\x80\x02N(.", "too little on the stack"},
		{"\x80\x02t.", "no mark"},
		{"\x80\x02R.", "too little"},
		{"\x80\x02h\x05.", "memo entry 5 is not there"},
		{"\x80\x02j\xff\xff\xff\xff.", "memo entry 4294967295 is not there"},
		{"\x80\x02\x94.", "too little"},
		{"\x80\x02NNa.", "items are added to None"},
		{"\x80\x02](K\x01u.", "items are added to a list"},
		{"\x80\x02}(K\x01u.", "a dict of 1 keys and values"},
		{"\x80\x02cnumpy\nndarray\nNR.", "called with None"},
		{"\x80\x02cnumpy\nndarray\n)\x81}b}b.", "set twice"},
		{"\x80\x02X\x02\x00\x00\x00\xff\xfe.", "not UTF-8"},
		{"\x80\x02cnumpy", "ends inside a name"},
		{"\x80\x02c" + strings.Repeat("x", 600) + "\n", "a name of more than 512 bytes"},
		{"\x80\x04K\x01K\x02\x93.", "STACK_GLOBAL of an int and an int"},
		{"\x80\x02\xff.", "opcode 0xff is none"},
		{"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f.", "ends inside a frame"},
		{"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xff.", "ends inside a string"},
		{"\x80\x04\x8e\x00\x00\x00\x00\x00\x00\x00\x80.", "ends inside bytes"},
		{"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x7f.", "ends inside bytes"},
		{"\x80\x02\x8b\xff\xff\xff\xff.", "ends inside an integer"},
		{"\x80\x02X\xff\xff\xff\x7fa.", "ends inside a string"},
		{"\x80\x02B\xff\xff\xff\xffa.", "ends inside bytes"},
	} {
		v, err := load(c.text)
		if err == nil || !errors.Is(err, fault.ErrMalformed) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, %v; want %q", c.text, v, err, c.want)
		}
	}
}

// TestBombs: small inputs that say or build something huge, or that contain themselves, take little memory.
func TestBombs(t *testing.T) {
	laughs := "\x80\x02]q\x00"
	for i := range 60 { // each list holds the one before ten times
		laughs += fmt.Sprintf("](%seq%c", strings.Repeat("h"+string(rune(i)), 10), i+1)
	}
	laughs += "."
	many := "\x80\x04N" + strings.Repeat("\x94", 1<<20) + "."
	for _, c := range []struct {
		name, text string
		kind       error // nil: it is read
	}{
		{"billion laughs", laughs, nil},
		{"a list in itself", "\x80\x02]q\x00h\x00a.", nil},
		{"a dict in itself", "\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s.", nil},
		{"memo", many, fault.ErrLimit},
		{"sparse memo", "\x80\x02N" + strings.Repeat("r\xff\xff\xff\xff", 1000) + ".", nil},
		{"containers", "\x80\x02" + strings.Repeat("}", 1<<20) + ".", fault.ErrLimit},
		{"marks", "\x80\x02" + strings.Repeat("(", 1<<20) + ".", fault.ErrLimit},
		{"tuples in tuples", "\x80\x02)" + strings.Repeat("\x85", 1<<20) + ".", fault.ErrLimit},
		{"copies", "\x80\x02)" + strings.Repeat("2", 1<<20) + ".", fault.ErrLimit},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := load(c.text)
		runtime.ReadMemStats(&after)
		if c.kind == nil && err != nil || c.kind != nil && !errors.Is(err, c.kind) {
			t.Errorf("%s: %v", c.name, err)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 64<<20 {
			t.Errorf("%s took %d bytes", c.name, used)
		}
	}
}

// TestNested: a pickle inside a pickle, as joblib stores objects, counts for the depth.
func TestNested(t *testing.T) {
	inner := func(r *pickle.Reader, o *pydata.Object) error {
		v, err := r.Load()
		o.Payload = v
		return err
	}
	one := "\x80\x02cnumpy\nndarray\n)\x81}b"
	for depth, ok := range map[int]bool{1: true, 3: true, 5: false, 10000: false} {
		text := strings.Repeat(one, depth) + "\x80\x02N." + strings.Repeat(".", depth)
		r := pickle.NewReader([]byte(text), pickle.Options{Allow: onlySafe, Objects: 1 << 20, Depth: 5, Built: inner})
		if _, err := r.Load(); (err == nil) != ok || err != nil && !errors.Is(err, fault.ErrLimit) {
			t.Errorf("depth %d: %v", depth, err)
		}
	}
}

// FuzzLoad: any bytes end in a value or in a placed error; no name that is not allowed is in it.
func FuzzLoad(f *testing.F) {
	f.Add([]byte("\x80\x02}q\x00(X\x01\x00\x00\x00aK\x01X\x01\x00\x00\x00bNu."))
	f.Add([]byte("\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01X\x01\x00\x00\x00aK\x01s."))
	f.Add([]byte("\x80\x04\x95\x0a\x00\x00\x00\x00\x00\x00\x00G?\xf8\x00\x00\x00\x00\x00\x00."))
	f.Add([]byte("\x80\x02cposix\nsystem\nX\x02\x00\x00\x00id\x85R."))
	f.Add([]byte("\x80\x04]\x94(K\x01\x8c\x01a\x94h\x00e."))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := pickle.NewReader(b, pickle.Options{Allow: onlySafe, Objects: 1 << 12, Depth: 8})
		v, err := r.Load()
		if err != nil {
			if len(err.Error()) > 2000 {
				t.Errorf("a long error: %.100v", err)
			}
			return
		}
		if o, ok := v.(*pydata.Object); ok && !onlySafe(o.Class.Module, o.Class.Name) {
			t.Errorf("an object of %s", o.Class)
		}
	})
}
