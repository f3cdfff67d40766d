package skops

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"github.com/treeline-ml/treeline/loader/internal/fault"
	"github.com/treeline-ml/treeline/loader/internal/limit"
	"github.com/treeline-ml/treeline/loader/internal/ndarray"
	"github.com/treeline-ml/treeline/loader/internal/pydata"
)

type decoder struct {
	archive *archive
	o       Options
	arrays  map[string]pydata.Value // by member: one that is named twice is read once
	values  int64
}

func (d *decoder) root(v any) (pydata.Value, error) {
	root, ok := v.(*object)
	if !ok {
		return nil, fault.Malformed("%s is no JSON object", schemaName)
	}
	protocol, ok := root.get("protocol").(json.Number)
	if !ok {
		return nil, fault.Malformed("%s states no protocol", schemaName)
	}
	if n, err := protocol.Int64(); err != nil || n < 0 || n > maxProtocol {
		return nil, fault.NotSupported("protocol %.20s of skops", protocol)
	}
	return d.node(root)
}

// node converts a node. Its depth is bounded by that of the document.
func (d *decoder) node(v any) (pydata.Value, error) {
	n, ok := v.(*object)
	if !ok {
		return nil, fault.Malformed("a node that is no JSON object")
	}
	d.values++
	if err := limit.Check("Objects", d.o.Limits.Objects, d.values); err != nil {
		return nil, err
	}
	class := &pydata.Global{Module: n.text("__module__"), Name: n.text("__class__")}
	switch kind := n.text("__loader__"); kind {
	case "JsonNode":
		return scalar(n.get("content"))
	case "DictNode":
		return d.dict(class, n)
	case "ListNode", "SetNode", "TupleNode":
		items, err := d.list(n.get("content"))
		if kind == "TupleNode" {
			return &pydata.Tuple{Items: items}, err
		}
		return &pydata.List{Items: items}, err
	case "ObjectNode":
		return d.object(class, n)
	case "TreeNode":
		return d.tree(class, n)
	case "NdArrayNode":
		return d.array(n)
	case "BytesNode", "BytearrayNode":
		return d.bytes(n)
	case "TypeNode":
		if !isBuiltin(class) && !d.o.Allow(class.Module, class.Name) {
			return nil, refused(class)
		}
		return class, nil
	case "DefaultDictNode", "DTypeNode", "RandomStateNode", "RandomGeneratorNode", "SliceNode":
		return &pydata.Object{Class: class}, nil // no model needs what they hold
	case "FunctionNode", "MethodNode", "PartialNode", "OperatorFuncNode", "ConstructorFromReduceNode":
		return nil, refused(class)
	default:
		return nil, fault.NotSupported("nodes of kind %.80q in skops files (%.80s)", kind, class)
	}
}

func refused(g *pydata.Global) error {
	return fault.NotSupported("%.200s", strings.ToValidUTF8(g.String(), "?"))
}

// isBuiltin reports whether a class is a type of keys, as key_types list them.
func isBuiltin(g *pydata.Global) bool {
	if g.Module != "builtins" {
		return false
	}
	switch g.Name {
	case "str", "int", "float", "bool", "bytes", "NoneType", "list", "dict", "tuple", "set", "type":
		return true
	}
	return false
}

// scalar reads the JSON text inside a JsonNode.
func scalar(content any) (pydata.Value, error) {
	text, ok := content.(string)
	if !ok {
		return nil, fault.Malformed("a scalar without content")
	}
	switch text {
	case "null":
		return nil, nil
	case "true", "false":
		return text == "true", nil
	case "NaN":
		return math.NaN(), nil
	case "Infinity":
		return math.Inf(1), nil
	case "-Infinity":
		return math.Inf(-1), nil
	}
	if strings.HasPrefix(text, `"`) {
		var s string
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			return nil, fault.Malformed("a string: %v", err)
		}
		return s, nil
	}
	var number json.Number
	if err := json.Unmarshal([]byte(text), &number); err != nil {
		// Lists and dicts of plain values are JSON as a whole; no model needs any that are written so.
		if json.Valid([]byte(text)) {
			return &pydata.Object{Class: &pydata.Global{Module: "json", Name: "value"}}, nil
		}
		return nil, fault.Malformed("a scalar %.40q", text)
	}
	if i, err := number.Int64(); err == nil {
		return i, nil
	}
	if !strings.ContainsAny(text, ".eE") {
		return &pydata.Long{}, nil
	}
	f, err := number.Float64()
	if err != nil {
		return nil, fault.Malformed("a number %.40q", text)
	}
	return f, nil
}

func (d *decoder) list(content any) ([]pydata.Value, error) {
	items, ok := content.([]any)
	if !ok && content != nil {
		return nil, fault.Malformed("a list without content")
	}
	out := make([]pydata.Value, 0, len(items))
	for i, item := range items {
		v, err := d.node(item)
		if err != nil {
			return nil, fault.At(fmt.Sprintf("item %d", i), err)
		}
		out = append(out, v)
	}
	return out, nil
}

func (d *decoder) dict(class *pydata.Global, n *object) (pydata.Value, error) {
	if !class.Is("builtins.dict") && !class.Is("collections.OrderedDict") {
		return nil, refused(class)
	}
	content, ok := n.get("content").(*object)
	if !ok {
		return nil, fault.Malformed("a dict without content")
	}
	out := &pydata.Dict{}
	for i, key := range content.keys {
		v, err := d.node(content.values[i])
		if err != nil {
			return nil, fault.At(fmt.Sprintf("%.80q", key), err)
		}
		out.Keys = append(out.Keys, key)
		out.Values = append(out.Values, v)
	}
	return out, nil
}

func (d *decoder) object(class *pydata.Global, n *object) (pydata.Value, error) {
	if !d.o.Allow(class.Module, class.Name) {
		return nil, refused(class)
	}
	o := &pydata.Object{Class: class}
	var err error
	if content := n.get("content"); content != nil {
		o.State, err = d.node(content)
	}
	return o, err
}

// tree reads a node of an object that __reduce__ describes: the arguments of its class, and its state.
func (d *decoder) tree(class *pydata.Global, n *object) (pydata.Value, error) {
	if !d.o.Allow(class.Module, class.Name) {
		return nil, refused(class)
	}
	reduce, ok := n.get("__reduce__").(*object)
	if !ok {
		return nil, fault.Malformed("a %s without __reduce__", class)
	}
	args, err := d.node(reduce.get("args"))
	if err != nil {
		return nil, err
	}
	items, ok := pydata.Sequence(args)
	if !ok {
		return nil, fault.Malformed("the arguments of %s are %s", class, pydata.Kind(args))
	}
	o := &pydata.Object{Class: class, Args: items}
	o.State, err = d.node(n.get("content"))
	return o, err
}

func (d *decoder) array(n *object) (pydata.Value, error) {
	if n.text("type") == "json" {
		return d.objects(n)
	}
	name := n.text("file")
	if n.text("type") != "numpy" || !memberName(name, ".npy") {
		return nil, fault.Malformed("an array of type %.40q in the member %.80q", n.text("type"), name)
	}
	if v, ok := d.arrays[name]; ok {
		return v, nil
	}
	data, err := d.archive.read(name)
	if err != nil {
		return nil, err
	}
	a, err := ndarray.ParseNPY(data)
	if err != nil {
		return nil, fault.At(name, err)
	}
	d.arrays[name] = a
	return a, nil
}

func (d *decoder) objects(n *object) (pydata.Value, error) {
	shape, err := d.node(n.get("shape"))
	if err != nil {
		return nil, err
	}
	if dims, ok := pydata.Sequence(shape); !ok || len(dims) != 1 {
		return &pydata.Object{Class: &pydata.Global{Module: "numpy", Name: "ndarray"}}, nil // no model needs one of more
	}
	items, err := d.list(n.get("content"))
	if err != nil {
		return nil, err
	}
	return ndarray.OfObjects([]int64{int64(len(items))}, items)
}

func (d *decoder) bytes(n *object) (pydata.Value, error) {
	name := n.text("file")
	if !memberName(name, ".bin") {
		return nil, fault.Malformed("bytes in the member %.80q", name)
	}
	if v, ok := d.arrays[name]; ok {
		return v, nil
	}
	data, err := d.archive.read(name)
	if err == nil {
		d.arrays[name] = data
	}
	return data, err
}
