package duckdb

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/treeline-ml/treeline/warehouse"
)

func TestReadableTypes(t *testing.T) {
	w := openTest(t, t.TempDir())
	if err := w.CreateSchema(t.Context(), "uat", "f"); err != nil {
		t.Fatal(err)
	}
	columns := []struct{ duck, value, want string }{
		{"BOOLEAN", "true", "true"},
		{"TINYINT", "-128", "-128"},
		{"SMALLINT", "-32768", "-32768"},
		{"INTEGER", "-2147483648", "-2147483648"},
		{"BIGINT", "-9223372036854775808", "-9223372036854775808"},
		{"UTINYINT", "255", "255"},
		{"USMALLINT", "65535", "65535"},
		{"UINTEGER", "4294967295", "4294967295"},
		{"UBIGINT", "18446744073709551615", "18446744073709551615"},
		{"FLOAT", "0.1", "0.1"},
		{"DOUBLE", "0.1", "0.1"},
		{"DECIMAL(9,3)", "-123456.789", "-123456.789"},
		{"DECIMAL(38,2)", "123456789012345678901234567890.12", "123456789012345678901234567890.12"},
		{"VARCHAR", "'grün'", "grün"},
		{"BLOB", "'ab'::BLOB", "YWI="},
		{"DATE", "DATE '1969-12-31'", "1969-12-31"},
		{"TIME", "TIME '12:34:56.789'", "12:34:56.789000"},
		{"TIMESTAMP", "TIMESTAMP '2026-01-02 03:04:05.000006'", "2026-01-02 03:04:05.000006Z"},
		{"TIMESTAMP_NS", "TIMESTAMP_NS '2026-01-02 03:04:05.000006007'", "2026-01-02 03:04:05.000006007Z"},
		{"TIMESTAMP_S", "TIMESTAMP_S '2026-01-02 03:04:05'", "2026-01-02 03:04:05Z"},
		{"TIMESTAMP_MS", "TIMESTAMP_MS '2026-01-02 03:04:05.006'", "2026-01-02 03:04:05.006Z"},
		{"TIMESTAMPTZ", "TIMESTAMPTZ '2026-01-02 03:04:05+02'", "2026-01-02 01:04:05Z"},
		{"UUID", "'00000000-0000-0000-0000-00000000000a'", "00000000-0000-0000-0000-00000000000a"},
		{"ENUM('low', 'high')", "'high'", "high"},
		{"JSON", `'{"a":1}'`, `{"a":1}`},
	}
	var defs, values []string
	for i, c := range columns {
		name := "c" + string(rune('a'+i))
		defs = append(defs, name+" "+c.duck)
		values = append(values, c.value)
	}
	for _, q := range []string{
		"CREATE TABLE uat.f.t (" + strings.Join(defs, ", ") + ")",
		"INSERT INTO uat.f.t VALUES (" + strings.Join(values, ", ") + ")",
		"INSERT INTO uat.f.t (ca) VALUES (NULL)",
	} {
		if err := w.Exec(t.Context(), q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	in := warehouse.Input{Table: warehouse.TableName{Catalog: "uat", Schema: "f", Table: "t"}}
	described, err := w.Describe(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := w.Snapshot(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	s, err := w.Read(t.Context(), warehouse.Query{Ref: ref})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	seen := make([]map[string]bool, len(columns))
	for {
		rec, err := s.Next(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range columns {
			if !arrow.TypeEqual(rec.Column(i).DataType(), described.Field(i).Type) {
				t.Errorf("%s was described as %s and read as %s", c.duck, described.Field(i).Type, rec.Column(i).DataType())
			}
			for r := range int(rec.NumRows()) {
				if seen[i] == nil {
					seen[i] = map[string]bool{}
				}
				seen[i][rec.Column(i).ValueStr(r)] = true
			}
		}
		rec.Release()
	}
	for i, c := range columns {
		if len(seen[i]) != 2 || !seen[i][c.want] || !seen[i]["(null)"] {
			t.Errorf("%s: values are %v, want %q and null", c.duck, seen[i], c.want)
		}
	}
}

func TestUnreadableTypes(t *testing.T) {
	w := openTest(t, t.TempDir())
	if err := w.CreateSchema(t.Context(), "uat", "f"); err != nil {
		t.Fatal(err)
	}
	if err := w.Exec(t.Context(), "CREATE TABLE uat.f.t AS SELECT 1 AS id, 1::HUGEINT AS huge, [1, 2] AS list, {'a': 1} AS st, INTERVAL 1 DAY AS span"); err != nil {
		t.Fatal(err)
	}
	in := warehouse.Input{Table: warehouse.TableName{Catalog: "uat", Schema: "f", Table: "t"}}
	_, err := w.Snapshot(t.Context(), in)
	if !errors.Is(err, warehouse.ErrColumn) {
		t.Fatalf("error is %v, want %v", err, warehouse.ErrColumn)
	}
	for _, name := range []string{`"huge"`, `"list"`, `"st"`, `"span"`} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("error %q does not name %s", err, name)
		}
	}
	if s, err := w.Describe(t.Context(), in); err != nil || s.NumFields() != 5 || s.Field(1).Type.ID() != arrow.STRUCT {
		t.Errorf("described %v, %v", s, err)
	}
	in.Columns = []string{"id"}
	if _, err := w.Snapshot(t.Context(), in); err != nil {
		t.Errorf("a column that can be read beside others: %v", err)
	}
}

func TestFits(t *testing.T) {
	for _, c := range []struct {
		want, have string
		ok         bool
	}{
		{"BIGINT", "BIGINT", true},
		{"BIGINT", "INTEGER", false},
		{"INTEGER", "BIGINT", true},
		{"INTEGER", "FLOAT", false},
		{"INTEGER", "DOUBLE", true},
		{"FLOAT", "DOUBLE", true},
		{"DOUBLE", "FLOAT", false},
		{"TIMESTAMP", "TIMESTAMP WITH TIME ZONE", true},
		{"VARCHAR", "UUID", false},
		{"UINTEGER", "INTEGER", false},
		{"UINTEGER", "BIGINT", true},
		{"BIGINT", "DOUBLE", false},
	} {
		if got := fits(c.want, c.have); got != c.ok {
			t.Errorf("fits(%s, %s) is %v", c.want, c.have, got)
		}
	}
}
