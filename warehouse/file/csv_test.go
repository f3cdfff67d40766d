package file

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
)

func csvFileWith(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "t.csv")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCSVTypesAreInferredFromAllRows(t *testing.T) {
	path := csvFileWith(t, "\xef\xbb\xbfint,float,bool,code,text,none,big,mixed\r\n1,1,true,007,a,,9223372036854775808,true\r\n\r\n-2,2.5,False,12,,,1,\r\n,1e3,,13,\"b\",,2,x\r\n")
	recs, s := readAll(t, path, Options{Alloc: checked(t)})
	want := "int64 float64 bool utf8 utf8 float64 float64 utf8"
	var types []string
	for _, f := range s.Fields() {
		types = append(types, f.Type.String())
	}
	if got := strings.Join(types, " "); got != want {
		t.Errorf("types %s, want %s", got, want)
	}
	if s.Field(0).Name != "int" {
		t.Errorf("first column %q: the byte order mark belongs to it", s.Field(0).Name)
	}
	rows := values(recs)
	if len(rows) != 3 || !strings.HasPrefix(rows[2], "<null>|4652007308841189376|<null>|13|b|<null>|") {
		t.Errorf("rows %q", rows)
	}
}

func TestCSVTypesAreInferredOverAllFiles(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a.csv": "x,y\n1,1\n", "b.csv": "x,y\n1.5,\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	info, err := Stat(context.Background(), filepath.Join(dir, "*.csv"), Options{})
	if err != nil || info.Rows != 2 || info.Schema.Field(0).Type.ID() != arrow.FLOAT64 || info.Schema.Field(1).Type.ID() != arrow.INT64 {
		t.Errorf("%+v: %v", info, err)
	}
	recs, _ := readAll(t, filepath.Join(dir, "*.csv"), Options{})
	if len(values(recs)) != 2 {
		t.Errorf("rows %v", values(recs))
	}
}

func TestCSVHint(t *testing.T) {
	path := csvFileWith(t, "id,x,c,d\n007,1,red,2024-02-03\n8,,blue,\n")
	hint := arrow.NewSchema([]arrow.Field{
		{Name: "id", Type: arrow.BinaryTypes.String},
		{Name: "x", Type: arrow.PrimitiveTypes.Float32},
		{Name: "c", Type: dictText},
		{Name: "d", Type: arrow.FixedWidthTypes.Date32},
		{Name: "other", Type: arrow.PrimitiveTypes.Int8},
	}, nil)
	recs, s := readAll(t, path, Options{Hint: hint, Alloc: checked(t)})
	for i := range 4 {
		if !arrow.TypeEqual(s.Field(i).Type, hint.Field(i).Type) {
			t.Errorf("column %v, want %v", s.Field(i), hint.Field(i))
		}
	}
	if got := fmt.Sprint(values(recs)); got != "[007|4607182418800017408|red|19756 8|<null>|blue|<null>]" {
		t.Errorf("rows %s", got)
	}
}

func TestCSVErrorsHaveLineNumbers(t *testing.T) {
	number := arrow.NewSchema([]arrow.Field{{Name: "x", Type: arrow.PrimitiveTypes.Float64}, {Name: "n", Type: arrow.PrimitiveTypes.Int64}, {Name: "b", Type: arrow.FixedWidthTypes.Boolean}, {Name: "i", Type: arrow.PrimitiveTypes.Int8}}, nil)
	for name, tc := range map[string]struct {
		text, want string
		hint       *arrow.Schema
	}{
		"few fields":    {"a,b\n1,2\n3\n", "line 3: 1 fields, the header has 2", nil},
		"many fields":   {"a,b\n1,2,3\n", "line 2: 3 fields", nil},
		"after quotes":  {"a,b\n1,\"x\ny\"\n1,\"x\"y\n", "line 4: text after a closing quote", nil},
		"bare quote":    {"a\n1\n\nx\"y\n", "line 4: a quote inside a field", nil},
		"never closed":  {"a,b\n1,2\n3,\"x\n\n\n", "line 3: a quote is never closed", nil},
		"no name":       {"a,,c\n", "line 1: column 2 has no valid name", nil},
		"number":        {"x\n1\n\"2\n3\"\nzz\n", `line 3, column "x": not a number`, number},
		"integer":       {"n\n1\n1.5\n", `line 3, column "n": not an integer`, number},
		"bool":          {"b\n1\nmaybe\n", `line 3, column "b": neither true nor false`, number},
		"empty number":  {"x,b\n1,\n\"\",\n", `line 3, column "x": quoted empty text ""`, number},
		"empty integer": {"n,b\n,\n\"\",\n", `line 3, column "n": quoted empty text ""`, number},
		"empty bool":    {"b,n\n\"\",\n", `line 2, column "b": quoted empty text ""`, number},
		"other type":    {"i\n1\n300\n", `line 3, column "i": no value of type int8`, number},
		"not UTF-8":     {"t\nok\n\xff\xfe\n", `line 3, column "t": text that is not valid UTF-8`, nil},
		"record length": {"a\n\"" + strings.Repeat("xxxxxxxxxxxxxxx\n", maxCSVRecord/16+2) + "\"\n", "a record of more than", nil},
		"line length":   {"a\n" + strings.Repeat("x", maxCSVRecord+1<<20), "longer than", nil},
	} {
		_, _, err := tryRead(csvFileWith(t, tc.text), Options{Hint: tc.hint})
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}

func TestCSVQuotedEmptyTextMakesANumberColumnText(t *testing.T) {
	path := csvFileWith(t, "n,t,u\n1,a,\"\"\n\"\",\"\",\"\"\n,,\n")
	recs, s := readAll(t, path, Options{Alloc: checked(t)})
	if got, want := fmt.Sprint(values(recs)), "[1|a| || <null>|<null>|<null>]"; got != want {
		t.Errorf("rows %s, want %s", got, want)
	}
	_, again := readAll(t, path, Options{Hint: s, Alloc: checked(t)})
	for i, want := range []string{"line 3 has a quoted empty text", "", "line 2 has a quoted empty text"} {
		for _, s := range []*arrow.Schema{s, again} {
			f := s.Field(i)
			why, _ := f.Metadata.GetValue(whyText)
			if f.Type.ID() != arrow.STRING || !strings.HasPrefix(why, want) || (want == "") != (why == "") {
				t.Errorf("column %v says %q, want %q", f, why, want)
			}
		}
	}
}

func TestCSVQuotedEmptyTextNamesItsFile(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a.csv": "x\n1\n", "b.csv": "x\n2\n\"\"\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, s := readAll(t, filepath.Join(dir, "*.csv"), Options{Alloc: checked(t)})
	if why, _ := s.Field(0).Metadata.GetValue(whyText); !strings.HasPrefix(why, "b.csv: line 3 has") {
		t.Errorf("column %v says %q, want b.csv: line 3", s.Field(0), why)
	}
}

func TestParquetColumnOfNoneIsNull(t *testing.T) {
	recs, s := readAll(t, "testdata/nulls.parquet", Options{BatchRows: 7, Alloc: checked(t)})
	if f := s.Field(2); f.Name != "none" || f.Type.ID() != arrow.NULL {
		t.Errorf("column %v, want none of type null", f)
	}
	for _, r := range recs {
		if c := r.Column(2); c.NullN() != int(r.NumRows()) {
			t.Errorf("%d nulls in %d rows", c.NullN(), r.NumRows())
		}
	}
}
