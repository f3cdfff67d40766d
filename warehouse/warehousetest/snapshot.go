package warehousetest

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/treeline-ml/treeline/warehouse"
)

func contains(s, part string) bool { return strings.Contains(s, part) }

func snapshotCases() []testCase {
	return []testCase{
		{"delivers the pinned rows in one order", func(t *testing.T, f Fixture) {
			f.createFeatures(t)
			ref := snapshot(t, f.Warehouse, featureInput())
			if ref.Rows != 5 || ref.Version == "" || ref.Source != features().String() {
				t.Errorf("ref is %+v", ref)
			}
			for range 3 {
				if got := readRef(t, f.Warehouse, ref); !slices.Equal(got, featureRows()) {
					t.Fatalf("rows are %q, want %q", got, featureRows())
				}
			}
			if got := readRef(t, f.Warehouse, ref, "plan", "account_id"); got[0] != "pro|1" || len(got) != 5 {
				t.Errorf("projection is %q", got)
			}
			_, err := f.Warehouse.Read(t.Context(), warehouse.Query{Ref: ref, Columns: []string{"plan", "day", "nothing"}})
			wantError(t, err, warehouse.ErrColumn, "day", "nothing")
		}},
		{"W1 is unaffected by later changes", laterChanges},
		{"equal content gives the equal version", equalContent},
		{"survives a reopen", func(t *testing.T, f Fixture) {
			f.createFeatures(t)
			ref := snapshot(t, f.Warehouse, featureInput())
			w := f.Reopen(t)
			if again := snapshot(t, w, featureInput()); again.Version != ref.Version {
				t.Errorf("version is %s, was %s", again.Version, ref.Version)
			}
			if got := readRef(t, w, ref); !slices.Equal(got, featureRows()) {
				t.Errorf("rows are %q", got)
			}
		}},
		{"concurrent snapshots and reads", concurrentSnapshots},
		{"selects one day", selectDay},
		{"describes all columns", describe},
		{"all columns when none are named", func(t *testing.T, f Fixture) {
			f.createFeatures(t)
			ref := snapshot(t, f.Warehouse, warehouse.Input{Table: features()})
			if got := names(ref.Schema); got != "account_id,tenure,plan,day,seen" {
				t.Errorf("columns are %s", got)
			}
			if got := readRef(t, f.Warehouse, ref); len(got) != 5 {
				t.Errorf("rows are %q", got)
			}
		}},
		{"refuses bad input", refusals},
		{"W4 refuses a stream of another length", func(t *testing.T, f Fixture) {
			f.createFeatures(t)
			ref := snapshot(t, f.Warehouse, featureInput())
			for _, rows := range []int64{4, 6} {
				lie := ref
				lie.Rows = rows
				s, err := f.Warehouse.Read(t.Context(), warehouse.Query{Ref: lie})
				if err == nil {
					_, err = drain(t.Context(), s)
				}
				wantError(t, err, warehouse.ErrSnapshotGone)
			}
		}},
	}
}

func names(s *arrow.Schema) string {
	out := make([]string, s.NumFields())
	for i, f := range s.Fields() {
		out[i] = f.Name
	}
	return strings.Join(out, ",")
}

func laterChanges(t *testing.T, f Fixture) {
	f.createFeatures(t)
	ref := snapshot(t, f.Warehouse, featureInput())
	table := features().String()
	for _, change := range []string{
		"UPDATE " + table + " SET tenure = 99 WHERE account_id = 1",
		"DELETE FROM " + table + " WHERE account_id = 2",
		"INSERT INTO " + table + " VALUES (6, 60, 'pro', NULL, NULL)",
		"DELETE FROM " + table,
		"DROP TABLE " + table,
	} {
		stream, err := f.Warehouse.Read(t.Context(), warehouse.Query{Ref: ref})
		if err != nil {
			t.Fatal(err)
		}
		f.exec(t, change)
		if got := readAll(t, stream, nil); !slices.Equal(got, featureRows()) {
			t.Fatalf("%s: an open stream gives %q", change, got)
		}
		if got := readRef(t, f.Warehouse, ref); !slices.Equal(got, featureRows()) {
			t.Fatalf("%s: rows are %q", change, got)
		}
	}
}

func equalContent(t *testing.T, f Fixture) {
	f.createFeatures(t)
	first := snapshot(t, f.Warehouse, featureInput())
	table := features().String()
	seen := map[string]string{first.Version: "the first"}
	differs := func(step string) {
		t.Helper()
		ref := snapshot(t, f.Warehouse, featureInput())
		if other, ok := seen[ref.Version]; ok {
			t.Fatalf("%s: version is that of %s", step, other)
		}
		seen[ref.Version] = step
	}
	f.exec(t, "UPDATE "+table+" SET tenure = 10.5 WHERE account_id = 1")
	differs("another value")
	f.exec(t, "UPDATE "+table+" SET tenure = NULL WHERE account_id = 1")
	differs("a null")
	f.exec(t, "UPDATE "+table+" SET tenure = 10.25 WHERE account_id = 1")
	if again := snapshot(t, f.Warehouse, featureInput()); again.Version != first.Version {
		t.Errorf("changed back: version is %s, was %s", again.Version, first.Version)
	}
	f.exec(t, "UPDATE "+table+" SET account_id = -account_id")
	f.exec(t, "UPDATE "+table+" SET account_id = 4, tenure = 40, plan = 'pro' WHERE account_id = -1")
	f.exec(t, "UPDATE "+table+" SET account_id = 1, tenure = 10.25, plan = 'pro' WHERE account_id = -4")
	f.exec(t, "UPDATE "+table+" SET account_id = -account_id WHERE account_id < 0")
	again := snapshot(t, f.Warehouse, featureInput())
	if again.Version != first.Version {
		t.Errorf("another physical order: version is %s, was %s", again.Version, first.Version)
	}
	if got := readRef(t, f.Warehouse, again); !slices.Equal(got, featureRows()) {
		t.Errorf("another physical order: rows are %q", got)
	}
	f.exec(t, "INSERT INTO "+table+" VALUES (6, 60, 'pro', NULL, NULL)")
	differs("another row")
	f.exec(t, "UPDATE "+table+" SET day = NULL")
	in := featureInput()
	in.Columns = []string{"account_id", "plan", "tenure"}
	if ref := snapshot(t, f.Warehouse, in); seen[ref.Version] != "" {
		t.Errorf("another column order has the version of %s", seen[ref.Version])
	}
}

func concurrentSnapshots(t *testing.T, f Fixture) {
	if err := f.FillFeatures(t.Context(), features(), 20_000); err != nil {
		t.Fatal(err)
	}
	in := warehouse.Input{Table: features(), Columns: []string{"id", "score"}, Keys: []string{"id"}}
	const n = 8
	versions := make([]string, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			ref, err := f.Warehouse.Snapshot(t.Context(), in)
			if err != nil {
				t.Error(err)
				return
			}
			versions[i] = ref.Version
			s, err := f.Warehouse.Read(t.Context(), warehouse.Query{Ref: ref})
			if err != nil {
				t.Error(err)
				return
			}
			if rows, err := drain(t.Context(), s); err != nil || len(rows) != 20_000 {
				t.Errorf("%d rows, %v", len(rows), err)
			}
		})
	}
	wg.Wait()
	for _, v := range versions {
		if v != versions[0] {
			t.Errorf("versions are %q", versions)
			break
		}
	}
}

func selectDay(t *testing.T, f Fixture) {
	f.createFeatures(t)
	for column, want := range map[string][]string{
		"day":  {"1|10.25", "2|-0.5"},
		"seen": {"3|30.5"},
	} {
		in := warehouse.Input{
			Table: features(), Columns: []string{"account_id", "tenure"}, Keys: []string{"account_id"},
			DateColumn: column, Date: "2026-01-01",
		}
		if got := readRef(t, f.Warehouse, snapshot(t, f.Warehouse, in)); !slices.Equal(got, want) {
			t.Errorf("%s: rows are %q, want %q", column, got, want)
		}
	}
	for _, c := range []struct {
		column, date string
		want         error
		text         string
	}{
		{"day", "2025-01-01", warehouse.ErrEmptyTable, "2025-01-01"},
		{"tenure", "2026-01-01", warehouse.ErrColumn, "tenure"},
		{"nothing", "2026-01-01", warehouse.ErrColumn, "nothing"},
		{"day", "01.01.2026", warehouse.ErrColumn, "YYYY-MM-DD"},
	} {
		in := featureInput()
		in.DateColumn, in.Date = c.column, c.date
		_, err := f.Warehouse.Snapshot(t.Context(), in)
		wantError(t, err, c.want, c.text)
	}
}

func describe(t *testing.T, f Fixture) {
	f.createFeatures(t)
	s, err := f.Warehouse.Describe(t.Context(), warehouse.Input{Table: features()})
	if err != nil {
		t.Fatal(err)
	}
	ref := snapshot(t, f.Warehouse, warehouse.Input{Table: features()})
	stream, err := f.Warehouse.Read(t.Context(), warehouse.Query{Ref: ref})
	if err != nil {
		t.Fatal(err)
	}
	readAll(t, stream, nil)
	for i, want := range stream.Schema().Fields() {
		if got := s.Field(i); got.Name != want.Name || !arrow.TypeEqual(got.Type, want.Type) {
			t.Errorf("described %q %s, read %q %s", got.Name, got.Type, want.Name, want.Type)
		}
	}
	_, err = f.Warehouse.Describe(t.Context(), warehouse.Input{Table: warehouse.TableName{Catalog: "uat", Schema: "features", Table: "nothing"}})
	wantError(t, err, warehouse.ErrTableNotFound)
}

func refusals(t *testing.T, f Fixture) {
	f.createFeatures(t)
	f.exec(t, "CREATE TABLE uat.features.hollow (account_id BIGINT)")
	f.exec(t, "CREATE TABLE uat.features.twice (a BIGINT, b VARCHAR)")
	f.exec(t, "INSERT INTO uat.features.twice VALUES (1, 'secret-x'), (1, 'secret-x'), (1, 'secret-y'), (2, 'secret-x'), (3, NULL), (4, NULL)")
	table := func(name string) warehouse.TableName {
		return warehouse.TableName{Catalog: "uat", Schema: "features", Table: name}
	}
	for _, c := range []struct {
		name  string
		in    warehouse.Input
		want  error
		texts []string
	}{
		{"absent table", warehouse.Input{Table: table("churn_featuers")}, warehouse.ErrTableNotFound, []string{"churn_featuers", "churn_features"}},
		{"absent catalog", warehouse.Input{Table: warehouse.TableName{Catalog: "prod", Schema: "a", Table: "b"}}, warehouse.ErrTableNotFound, []string{"prod"}},
		{"empty table", warehouse.Input{Table: table("hollow")}, warehouse.ErrEmptyTable, []string{"hollow"}},
		{"absent columns", warehouse.Input{Table: features(), Columns: []string{"tenure", "tenur", "Plan"}, Keys: []string{"id"}}, warehouse.ErrColumn, []string{`"tenur"`, `"Plan"`, `"id"`}},
		{"duplicate keys", warehouse.Input{Table: table("twice"), Keys: []string{"a"}}, warehouse.ErrDuplicateKey, []string{"3 rows", "1 values"}},
		{"null keys", warehouse.Input{Table: table("twice"), Keys: []string{"a", "b"}}, warehouse.ErrNullKey, []string{`"b"`, "2 rows"}},
	} {
		_, err := f.Warehouse.Snapshot(t.Context(), c.in)
		if err == nil {
			t.Errorf("%s: no error", c.name)
			continue
		}
		wantError(t, err, c.want, c.texts...)
		if contains(err.Error(), "secret") {
			t.Errorf("%s: error %q shows a value", c.name, err)
		}
	}
	if got := readRef(t, f.Warehouse, snapshot(t, f.Warehouse, warehouse.Input{Table: table("twice")})); len(got) != 6 {
		t.Errorf("without keys: rows are %q", got)
	}
	if rows := f.query(t, "SELECT count(*) FROM "+features().String()); rows[0][0] != int64(5) {
		t.Errorf("features have %v rows", rows)
	}
}
