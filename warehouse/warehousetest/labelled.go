package warehousetest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/treeline-ml/treeline/warehouse"
)

func outcomes() warehouse.TableName {
	return warehouse.TableName{Catalog: "crm", Schema: "labels", Table: "churn"}
}

func labelQuery(id warehouse.BatchID) warehouse.LabelQuery {
	return warehouse.LabelQuery{
		Batch: id, Table: scores(), Score: "churn_probability", Keys: []string{"account_id"}, Labels: outcomes(), Label: "churned",
	}
}

// createOutcomes makes labels of accounts 1 to 6, of which 5 is not known, 3 has one of another day, and 6 comes late.
func (f Fixture) createOutcomes(t *testing.T) {
	t.Helper()
	f.schema(t, outcomes())
	f.exec(t, "CREATE TABLE "+outcomes().String()+" (account_id BIGINT, churned BIGINT, day DATE, seen TIMESTAMP, note VARCHAR)")
	f.exec(t, "INSERT INTO "+outcomes().String()+` VALUES
		(1, 1, DATE '2026-01-01', TIMESTAMP '2026-02-01 00:00:00', 'x'),
		(2, 0, DATE '2026-01-01', TIMESTAMP '2026-02-01 00:00:00', 'x'),
		(3, 1, DATE '2026-01-02', TIMESTAMP '2026-02-01 00:00:00', 'x'),
		(5, NULL, DATE '2026-01-01', TIMESTAMP '2026-02-01 00:00:00', 'x'),
		(6, 1, DATE '2026-01-01', TIMESTAMP '2026-02-02 00:00:00.000001', 'x'),
		(99, 1, DATE '2026-01-01', TIMESTAMP '2026-02-01 00:00:00', 'x')`)
}

func labelledCases() []testCase {
	const id, other = warehouse.BatchID("6ba7b810-9dad-51d1-80b4-00c04fd430c8"), warehouse.BatchID("6ba7b811-9dad-51d1-80b4-00c04fd430c8")
	at := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	return []testCase{
		{"joins scores and known labels", func(t *testing.T, f Fixture) {
			f.createOutcomes(t)
			batch{id: id, rows: 10, version: 1, at: at}.mustRun(t, f.Warehouse)
			batch{id: other, rows: 3, version: 1, at: at}.mustRun(t, f.Warehouse)
			get := func(change func(*warehouse.LabelQuery)) []string {
				t.Helper()
				q := labelQuery(id)
				change(&q)
				s, n, err := f.Warehouse.Labelled(t.Context(), q)
				rows := readAll(t, s, err)
				slices.Sort(rows)
				if n != int64(len(rows)) {
					t.Errorf("%d rows are announced, %d come", n, len(rows))
				}
				return rows
			}
			for name, c := range map[string]struct {
				change func(*warehouse.LabelQuery)
				want   []string
			}{
				"all":     {func(*warehouse.LabelQuery) {}, []string{"0.01|1", "0.02|0", "0.03|1", "0.06|1"}},
				"other":   {func(q *warehouse.LabelQuery) { q.Batch = other }, []string{"0.01|1", "0.02|0"}},
				"no such": {func(q *warehouse.LabelQuery) { q.Batch = "6ba7b812-9dad-51d1-80b4-00c04fd430c8" }, nil},
				"day":     {func(q *warehouse.LabelQuery) { q.DateColumn, q.Date = "day", "2026-01-01" }, []string{"0.01|1", "0.02|0", "0.06|1"}},
				"available": {func(q *warehouse.LabelQuery) {
					q.AvailableColumn, q.At = "seen", time.Date(2026, 2, 2, 0, 0, 0, 0, time.UTC)
				}, []string{"0.01|1", "0.02|0", "0.03|1"}},
				"later": {func(q *warehouse.LabelQuery) {
					q.AvailableColumn, q.At = "seen", time.Date(2026, 2, 2, 0, 0, 0, 1000, time.UTC)
				}, []string{"0.01|1", "0.02|0", "0.03|1", "0.06|1"}},
			} {
				if got := get(c.change); !slices.Equal(got, c.want) {
					t.Errorf("%s: %q, want %q", name, got, c.want)
				}
			}
			few := func() []string {
				q := labelQuery(id)
				q.Limit = 2
				s, n, err := f.Warehouse.Labelled(t.Context(), q)
				rows := readAll(t, s, err)
				slices.Sort(rows)
				if n != 4 || len(rows) != 2 {
					t.Errorf("with a limit of 2: %d rows of %d", len(rows), n)
				}
				return rows
			}
			if a, b := few(), few(); !slices.Equal(a, b) {
				t.Errorf("another sample of the same rows: %q and %q", a, b)
			}
			if err := f.StagingEmpty(); err != nil {
				t.Error(err)
			}
		}},
		{"refuses labels that do not fit", func(t *testing.T, f Fixture) {
			f.createOutcomes(t)
			_, _, err := f.Warehouse.Labelled(t.Context(), labelQuery(id))
			if err == nil {
				t.Error("an output table that is not there has labels")
			}
			batch{id: id, rows: 10, version: 1, at: at}.mustRun(t, f.Warehouse)
			for name, c := range map[string]struct {
				change func(*warehouse.LabelQuery)
				want   error
				says   string
			}{
				"labels":    {func(q *warehouse.LabelQuery) { q.Labels.Table = "nothing" }, warehouse.ErrTableNotFound, "nothing"},
				"catalog":   {func(q *warehouse.LabelQuery) { q.Labels.Catalog = "nowhere" }, warehouse.ErrTableNotFound, "nowhere"},
				"label":     {func(q *warehouse.LabelQuery) { q.Label = "gone" }, warehouse.ErrColumn, "gone"},
				"text":      {func(q *warehouse.LabelQuery) { q.Label = "note" }, warehouse.ErrColumn, "a label is a number"},
				"score":     {func(q *warehouse.LabelQuery) { q.Score = "margin" }, warehouse.ErrColumn, "margin"},
				"key":       {func(q *warehouse.LabelQuery) { q.Keys = []string{"run_id"} }, warehouse.ErrColumn, "run_id"},
				"date":      {func(q *warehouse.LabelQuery) { q.DateColumn, q.Date = "churned", "2026-01-01" }, warehouse.ErrColumn, "churned"},
				"available": {func(q *warehouse.LabelQuery) { q.AvailableColumn = "churned" }, warehouse.ErrColumn, "want a day or a time"},
				"no time":   {func(q *warehouse.LabelQuery) { q.AvailableColumn = "note" }, warehouse.ErrColumn, "cannot be compared"},
			} {
				q := labelQuery(id)
				c.change(&q)
				s, _, err := f.Warehouse.Labelled(t.Context(), q)
				if s != nil {
					t.Errorf("%s: a stream", name)
				}
				wantError(t, err, c.want, c.says)
			}
			f.exec(t, "INSERT INTO "+outcomes().String()+" VALUES (1, 0, DATE '2026-01-02', NULL, '')")
			_, _, err = f.Warehouse.Labelled(t.Context(), labelQuery(id))
			wantError(t, err, warehouse.ErrDuplicateKey, "1 values", "account_id")
			q := labelQuery(id)
			q.DateColumn, q.Date = "day", "2026-01-01"
			s, n, err := f.Warehouse.Labelled(t.Context(), q)
			if rows := readAll(t, s, err); n != 3 || len(rows) != 3 {
				t.Errorf("%d rows of the day", n)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, _, err := f.Warehouse.Labelled(ctx, q); err == nil {
				t.Error("a cancelled join has a result")
			}
			if err := f.StagingEmpty(); err != nil {
				t.Error(err)
			}
		}},
	}
}
