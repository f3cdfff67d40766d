package duckdb

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/treeline-ml/treeline/warehouse"
)

// maxQuery bounds the text of a features query.
const maxQuery = 1 << 20

// selectQuery is a checked query of a stranger: one SELECT that reads tables of our catalogs and nothing else.
type selectQuery struct {
	text   string // with the parameter instead of the placeholder
	bound  bool   // it has the parameter
	tables []warehouse.TableName
}

// parseSelect has DuckDB's own parser read the query and walks what it found. Only what is known to read tables passes: a
// function that reads files, a name that is no table of ours (DuckDB would take "x.csv" for a file) and any statement but
// SELECT are refused. That the query changes nothing is not left to this: it runs in a read-only transaction.
func parseSelect(ctx context.Context, q querier, query string) (selectQuery, error) {
	if len(query) > maxQuery {
		return selectQuery{}, fmt.Errorf("it has %d bytes, at most %d: %w", len(query), maxQuery, warehouse.ErrSQL)
	}
	if strings.ContainsRune(query, 0) {
		return selectQuery{}, fmt.Errorf("it has a zero byte: %w", warehouse.ErrSQL)
	}
	s := selectQuery{}
	s.text, s.bound = bindable(query)
	var text string
	if err := q.QueryRowContext(ctx, "SELECT CAST(json_serialize_sql(CAST(? AS VARCHAR)) AS VARCHAR)", s.text).Scan(&text); err != nil {
		return s, fmt.Errorf("duckdb: parsing a query: %w", sqlError(ctx, err))
	}
	var parsed struct {
		Error   bool   `json:"error"`
		Type    string `json:"error_type"`
		Message string `json:"error_message"`
		At      int    `json:"position,string"`

		Statements []map[string]any `json:"statements"`
	}
	if err := json.Unmarshal([]byte(text), &parsed); err != nil {
		return s, fmt.Errorf("duckdb: reading a parsed query: %w: %w", warehouse.ErrSQL, err)
	}
	switch {
	case parsed.Error && parsed.Type == "parser":
		return s, fmt.Errorf("line %d: %s: %w", 1+strings.Count(s.text[:min(max(parsed.At, 0), len(s.text))], "\n"), parsed.Message, warehouse.ErrSQL)
	case parsed.Error:
		return s, fmt.Errorf("it is not a SELECT; begin with SELECT or WITH (%s): %w", parsed.Message, warehouse.ErrSQL)
	case len(parsed.Statements) != 1:
		return s, fmt.Errorf("it has %d statements, want one SELECT: %w", len(parsed.Statements), warehouse.ErrSQL)
	}
	v := visitor{ctes: map[string]bool{}, faults: map[string]bool{}}
	v.names(parsed.Statements[0])
	v.visit(parsed.Statements[0])
	if len(v.faults) > 0 {
		faults := make([]string, 0, len(v.faults))
		for f := range v.faults {
			faults = append(faults, f)
		}
		sort.Strings(faults)
		return s, fmt.Errorf("%s: %w", strings.Join(faults, "; "), warehouse.ErrSQL)
	}
	s.tables = v.tables
	slices.SortFunc(s.tables, func(a, b warehouse.TableName) int { return strings.Compare(a.String(), b.String()) })
	return s, nil
}

// visitor walks the JSON of a parsed statement. Nodes that are no expressions name their kind in "type"; expressions have a
// "class" besides.
type visitor struct {
	ctes   map[string]bool // lower case
	tables []warehouse.TableName
	faults map[string]bool
}

func (v *visitor) fault(format string, args ...any) { v.faults[fmt.Sprintf(format, args...)] = true }

// names collects the names of all common table expressions.
func (v *visitor) names(node any) {
	switch n := node.(type) {
	case []any:
		for _, e := range n {
			v.names(e)
		}
	case map[string]any:
		if ctes, ok := n["cte_map"].(map[string]any); ok {
			entries, _ := ctes["map"].([]any)
			for _, e := range entries {
				if entry, ok := e.(map[string]any); ok {
					name, _ := entry["key"].(string)
					v.ctes[strings.ToLower(name)] = true
				}
			}
		}
		for _, e := range n {
			v.names(e)
		}
	}
}

func (v *visitor) visit(node any) {
	switch n := node.(type) {
	case []any:
		for _, e := range n {
			v.visit(e)
		}
	case map[string]any:
		v.check(n)
		for key, e := range n {
			if key != "value" { // a constant's value is data
				v.visit(e)
			} else if _, constant := n["class"]; !constant {
				v.visit(e)
			}
		}
	}
}

func (v *visitor) check(n map[string]any) {
	kind, ok := n["type"].(string)
	if !ok {
		return
	}
	if _, expression := n["class"]; expression {
		if kind == "VALUE_PARAMETER" && n["identifier"] != computeParameter {
			v.fault("it has the parameter %q; the only one is %s", n["identifier"], computeDate)
		}
		return
	}
	switch {
	case kind == "BASE_TABLE":
		v.table(n)
	case kind == "TABLE_FUNCTION":
		function, _ := n["function"].(map[string]any)
		name, _ := function["function_name"].(string)
		if !slices.Contains([]string{"range", "generate_series", "unnest"}, strings.ToLower(name)) {
			v.fault("%s(...) in FROM is not allowed; read tables, as catalog.schema.table", name)
		}
	case slices.Contains(harmlessNodes(), kind), strings.HasSuffix(kind, "_MODIFIER"), strings.HasSuffix(kind, "_TYPE_INFO"):
	default:
		v.fault("it uses %s, which is not allowed", strings.ToLower(strings.ReplaceAll(kind, "_", " ")))
	}
}

// harmlessNodes are the nodes besides tables and functions that only combine what is below them.
func harmlessNodes() []string {
	return []string{
		"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE",
		"JOIN", "SUBQUERY", "EXPRESSION_LIST", "EMPTY", "PIVOT",
		"ASCENDING", "DESCENDING", "ORDER_DEFAULT",
	}
}

// table takes a three-level name, or one of a common table expression.
func (v *visitor) table(n map[string]any) {
	text := func(key string) string { s, _ := n[key].(string); return s }
	name := warehouse.TableName{Catalog: text("catalog_name"), Schema: text("schema_name"), Table: text("table_name")}
	full := strings.TrimLeft(name.String(), ".")
	if name.Catalog == "" && name.Schema == "" && v.ctes[strings.ToLower(name.Table)] {
		// Where the expression is out of scope DuckDB looks further, and takes names that look like files for files.
		if _, err := warehouse.ParseTableName("c.s." + name.Table); err != nil {
			v.fault("the name %q is not letters, digits and underscores", name.Table)
		}
		return
	}
	if _, err := warehouse.ParseTableName(name.String()); err != nil {
		v.fault("%q is not a table; name tables as catalog.schema.table, with letters, digits and underscores", full)
		return
	}
	if !slices.Contains(v.tables, name) {
		v.tables = append(v.tables, name)
	}
}

// catalogs are the lower-case names of the catalogs that the query reads, sorted.
func (s selectQuery) catalogs() []string {
	var out []string
	for _, t := range s.tables {
		out = append(out, strings.ToLower(t.Catalog))
	}
	sort.Strings(out)
	return slices.Compact(out)
}
