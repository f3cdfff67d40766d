package config

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// origins says where each value came from: "file:line:column", "environment SCORER_LOG_LEVEL", "flag --listen". The keys
// are paths such as "listeners.data" and "warehouse.seed[0].table".
type origins map[string]string

// maxFile bounds a configuration file; maxNesting the depth of free values such as hyperparameters.
const (
	maxFile    = 1 << 20
	maxNesting = 16
)

// decoder fills a struct from a YAML tree and collects every fault. It is strict where YAML libraries are lenient: no
// unknown keys, no anchors or tags, no text where a number is wanted, no number where text is wanted.
type decoder struct {
	file   string
	origin origins
	errs   []error
}

// decodeYAML fills the struct that into points to. Values that the file does not mention stay as they are.
func decodeYAML(file string, content []byte, into any) (origins, error) {
	d := &decoder{file: file, origin: origins{}}
	if len(content) > maxFile {
		return nil, fmt.Errorf("%s: %d bytes, at most %d are read: %w", file, len(content), maxFile, ErrInvalid)
	}
	tree, err := parser.ParseBytes(content, 0)
	if err != nil {
		return nil, d.syntax(err)
	}
	var body ast.Node
	for _, doc := range tree.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.CommentType {
			continue
		}
		if body != nil {
			d.fail(doc.Body.GetToken(), "", "a second YAML document; one is read")
			break
		}
		body = doc.Body
	}
	if body != nil {
		d.object(body, "", reflect.ValueOf(into).Elem())
	}
	return d.origin, errors.Join(d.errs...)
}

// syntax places an error of the YAML parser.
func (d *decoder) syntax(err error) error {
	var e yaml.Error
	if !errors.As(err, &e) || e.GetToken() == nil {
		return fmt.Errorf("%s: not YAML: %s: %w", d.file, firstLine(err.Error()), ErrInvalid)
	}
	return fmt.Errorf("%s: %s: %w", d.at(e.GetToken()), firstLine(e.GetMessage()), ErrInvalid)
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

func (d *decoder) at(t *token.Token) string {
	if t == nil || t.Position == nil {
		return d.file
	}
	return d.file + ":" + strconv.Itoa(t.Position.Line) + ":" + strconv.Itoa(t.Position.Column)
}

func (d *decoder) fail(t *token.Token, path, format string, args ...any) {
	if path != "" {
		path += ": "
	}
	d.errs = append(d.errs, fmt.Errorf("%s: %s%s: %w", d.at(t), path, fmt.Sprintf(format, args...), ErrInvalid))
}

// object decodes a mapping into a struct.
func (d *decoder) object(n ast.Node, path string, into reflect.Value) {
	entries, ok := d.entries(n, path)
	if !ok {
		return
	}
	fields := fieldsOf(into.Type())
	for _, e := range entries {
		key, tok := e.Key.GetToken().Value, e.Key.GetToken()
		i, known := fields.index[key]
		switch {
		case known:
			d.value(e.Value, join(path, key), into.Field(i))
		case fields.rest >= 0:
			d.origin[join(path, key)] = d.at(tok)
			rest := into.Field(fields.rest)
			if rest.IsNil() {
				rest.Set(reflect.MakeMap(rest.Type()))
			}
			if v, ok := d.free(e.Value, join(path, key), maxNesting); ok {
				rest.SetMapIndex(reflect.ValueOf(key), reflect.ValueOf(&v).Elem())
			}
		default:
			d.fail(tok, "", "unknown key %q%s", join(path, key), didYouMean(key, path, fields.names))
		}
	}
}

// didYouMean names the nearest known key, or all of them when none is near.
func didYouMean(key, path string, known []string) string {
	if best := nearest(key, known); best != "" {
		return fmt.Sprintf("; did you mean %q?", join(path, best))
	}
	return "; known keys here are " + strings.Join(known, ", ")
}

// entries are the key-value pairs of a mapping.
func (d *decoder) entries(n ast.Node, path string) ([]*ast.MappingValueNode, bool) {
	switch m := n.(type) {
	case *ast.MappingNode:
		for _, v := range m.Values {
			if v.Key.IsMergeKey() {
				d.fail(v.Key.GetToken(), path, "merge keys (<<) are not read; write the values out")
				return nil, false
			}
		}
		return m.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{m}, true
	default:
		d.mismatch(n, path, "keys and values")
		return nil, false
	}
}

// value decodes any node into a field.
func (d *decoder) value(n ast.Node, path string, into reflect.Value) {
	d.origin[path] = d.at(first(n))
	switch into.Kind() {
	case reflect.Struct:
		d.object(n, path, into)
	case reflect.Pointer: // a section whose presence means something
		into.Set(reflect.New(into.Type().Elem()))
		d.value(n, path, into.Elem())
	case reflect.Slice:
		seq, ok := n.(*ast.SequenceNode)
		if !ok {
			d.mismatch(n, path, "a list")
			return
		}
		list := reflect.MakeSlice(into.Type(), len(seq.Values), len(seq.Values))
		for i, v := range seq.Values {
			d.value(v, path+"["+strconv.Itoa(i)+"]", list.Index(i))
		}
		into.Set(list)
	case reflect.Map:
		if v, ok := d.free(n, path, maxNesting); ok {
			m, isMap := v.(map[string]any)
			if !isMap {
				d.mismatch(n, path, "keys and values")
				return
			}
			into.Set(reflect.ValueOf(m))
		}
	default:
		d.scalar(n, path, into)
	}
}

// first is the token that a person sees a node begin with: the parser gives that of a mapping in block style the colon
// after its first key.
func first(n ast.Node) *token.Token {
	switch m := n.(type) {
	case *ast.MappingNode:
		if !m.IsFlowStyle && len(m.Values) > 0 {
			return m.Values[0].Key.GetToken()
		}
	case *ast.MappingValueNode:
		return m.Key.GetToken()
	}
	return n.GetToken()
}

func (d *decoder) scalar(n ast.Node, path string, into reflect.Value) {
	var text string
	quoted := false
	switch s := n.(type) {
	case *ast.StringNode:
		text, quoted = s.Value, true
	case *ast.LiteralNode:
		text, quoted = s.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		text = n.GetToken().Value
	}
	want := wanted(into)
	isText := want == "text"
	isWord := into.Type() == reflect.TypeFor[Size]() || into.Type() == reflect.TypeFor[time.Duration]()
	switch {
	case text == "" && !quoted:
		d.mismatch(n, path, want)
		return
	case isText && !quoted:
		d.fail(n.GetToken(), path, "want text, found %s; put it in quotes", text)
		return
	case !isText && !isWord && quoted:
		d.mismatch(n, path, want)
		return
	}
	if err := setScalar(into, text); err != nil {
		d.fail(n.GetToken(), path, "%v", err)
	}
}

// mismatch says what was wanted and what is there.
func (d *decoder) mismatch(n ast.Node, path, want string) {
	found := "a value of another kind"
	switch v := n.(type) {
	case *ast.NullNode:
		found = `nothing (remove the key or give it a value; the word null needs quotes: "null")`
	case *ast.AnchorNode, *ast.AliasNode:
		found = "an anchor or alias; write the value out"
	case *ast.TagNode:
		found = "a tag; write the plain value"
	case *ast.MappingNode, *ast.MappingValueNode:
		found = "keys and values"
	case *ast.SequenceNode:
		found = "a list"
	case *ast.StringNode:
		found = fmt.Sprintf("the text %q", v.Value)
	case *ast.LiteralNode:
		found = "a block of text"
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		found = n.GetToken().Value
	}
	d.fail(n.GetToken(), path, "want %s, found %s", want, found)
}

// free decodes a value of any shape into nil, bool, int64, uint64, float64, string, []any and map[string]any.
func (d *decoder) free(n ast.Node, path string, depth int) (any, bool) {
	if depth == 0 {
		d.fail(n.GetToken(), path, "nested deeper than %d levels", maxNesting)
		return nil, false
	}
	switch v := n.(type) {
	case *ast.NullNode:
		return nil, true
	case *ast.BoolNode:
		return v.Value, true
	case *ast.IntegerNode:
		return v.Value, true
	case *ast.FloatNode:
		return v.Value, true
	case *ast.InfinityNode:
		return v.Value, true
	case *ast.NanNode:
		return math.NaN(), true
	case *ast.StringNode:
		return v.Value, true
	case *ast.LiteralNode:
		return v.Value.Value, true
	case *ast.SequenceNode:
		out := make([]any, 0, len(v.Values))
		for i, e := range v.Values {
			one, ok := d.free(e, path+"["+strconv.Itoa(i)+"]", depth-1)
			if !ok {
				return nil, false
			}
			out = append(out, one)
		}
		return out, true
	case *ast.MappingNode, *ast.MappingValueNode:
		entries, ok := d.entries(n, path)
		if !ok {
			return nil, false
		}
		out := make(map[string]any, len(entries))
		for _, e := range entries {
			key := e.Key.GetToken().Value
			one, ok := d.free(e.Value, join(path, key), depth-1)
			if !ok {
				return nil, false
			}
			out[key] = one
		}
		return out, true
	default:
		d.mismatch(n, path, "a plain value")
		return nil, false
	}
}

// fields are the keys of a struct by their yaml tags.
type fields struct {
	names []string
	index map[string]int
	rest  int // the map that takes all other keys, or -1
}

func fieldsOf(t reflect.Type) fields {
	f := fields{index: map[string]int{}, rest: -1}
	for i := range t.NumField() {
		tag, ok := t.Field(i).Tag.Lookup("yaml")
		switch {
		case !ok:
		case tag == ",inline":
			f.rest = i
		default:
			f.names = append(f.names, tag)
			f.index[tag] = i
		}
	}
	return f
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// wanted describes the type of a scalar field.
func wanted(v reflect.Value) string {
	switch {
	case v.Type() == reflect.TypeFor[Size]():
		return "bytes such as 512MiB"
	case v.Type() == reflect.TypeFor[time.Duration]():
		return "a duration such as 30s"
	case v.Kind() == reflect.Bool:
		return "true or false"
	case v.CanInt():
		return "a whole number"
	case v.CanFloat():
		return "a number"
	default:
		return "text"
	}
}

// duration is Go's, and whole days: 30d.
func duration(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	return time.ParseDuration(text)
}

// setScalar parses text by the type of the field. YAML, environment and flags share it.
func setScalar(into reflect.Value, text string) error {
	switch into.Type() {
	case reflect.TypeFor[Size]():
		n, err := ParseSize(text)
		if err != nil {
			return err
		}
		into.SetInt(int64(n))
		return nil
	case reflect.TypeFor[time.Duration]():
		d, err := duration(text)
		if err != nil {
			return fmt.Errorf("want a duration such as 30s or 2m, found %q", text)
		}
		into.SetInt(int64(d))
		return nil
	}
	bad := fmt.Errorf("want %s, found %q", wanted(into), text)
	switch into.Kind() {
	case reflect.Bool:
		if !slices.Contains([]string{"true", "false"}, strings.ToLower(text)) {
			return bad
		}
		into.SetBool(strings.EqualFold(text, "true"))
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(strings.ReplaceAll(text, "_", ""), 10, 64)
		if err != nil || into.OverflowInt(n) {
			return bad
		}
		into.SetInt(n)
	case reflect.Float64:
		f, err := strconv.ParseFloat(strings.ReplaceAll(text, "_", ""), 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return bad
		}
		into.SetFloat(f)
	default:
		into.SetString(text)
	}
	return nil
}
