// Package render writes results: tables for people, JSON and YAML for programs, and progress on standard error.
//
// JSON is stable: keys are snake_case and always present, 64-bit integers are numbers, enum values are the lower-case
// name without its prefix ("champion"), times are RFC 3339 in UTC or null. YAML is the same document.
package render

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"

	"github.com/goccy/go-yaml"
)

// Format is an output format; it is a flag value.
type Format string

// The formats.
const (
	Table Format = "table"
	JSON  Format = "json"
	YAML  Format = "yaml"
)

// String returns the flag's value.
func (f *Format) String() string { return string(*f) }

// Type is the placeholder in help texts.
func (f *Format) Type() string { return "table|json|yaml" }

// Set accepts one of the formats.
func (f *Format) Set(s string) error {
	switch v := Format(s); v {
	case Table, JSON, YAML:
		*f = v
		return nil
	}
	return errors.New("must be table, json or yaml")
}

// Document writes v, a value for encoding/json, as indented JSON or as YAML with the same keys in the same order.
func Document(w io.Writer, f Format, v any) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("writing the result as json: %w", err)
	}
	if f == YAML {
		doc, err := yaml.JSONToYAML(buf.Bytes())
		if err != nil {
			return fmt.Errorf("writing the result as yaml: %w", err)
		}
		buf.Reset()
		buf.Write(doc)
	}
	doc := buf.Bytes()
	if f == JSON {
		doc = numberLists.ReplaceAllFunc(doc, oneLine)
	}
	_, err := w.Write(doc)
	return err
}

// numberLists finds indented lists of numbers. A JSON string holds no line break, so none is mistaken for one.
var numberLists = regexp.MustCompile(`\[\n(?:\s*-?[0-9][0-9.eE+-]*,?\n)+\s*\]`)

// oneLine puts a list of numbers on one line: a histogram is not worth a hundred.
func oneLine(list []byte) []byte {
	return bytes.ReplaceAll(bytes.Join(bytes.Fields(list), nil), []byte(","), []byte(", "))
}

// plain is json.Marshal without escapes for HTML: "->" stays readable.
func plain(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}
