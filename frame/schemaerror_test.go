package frame

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/treeline-ml/treeline/forest"
)

var f64 = arrow.PrimitiveTypes.Float64

func schemaError(t *testing.T, m *forest.Model, s *arrow.Schema, o BindOptions) *SchemaError {
	t.Helper()
	_, err := NewBinding(m, compile(t, m), s, o)
	var e *SchemaError
	if !errors.As(err, &e) {
		t.Fatalf("%v, want a *SchemaError", err)
	}
	return e
}

func TestSchemaErrorListsEverything(t *testing.T) {
	m := ladder(append(numeric("tenure", "monthly_charges", "signup", "score"), categorical("plan", forest.UnknownMissing, "a", "b"))...)
	s := fields(
		nullable("Tenure", f64), nullable("monthly_charge", f64), nullable("signup", arrow.FixedWidthTypes.Timestamp_us),
		nullable("plan", arrow.PrimitiveTypes.Int32), nullable("id", arrow.BinaryTypes.String), nullable("score", f64), nullable("score", f64),
	)
	e := schemaError(t, m, s, BindOptions{Allowed: []string{"id"}})
	want := `frame: columns do not fit the model: ` +
		`missing "tenure" (want a number; is "Tenure" meant?), "monthly_charges" (want a number; is "monthly_charge" meant?); ` +
		`of a wrong type "signup" is timestamp[us, tz=UTC], want a number (its unit and origin are not the model's: send the number that training used), ` +
		`"plan" is int32, want one of 2 category names (the model's categories are no numbers: send them by name); ` +
		`unexpected "Tenure", "monthly_charge", "score"; more than once "score"`
	if e.Error() != want {
		t.Errorf("got  %s\nwant %s", e, want)
	}
	if e := schemaError(t, m, s, BindOptions{IgnoreExtra: true}); len(e.Unexpected) != 0 || e.Missing[0].Suggestion != "Tenure" {
		t.Errorf("with IgnoreExtra: %+v", e)
	}
}

func TestSchemaErrorTypes(t *testing.T) {
	number := forest.Feature{Name: "x"}
	codes := forest.Feature{Name: "x", Kind: forest.Categorical}
	texts := categorical("x", forest.UnknownMissing, "a")
	numbers := categorical("x", forest.UnknownMissing, 1)
	bools := categorical("x", forest.UnknownMissing, true)
	for _, tc := range []struct {
		f    forest.Feature
		typ  arrow.DataType
		want string
	}{
		{number, arrow.FixedWidthTypes.Float16, "half precision"},
		{number, arrow.FixedWidthTypes.Date32, "unit and origin"},
		{number, arrow.FixedWidthTypes.Time64us, "unit and origin"},
		{number, arrow.FixedWidthTypes.Duration_s, "its unit is not"},
		{number, arrow.BinaryTypes.String, "parse it"},
		{number, dictString, "parse it"},
		{number, arrow.BinaryTypes.Binary, "this type is not read"},
		{number, arrow.ListOf(f64), "this type is not read"},
		{codes, arrow.BinaryTypes.String, "no category names"},
		{codes, dictString, "no category names"},
		{texts, arrow.PrimitiveTypes.Int64, "no numbers"},
		{texts, arrow.FixedWidthTypes.Boolean, "no booleans"},
		{numbers, arrow.BinaryTypes.LargeString, "no texts"},
		{numbers, arrow.FixedWidthTypes.Boolean, "no booleans"},
		{bools, arrow.PrimitiveTypes.Int8, "no numbers"},
		{texts, arrow.FixedWidthTypes.Timestamp_s, "unit and origin"},
	} {
		e := schemaError(t, ladder(tc.f), fields(nullable("x", tc.typ)), BindOptions{})
		if len(e.Wrong) != 1 || !strings.Contains(e.Wrong[0].Hint, tc.want) {
			t.Errorf("%v as %s: %+v, want a hint with %q", tc.typ, want(&tc.f), e.Wrong, tc.want)
		}
	}
}

// The reader of a CSV file says why a column of numbers is text.
func TestWhyAColumnIsText(t *testing.T) {
	why := arrow.NewMetadata([]string{"treeline.why_text"}, []string{"line 3 is odd"})
	s := arrow.NewSchema([]arrow.Field{{Name: "c", Type: arrow.BinaryTypes.String, Metadata: why}}, nil)
	e := schemaError(t, ladder(numeric("c")...), s, BindOptions{})
	if len(e.Wrong) != 1 || e.Wrong[0].Hint != "line 3 is odd" {
		t.Errorf("%+v, want the reason of the metadata", e.Wrong)
	}
}

func TestNamesWithSpaces(t *testing.T) {
	mem := checked(t)
	m := ladder(numeric("a_b", "c")...)
	rec := fromJSON(t, mem, fields(nullable("c", f64), nullable("a b", f64)), `{"c":1,"a b":2}`)
	defer rec.Release()
	got, _ := bound(t, m, rec, BindOptions{})
	want1(t, got, 2, 1)
	// Exact names come first; the other column is then an extra one.
	s := fields(nullable("c", f64), nullable("a b", f64), nullable("a_b", f64))
	if e := schemaError(t, m, s, BindOptions{}); fmt.Sprint(e.Unexpected) != "[a b]" || len(e.Missing) != 0 {
		t.Errorf("%+v", e)
	}
	m = ladder(numeric("a_b_c")...)
	if e := schemaError(t, m, fields(nullable("a b c", f64), nullable("a b_c", f64)), BindOptions{IgnoreExtra: true}); len(e.Ambiguous) != 1 {
		t.Errorf("%+v, want one ambiguous feature", e)
	}
}

func TestManyStrangeColumnsAreCheap(t *testing.T) {
	var f []arrow.Field
	var names []string
	for i := range 20000 {
		f = append(f, nullable(fmt.Sprintf("column_%d", i), f64))
		names = append(names, fmt.Sprintf("feature_%d", i))
	}
	e := schemaError(t, ladder(numeric(names[:200]...)...), fields(f...), BindOptions{})
	if len(e.Missing) != 200 || len(e.Unexpected) != 20000 || len(e.Error()) > 20000 {
		t.Errorf("%d missing, %d unexpected, text of %d bytes", len(e.Missing), len(e.Unexpected), len(e.Error()))
	}
}

func TestSchemaHash(t *testing.T) {
	m := ladder(numeric("x", "y")...)
	p := compile(t, m)
	hash := func(f ...arrow.Field) string {
		b, err := NewBinding(m, p, fields(f...), BindOptions{IgnoreExtra: true})
		if err != nil {
			t.Fatal(err)
		}
		return b.SchemaHash()
	}
	base := hash(nullable("x", f64), nullable("y", f64))
	if !strings.HasPrefix(base, "sha256:") || len(base) != 71 {
		t.Errorf("hash %q", base)
	}
	if hash(nullable("y", f64), nullable("id", dictString), nullable("x", f64)) != base {
		t.Error("other columns and their order change the hash")
	}
	if hash(nullable("x", arrow.PrimitiveTypes.Float32), nullable("y", f64)) == base {
		t.Error("a column's type does not change the hash")
	}
}

func TestDistance(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "abc", 0}, {"abc", "abd", 1}, {"kitten", "sitting", 3}, {"abc", "", 3}, {"a", "bcdefgh", 5}} {
		if got := distance(tc.a, tc.b, 5); got != tc.want {
			t.Errorf("distance(%q, %q) = %d, want %d", tc.a, tc.b, got, tc.want)
		}
	}
}
