// Package pydata holds what a Python file says, as inert data: containers, scalars, the names of classes and functions,
// and the arguments that a pickle would pass to them.
//
//	pickle bytes --pickle--> Value <--skops-- zip of JSON and .npy
//
// # Invariants
//
//	P1  A Global is two strings. Nothing in this module maps it to behaviour; decoders compare it with names they know.
//	P2  Containers may be shared and may contain themselves. Nobody walks a Value without a schema, so neither costs
//	    anything.
//
// # Ownership
//
// Byte slices view the file's bytes: they must not be changed.
package pydata

import "slices"

// Value is nil (None), bool, int64, *Long, float64, string, []byte, *List, *Tuple, *Dict, *Global, *Object, or what the
// decoder of a container format adds (*ndarray.Array).
type Value any

// Long is an integer that no int64 holds; its digits are of no use to a model.
type Long struct{ Bytes []byte }

// List is a list, or a set.
type List struct{ Items []Value }

// Tuple is a tuple.
type Tuple struct{ Items []Value }

// Dict is a dict in the order of its pairs. Keys may repeat in a hostile file: the last one counts, as in Python.
type Dict struct{ Keys, Values []Value }

// Get returns the value of a string key.
func (d *Dict) Get(key string) (Value, bool) {
	for i, k := range slices.Backward(d.Keys) {
		if k, ok := k.(string); ok && k == key {
			return d.Values[i], true
		}
	}
	return nil, false
}

// Global is the name of a class or function.
type Global struct{ Module, Name string }

// String returns module.name.
func (g *Global) String() string { return g.Module + "." + g.Name }

// Is reports whether g has this full name.
func (g *Global) Is(full string) bool {
	return g != nil && len(full) == len(g.Module)+1+len(g.Name) && full[:len(g.Module)] == g.Module &&
		full[len(g.Module)] == '.' && full[len(g.Module)+1:] == g.Name
}

// Object is what calling Class with Args would have made, had anything been called.
type Object struct {
	Class *Global
	Args  []Value
	State Value // nil when it was never set
	Items []Value
	Pairs Dict
	// Payload is what a container format stores beside the pickle (joblib's arrays).
	Payload Value
}

// Attr returns an attribute of the state of an object whose state is a dict.
func (o *Object) Attr(name string) (Value, bool) {
	d, ok := o.State.(*Dict)
	if !ok {
		return nil, false
	}
	return d.Get(name)
}

// Sequence returns the items of a list or tuple.
func Sequence(v Value) ([]Value, bool) {
	switch v := v.(type) {
	case *List:
		return v.Items, true
	case *Tuple:
		return v.Items, true
	}
	return nil, false
}

// Kind names the type of a value for error messages.
func Kind(v Value) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		return "a bool"
	case int64, *Long:
		return "an int"
	case float64:
		return "a float"
	case string:
		return "a str"
	case []byte:
		return "bytes"
	case *List:
		return "a list"
	case *Tuple:
		return "a tuple"
	case *Dict:
		return "a dict"
	case *Global:
		return "the name " + clip(v.String())
	case *Object:
		return "a " + clip(v.Class.String())
	}
	return "an array"
}

func clip(s string) string {
	if len(s) > 120 {
		return s[:120] + "..."
	}
	return s
}
