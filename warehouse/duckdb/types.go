package duckdb

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
)

// column is a column of a table or view as the catalog shows it.
type column struct {
	Name string
	Type string // DuckDB's spelling, such as DECIMAL(18,3)
}

// plainTypes are the types that a Parquet file carries without change. Names are DuckDB's.
func plainType(duck string) arrow.DataType {
	switch duck {
	case "BOOLEAN":
		return arrow.FixedWidthTypes.Boolean
	case "TINYINT":
		return arrow.PrimitiveTypes.Int8
	case "SMALLINT":
		return arrow.PrimitiveTypes.Int16
	case "INTEGER":
		return arrow.PrimitiveTypes.Int32
	case "BIGINT":
		return arrow.PrimitiveTypes.Int64
	case "UTINYINT":
		return arrow.PrimitiveTypes.Uint8
	case "USMALLINT":
		return arrow.PrimitiveTypes.Uint16
	case "UINTEGER":
		return arrow.PrimitiveTypes.Uint32
	case "UBIGINT":
		return arrow.PrimitiveTypes.Uint64
	case "FLOAT":
		return arrow.PrimitiveTypes.Float32
	case "DOUBLE":
		return arrow.PrimitiveTypes.Float64
	case "VARCHAR":
		return arrow.BinaryTypes.String
	case "BLOB":
		return arrow.BinaryTypes.Binary
	case "DATE":
		return arrow.FixedWidthTypes.Date32
	case "TIME":
		return arrow.FixedWidthTypes.Time64us
	case "TIMESTAMP":
		return &arrow.TimestampType{Unit: arrow.Microsecond}
	case "TIMESTAMP_NS":
		return &arrow.TimestampType{Unit: arrow.Nanosecond}
	case "TIMESTAMP WITH TIME ZONE":
		return arrow.FixedWidthTypes.Timestamp_us
	}
	if p, s, ok := decimalShape(duck); ok {
		return &arrow.Decimal128Type{Precision: p, Scale: s}
	}
	return nil
}

func decimalShape(duck string) (precision, scale int32, ok bool) {
	inner, ok := strings.CutPrefix(duck, "DECIMAL(")
	if !ok {
		return 0, 0, false
	}
	a, b, ok := strings.Cut(strings.TrimSuffix(inner, ")"), ",")
	p, err1 := strconv.ParseInt(a, 10, 32)
	s, err2 := strconv.ParseInt(b, 10, 32)
	return int32(p), int32(s), ok && err1 == nil && err2 == nil
}

// readable gives the expression that a snapshot stores for the column and the Arrow type it is read back with. Types that
// Parquet would change silently (HUGEINT becomes DOUBLE) or that no feature or key can have are refused.
func (c column) readable() (expr string, dt arrow.DataType, err error) {
	if dt := plainType(c.Type); dt != nil {
		return ident(c.Name), dt, nil
	}
	as := func(duck string) (string, arrow.DataType, error) {
		return "CAST(" + ident(c.Name) + " AS " + duck + ")", plainType(duck), nil
	}
	switch {
	case c.Type == "TIMESTAMP_S", c.Type == "TIMESTAMP_MS":
		return as("TIMESTAMP")
	case c.Type == "UUID", c.Type == "JSON", strings.HasPrefix(c.Type, "ENUM("):
		return as("VARCHAR")
	}
	return "", nil, fmt.Errorf("column %q has type %s, which cannot be read: make a view that casts it to BIGINT, DOUBLE or VARCHAR", c.Name, c.Type)
}

// duckType is the column type for an Arrow type in a table that we create; "" when there is none.
func duckType(dt arrow.DataType) string {
	switch t := dt.(type) {
	case *arrow.DictionaryType:
		return duckType(t.ValueType)
	case *arrow.TimestampType:
		if t.Unit == arrow.Nanosecond && t.TimeZone == "" {
			return "TIMESTAMP_NS"
		}
		return "TIMESTAMP" // UTC (D5)
	case *arrow.Decimal128Type:
		return fmt.Sprintf("DECIMAL(%d,%d)", t.Precision, t.Scale)
	}
	switch dt.ID() {
	case arrow.LARGE_STRING:
		return "VARCHAR"
	case arrow.LARGE_BINARY:
		return "BLOB"
	case arrow.DATE64:
		return "DATE"
	case arrow.TIME64, arrow.TIME32:
		return "TIME"
	}
	for _, duck := range []string{
		"BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT",
		"FLOAT", "DOUBLE", "VARCHAR", "BLOB", "DATE",
	} {
		if arrow.TypeEqual(dt, plainType(duck)) {
			return duck
		}
	}
	return ""
}

// fits says whether every value of a column made as want can be stored in an existing column of type have.
func fits(want, have string) bool {
	if want == have {
		return true
	}
	switch want {
	case "TINYINT":
		return in(have, "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE")
	case "SMALLINT":
		return in(have, "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE")
	case "INTEGER":
		return in(have, "BIGINT", "HUGEINT", "DOUBLE")
	case "BIGINT":
		return in(have, "HUGEINT")
	case "UTINYINT":
		return in(have, "USMALLINT", "UINTEGER", "UBIGINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
	case "USMALLINT":
		return in(have, "UINTEGER", "UBIGINT", "INTEGER", "BIGINT", "HUGEINT")
	case "UINTEGER":
		return in(have, "UBIGINT", "BIGINT", "HUGEINT")
	case "UBIGINT":
		return in(have, "HUGEINT")
	case "FLOAT":
		return have == "DOUBLE"
	case "TIMESTAMP":
		return have == "TIMESTAMP WITH TIME ZONE"
	}
	return false
}

func in(s string, set ...string) bool {
	return slices.Contains(set, s)
}

type field = arrow.Field

// isUTC says that a value is an instant, which our tables store as UTC without saying so (D5).
func isUTC(dt arrow.DataType) bool {
	if d, ok := dt.(*arrow.DictionaryType); ok {
		dt = d.ValueType
	}
	t, ok := dt.(*arrow.TimestampType)
	return ok && t.TimeZone != ""
}
