package warehousetest

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/treeline-ml/treeline/warehouse"
)

func throughCases() []testCase {
	return []testCase{
		{"selects the days up to one", throughTable},
		{"selects the days of files up to one", throughFiles},
		{"refuses a bad period", func(t *testing.T, f Fixture) {
			f.createFeatures(t)
			for _, c := range []struct {
				column, date, through string
				want                  error
				text                  string
			}{
				{"day", "", "2025-12-31", warehouse.ErrEmptyTable, "2025-12-31"},
				{"day", "", "31.12.2026", warehouse.ErrColumn, "YYYY-MM-DD"},
				{"day", "2026-01-01", "2026-01-02", warehouse.ErrColumn, "at once"},
				{"tenure", "", "2026-01-01", warehouse.ErrColumn, "tenure"},
				{"nothing", "", "2026-01-01", warehouse.ErrColumn, "nothing"},
			} {
				in := featureInput()
				in.DateColumn, in.Date, in.Through = c.column, c.date, c.through
				_, err := f.Warehouse.Snapshot(t.Context(), in)
				wantError(t, err, c.want, c.text)
			}
		}},
	}
}

func throughTable(t *testing.T, f Fixture) {
	f.createFeatures(t)
	through := func(column, day string) warehouse.Input {
		return warehouse.Input{
			Table: features(), Columns: []string{"account_id", "tenure"}, Keys: []string{"account_id"}, DateColumn: column, Through: day,
		}
	}
	for _, c := range []struct {
		column, day string
		want        []string
	}{
		{"day", "2026-01-01", []string{"1|10.25", "2|-0.5"}},
		{"day", "2026-01-02", []string{"1|10.25", "2|-0.5", "3|30.5", "5|null"}},
		{"day", "2030-01-01", []string{"1|10.25", "2|-0.5", "3|30.5", "5|null"}},
		{"seen", "2026-01-01", []string{"3|30.5"}},
		{"seen", "2026-01-02", []string{"1|10.25", "3|30.5", "5|null"}},
	} {
		ref := snapshot(t, f.Warehouse, through(c.column, c.day))
		if got := readRef(t, f.Warehouse, ref); !slices.Equal(got, c.want) || ref.Rows != int64(len(c.want)) {
			t.Errorf("%s through %s: %d rows %q, want %q", c.column, c.day, ref.Rows, got, c.want)
		}
	}
	first := snapshot(t, f.Warehouse, through("day", "2026-01-01"))
	if v := snapshot(t, f.Warehouse, through("day", "2026-01-02")).Version; v == first.Version {
		t.Errorf("through another day: the version is the same, %s", v)
	}
	f.exec(t, "UPDATE "+features().String()+" SET tenure = 1 WHERE account_id = 3") // of the second day
	if v := snapshot(t, f.Warehouse, through("day", "2026-01-01")).Version; v != first.Version {
		t.Errorf("a change after the period: version is %s, was %s", v, first.Version)
	}
	// A column or a day alone is no restriction, as with Date.
	for _, in := range []warehouse.Input{{Table: features(), Through: "2026-01-01"}, {Table: features(), DateColumn: "day"}} {
		if got := snapshot(t, f.Warehouse, in).Rows; got != 5 {
			t.Errorf("%+v: %d rows", in, got)
		}
	}
}

func throughFiles(t *testing.T, f Fixture) {
	for _, ext := range formats() {
		path := filepath.Join(f.Dir, "through"+ext)
		inputFile(t, path, 9, 7, 8, 1, 2)
		in := fileInput(path)
		in.DateColumn, in.Through = "day", "2026-01-02"
		ref := snapshot(t, f.Warehouse, in)
		if got := readRef(t, f.Warehouse, ref); !slices.Equal(got, fileRows(9, 7, 1, 2)) || ref.Rows != 4 {
			t.Errorf("%s: %d rows %q", ext, ref.Rows, got)
		}
		versions := map[string]string{ref.Version: "through 2026-01-02"}
		for name, change := range map[string]func(*warehouse.Input){
			"through 2026-01-01": func(in *warehouse.Input) { in.Through = "2026-01-01" },
			"on 2026-01-02":      func(in *warehouse.Input) { in.Through, in.Date = "", "2026-01-02" },
			"all":                func(in *warehouse.Input) { in.Through, in.DateColumn = "", "" },
		} {
			other := in
			change(&other)
			v := snapshot(t, f.Warehouse, other).Version
			if versions[v] != "" {
				t.Errorf("%s: %s has the version of %s", ext, name, versions[v])
			}
			versions[v] = name
		}
		in.Through = "2025-01-01"
		_, err := f.Warehouse.Snapshot(t.Context(), in)
		wantError(t, err, warehouse.ErrEmptyTable, "2025-01-01")
	}
}
