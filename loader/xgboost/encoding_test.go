package xgboost_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/treeline-ml/treeline/loader"
	"github.com/treeline-ml/treeline/loader/xgboost"
)

// TestJSONText: white space, escapes and number forms that other writers use.
func TestJSONText(t *testing.T) {
	text := stump().text(t)
	want, err := decode(text)
	if err != nil {
		t.Fatal(err)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, []byte(text), "\t", "  "); err != nil {
		t.Fatal(err)
	}
	for name, same := range map[string]string{
		"indented":       indented.String() + "\r\n",
		"numbers":        strings.Replace(text, "[0.5,1,2]", "[5E-1,1E+0,2.0e00]", 1),
		"booleans":       strings.Replace(text, `"default_left":[1,0,0]`, `"default_left":[true,false,false]`, 1),
		"escaped key":    strings.Replace(text, `"split_type"`, `"split\u005ftype"`, 1),
		"unknown values": strings.Replace(text, `"version"`, `"new":[{"a":null},[[]],"x\\\"",-1.5e3,NaN,Infinity],"version"`, 1),
	} {
		if got, err := decode(same); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	escapes := strings.Replace(text, `"a"`, `"\"\\\/\b\f\n\r\t\u00e9\ud83c\udf32\ud83cx é"`, 1)
	got, err := decode(escapes)
	if err != nil {
		t.Fatal(err)
	}
	if name := got.Features[0].Name; name != "\"\\/\b\f\n\r\té🌲\uFFFDx é" {
		t.Errorf("name %q", name)
	}
	for name, bad := range map[string]string{
		"comma":           strings.Replace(text, "[0.5,1,2]", "[0.5,1,2,]", 1),
		"no comma":        strings.Replace(text, "[0.5,1,2]", "[0.5 1,2]", 1),
		"hexadecimal":     strings.Replace(text, "[0.5,1,2]", "[0x1p-1,1,2]", 1),
		"word":            strings.Replace(text, "[0.5,1,2]", "[half,1,2]", 1),
		"lower-case nan":  strings.Replace(text, "[0.5,1,2]", "[nan,1,2]", 1),
		"fraction":        strings.Replace(text, "[1,-1,-1]", "[1.0,-1,-1]", 1),
		"control":         strings.Replace(text, `"a"`, "\"a\x01\"", 1),
		"escape":          strings.Replace(text, `"a"`, `"\q"`, 1),
		"half a pair":     strings.Replace(text, `"a"`, `"\ud83c\u0041"`, 1),
		"bad hexadecimal": strings.Replace(text, `"a"`, `"\u00g0"`, 1),
		"missing colon":   strings.Replace(text, `"version":`, `"version"`, 1),
		"unquoted key":    strings.Replace(text, `"version"`, `version`, 1),
		"closed wrongly":  text[:len(text)-1] + "]",
		"another":         text + text,
	} {
		if _, err := decode(bad); err == nil || !strings.Contains(err.Error(), "byte") {
			t.Errorf("%s: %v, want an error with its byte", name, err)
		}
	}
}

// writer spells values as UBJSON in one of the forms that the format allows.
type writer struct {
	bytes.Buffer

	form string
}

func (w *writer) length(n int) {
	switch w.form {
	case "counted", "typed":
		w.WriteByte('L')
		_ = binary.Write(w, binary.BigEndian, int64(n))
	case "open":
		w.WriteByte('U')
		w.WriteByte(byte(n))
	}
}

func (w *writer) value(v any) {
	switch v := v.(type) {
	case doc:
		w.WriteByte('{')
		for k, x := range v {
			w.length(len(k))
			w.WriteString(k)
			w.value(x)
		}
		w.WriteByte('}')
	case string:
		w.WriteByte('S')
		w.length(len(v))
		w.WriteString(v)
	case int:
		w.WriteByte('I')
		_ = binary.Write(w, binary.BigEndian, int16(v))
	case float64:
		w.WriteByte('D')
		_ = binary.Write(w, binary.BigEndian, v)
	case []int:
		array(w, v, 'l', func(x int) any { return int32(x) })
	case []float64:
		array(w, v, 'd', func(x float64) any { return float32(x) })
	case []string:
		array(w, v, 0, nil)
	case []doc:
		array(w, v, 0, nil)
	}
}

func array[T any](w *writer, values []T, marker byte, native func(T) any) {
	w.WriteByte('[')
	if w.form == "typed" && marker != 0 {
		w.WriteByte('$')
		w.WriteByte(marker)
	}
	if w.form != "open" {
		w.WriteByte('#')
		w.length(len(values))
	}
	for _, v := range values {
		if w.form == "typed" && marker != 0 {
			_ = binary.Write(w, binary.BigEndian, native(v))
			continue
		}
		if w.form == "open" {
			w.WriteByte('N') // a no-op
		}
		w.value(v)
	}
	if w.form == "open" {
		w.WriteByte(']')
	}
}

// TestUBJSONForms: typed, counted and open arrays, wide and narrow lengths, doubles and 16-bit integers.
func TestUBJSONForms(t *testing.T) {
	want, err := decode(stump().text(t))
	if err != nil {
		t.Fatal(err)
	}
	want.Provenance.Format = xgboost.FormatUBJSON
	for _, form := range []string{"typed", "counted", "open"} {
		w := &writer{form: form}
		w.value(stump())
		got, err := xgboost.DecodeUBJSON(&w.Buffer, loader.Limits{})
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v", form, err)
		}
	}
}

// TestUBJSONNumbers: every width of number as the base score.
func TestUBJSONNumbers(t *testing.T) {
	w := &writer{form: "counted"}
	d := stump()
	d.at(param)["base_score"] = "BASE"
	w.value(d)
	spelled := "SL\x00\x00\x00\x00\x00\x00\x00\x04BASE"
	if strings.Count(w.String(), spelled) != 1 {
		t.Fatal("the place of the base score is not unique")
	}
	be := func(marker byte, v any) string {
		b := bytes.NewBuffer([]byte{marker})
		_ = binary.Write(b, binary.BigEndian, v)
		return b.String()
	}
	for spelling, want := range map[string]float64{
		be('i', int8(-3)): -3, be('U', uint8(200)): 200, be('I', int16(-300)): -300, be('l', int32(70000)): 70000,
		be('L', int64(-5)): -5, be('d', float32(0.5)): 0.5, be('D', 0.25): 0.25,
		"[" + be('d', float32(1.5)) + "]": 1.5, "[$d#U\x01" + be('d', float32(2.5))[1:]: 2.5,
	} {
		text := strings.Replace(w.String(), spelled, spelling, 1)
		m, err := xgboost.DecodeUBJSON(strings.NewReader(text), loader.Limits{})
		if err != nil || m.Base[0] != want || math.IsNaN(m.Base[0]) {
			t.Errorf("%q: %v", spelling, err)
		}
	}
	for _, bad := range []string{"Z", "{}", "[]", "H", "X", "SU\x00", be('d', float32(math.NaN()))} {
		text := strings.Replace(w.String(), spelled, bad, 1)
		if _, err := xgboost.DecodeUBJSON(strings.NewReader(text), loader.Limits{}); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}
