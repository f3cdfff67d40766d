package skops_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/treeline-ml/treeline/loader/internal/fault"
	"github.com/treeline-ml/treeline/loader/internal/limit"
	"github.com/treeline-ml/treeline/loader/internal/ndarray"
	"github.com/treeline-ml/treeline/loader/internal/pydata"
	"github.com/treeline-ml/treeline/loader/internal/skops"
)

func options() skops.Options {
	l := limit.Default()
	l.Objects = 1 << 16
	return skops.Options{Limits: l, Allow: func(module, name string) bool { return module == "sklearn.tree._classes" && name == "Safe" }}
}

// archive writes a zip; a name that begins with "deflate:" is compressed.
func archive(t testing.TB, members ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := 0; i < len(members); i += 2 {
		h := &zip.FileHeader{Name: members[i]}
		if name, ok := strings.CutPrefix(h.Name, "deflate:"); ok {
			h.Name, h.Method = name, zip.Deflate
		}
		m, err := w.CreateHeader(h)
		if err == nil {
			_, err = m.Write([]byte(members[i+1]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// node is a node of schema.json with more keys before its end.
func node(class, loader, rest string) string {
	i := strings.LastIndexByte(class, '.')
	return fmt.Sprintf(`{"__module__": %q, "__class__": %q, "__loader__": %q, "__id__": 1, "protocol": 2%s}`, class[:i], class[i+1:], loader, rest)
}

func scalar(json string) string {
	return fmt.Sprintf(`{"__module__": "builtins", "__class__": "str", "__loader__": "JsonNode", "content": %q, "is_json": true}`, json)
}

func array(file string) string {
	return node("numpy.ndarray", "NdArrayNode", `, "type": "numpy", "file": "`+file+`"`)
}

func npy() string {
	header := "{'descr': '<i8', 'fortran_order': False, 'shape': (1,), }\n"
	return "\x93NUMPY\x01\x00" + string([]byte{byte(len(header)), 0}) + header + "\x05\x00\x00\x00\x00\x00\x00\x00"
}

func TestScalars(t *testing.T) {
	content := ""
	for i, text := range []string{"null", "true", "12", "-0.5", "1e999", `"grö \"x\""`, "123456789012345678901234567890", "[1, 2]"} {
		content += fmt.Sprintf(`"k%d": %s, `, i, scalar(text))
	}
	content = strings.Replace(content, scalar("1e999"), scalar("-Infinity"), 1)
	file := archive(t, "schema.json", node("builtins.dict", "DictNode", `, "content": {`+strings.TrimSuffix(content, ", ")+`}`))
	v, _, err := skops.Load(file, options())
	d, ok := v.(*pydata.Dict)
	if err != nil || !ok || len(d.Values) != 8 {
		t.Fatalf("%v, %v", v, err)
	}
	if d.Values[0] != nil || d.Values[1] != true || d.Values[2] != int64(12) || d.Values[3] != -0.5 || d.Values[5] != `grö "x"` {
		t.Errorf("%#v", d.Values)
	}
	if f, ok := d.Values[4].(float64); !ok || f > -1e308 {
		t.Errorf("-Infinity is %v", d.Values[4])
	}
}

// TestHostile: what is refused or damaged, by what it says.
func TestHostile(t *testing.T) {
	os := func(loader, rest string) []byte { return archive(t, "schema.json", node("os.system", loader, rest)) }
	safe := func(content string) []byte {
		return archive(t, "schema.json", node("sklearn.tree._classes.Safe", "ObjectNode", `, "content": `+content), "12.npy", npy())
	}
	dict := func(key, value string) string {
		return node("builtins.dict", "DictNode", `, "content": {"`+key+`": `+value+`}`)
	}
	twice := archive(t, "schema.json", "{}", "schema.json", "{}")
	encrypted := archive(t, "schema.json", "{}")
	for i := 0; i < 2; i++ { // general purpose bit 0, in the central directory too
		at := []int{bytes.Index(encrypted, []byte("PK\x03\x04")) + 6, bytes.Index(encrypted, []byte("PK\x01\x02")) + 8}[i]
		encrypted[at] |= 1
	}
	damaged := safe(dict("a", array("12.npy")))
	damaged[bytes.Index(damaged, []byte("\x93NUMPY"))+70] ^= 1
	for _, c := range []struct {
		name string
		file []byte
		kind error
		text string
	}{
		{"function", os("FunctionNode", ""), fault.ErrNotSupported, "os.system"},
		{"type", os("TypeNode", ""), fault.ErrNotSupported, "os.system"},
		{"object", os("ObjectNode", ""), fault.ErrNotSupported, "os.system"},
		{"reduce", os("ConstructorFromReduceNode", ""), fault.ErrNotSupported, "os.system"},
		{"tree", os("TreeNode", `, "__reduce__": {"args": {}}`), fault.ErrNotSupported, "os.system"},
		{"method", os("MethodNode", ""), fault.ErrNotSupported, "os.system"},
		{"partial", os("PartialNode", ""), fault.ErrNotSupported, "os.system"},
		{"operator", os("OperatorFuncNode", ""), fault.ErrNotSupported, "os.system"},
		{"dict of a class", os("DictNode", `, "content": {}`), fault.ErrNotSupported, "os.system"},
		{"another node", os("EvilNode", ""), fault.ErrNotSupported, "EvilNode"},
		{"inside", safe(dict("a", node("os.system", "FunctionNode", ""))), fault.ErrNotSupported, "os.system"},
		{"path", safe(dict("a", array("../../etc/passwd"))), fault.ErrMalformed, "in the member"},
		{"absolute path", safe(dict("a", array("/12.npy"))), fault.ErrMalformed, "in the member"},
		{"schema as array", safe(dict("a", array("schema.json"))), fault.ErrMalformed, "in the member"},
		{"no member", safe(dict("a", array("13.npy"))), fault.ErrMalformed, `no member "13.npy"`},
		{"checksum", damaged, fault.ErrMalformed, "damaged"},
		{"no zip", []byte("PK\x03\x04nothing"), fault.ErrMalformed, "zip archive"},
		{"two schemas", twice, fault.ErrMalformed, "two members"},
		{"encrypted", encrypted, fault.ErrNotSupported, "encrypted"},
		{"no schema", archive(t, "a", "b"), fault.ErrMalformed, "no member"},
		{"no protocol", archive(t, "schema.json", "{}"), fault.ErrMalformed, "states no protocol"},
		{"protocol 3", archive(t, "schema.json", `{"protocol": 3}`), fault.ErrNotSupported, "protocol 3"},
		{"protocol true", archive(t, "schema.json", `{"protocol": true}`), fault.ErrMalformed, "states no protocol"},
		{"list", archive(t, "schema.json", `[]`), fault.ErrMalformed, "no JSON object"},
		{"cut JSON", archive(t, "schema.json", `{"a": [`), fault.ErrMalformed, "ends inside the JSON"},
		{"two documents", archive(t, "schema.json", `{} {}`), fault.ErrMalformed, "text after"},
		{"deep JSON", archive(t, "schema.json", strings.Repeat("[", 1<<20)), fault.ErrLimit, "Limits.NestingDepth"},
		{"much JSON", archive(t, "schema.json", "["+strings.Repeat("0,", 1<<20)+"0]"), fault.ErrLimit, "Limits.Objects"},
		{"bad scalar", safe(dict("a", scalar("__import__('os')"))), fault.ErrMalformed, "a scalar"},
		{"node that is none", safe(dict("a", "7")), fault.ErrMalformed, "no JSON object"},
	} {
		v, _, err := skops.Load(c.file, options())
		if err == nil || !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, %v; want %q", c.name, v, err, c.text)
		}
	}
}

// TestBombs: members that become far more than they are, and arrays that are named many times.
func TestBombs(t *testing.T) {
	bomb := archive(t, "schema.json", node("sklearn.tree._classes.Safe", "ObjectNode", `, "content": `+array("12.npy")),
		"deflate:12.npy", npy()+strings.Repeat("\x00", 100<<20))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _, err := skops.Load(bomb, options())
	runtime.ReadMemStats(&after)
	if !errors.Is(err, fault.ErrLimit) || !strings.Contains(err.Error(), "Limits.Ratio") || after.TotalAlloc-before.TotalAlloc > 16<<20 {
		t.Errorf("a bomb of %d bytes: %v, %d bytes taken", len(bomb), err, after.TotalAlloc-before.TotalAlloc)
	}
	items := strings.Repeat(array("12.npy")+",", 1000)
	file := archive(t, "schema.json", node("builtins.list", "ListNode", `, "content": [`+strings.TrimSuffix(items, ",")+`]`), "deflate:12.npy", npy())
	v, expanded, err := skops.Load(file, options())
	list, ok := v.(*pydata.List)
	if err != nil || !ok || len(list.Items) != 1000 || list.Items[0] != list.Items[999] {
		t.Fatalf("%v", err)
	}
	if _, ok := list.Items[0].(*ndarray.Array); !ok || expanded > 1<<20 {
		t.Errorf("%d bytes were expanded", expanded)
	}
	// A size that the directory understates does not let more through.
	lie := archive(t, "schema.json", `{"protocol": 2}`, "deflate:12.npy", strings.Repeat("\x00", 1<<20))
	at := bytes.LastIndex(lie, []byte("PK\x01\x02")) + 24
	copy(lie[at:], []byte{1, 0, 0, 0})
	if _, _, err := skops.Load(lie, options()); err == nil {
		t.Error("a schema without a class was read")
	}
}

// FuzzLoad: any bytes end in a value or an error, in bounded memory.
func FuzzLoad(f *testing.F) {
	f.Add(archive(f, "schema.json", node("sklearn.tree._classes.Safe", "ObjectNode", `, "content": `+array("12.npy")), "12.npy", npy()))
	f.Add(archive(f, "deflate:schema.json", scalar("12")))
	if b, err := os.ReadFile(filepath.Join("..", "..", "..", "internal", "testmodels", "corpus", "scikit-learn-1.9.1", "dt-leaf", "model.skops")); err == nil {
		f.Add(b)
	} else {
		f.Fatal(err)
	}
	l := limit.Limits{Bytes: 1 << 20, Objects: 1 << 12, NestingDepth: 32}.OrDefault()
	f.Fuzz(func(t *testing.T, b []byte) {
		_, expanded, err := skops.Load(b, skops.Options{Limits: l, Allow: func(module, _ string) bool { return strings.HasPrefix(module, "sklearn.tree.") }})
		if err == nil && expanded > 64<<20 {
			t.Errorf("%d bytes", expanded)
		}
	})
}

// FuzzSchema: the same with the document alone, which the checksums of a zip keep a fuzzer from.
func FuzzSchema(f *testing.F) {
	f.Add(node("sklearn.tree._classes.Safe", "ObjectNode", `, "content": `+array("12.npy")))
	f.Add(node("builtins.list", "ListNode", `, "content": [`+scalar("1")+`]`))
	f.Add(node("numpy.ndarray", "NdArrayNode", `, "type": "json", "shape": `+node("builtins.tuple", "TupleNode", `, "content": [`+scalar("1")+`]`)+`, "content": [`+scalar(`"a"`)+`]`))
	f.Fuzz(func(t *testing.T, schema string) {
		v, _, err := skops.Load(archive(t, "schema.json", schema, "12.npy", npy()), options())
		if o, ok := v.(*pydata.Object); err == nil && ok && o.Class.Is("os.system") {
			t.Error("os.system was let through")
		}
	})
}
