package skops

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"

	"github.com/treeline-ml/treeline/loader/internal/fault"
	"github.com/treeline-ml/treeline/loader/internal/limit"
)

// object is a JSON object in the order of its keys; skops relies on it.
type object struct {
	keys   []string
	values []any // nil, bool, json.Number, string, []any, *object
}

func (o *object) get(key string) any {
	for i, k := range slices.Backward(o.keys) {
		if k == key {
			return o.values[i]
		}
	}
	return nil
}

func (o *object) text(key string) string {
	s, _ := o.get(key).(string)
	return s
}

// parseJSON reads a document within the limits.
func parseJSON(text []byte, l limit.Limits) (any, error) {
	in := json.NewDecoder(bytes.NewReader(text))
	in.UseNumber()
	p := jsonParser{in: in, limits: l}
	v, err := p.value(0)
	if err != nil {
		return nil, err
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return nil, fault.Malformed("text after the JSON document")
	}
	return v, nil
}

type jsonParser struct {
	in     *json.Decoder
	limits limit.Limits
	count  int64
}

func (p *jsonParser) token() (json.Token, error) {
	t, err := p.in.Token()
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fault.Truncated("the JSON document")
	case err != nil:
		return nil, fault.Malformed("the JSON document: %v", err)
	}
	p.count++
	return t, limit.Check("Objects", p.limits.Objects, p.count)
}

func (p *jsonParser) value(depth int64) (any, error) {
	t, err := p.token()
	if err != nil {
		return nil, err
	}
	d, ok := t.(json.Delim)
	if !ok {
		return t, nil
	}
	if err := limit.Check("NestingDepth", p.limits.NestingDepth, depth+1); err != nil {
		return nil, err
	}
	var list []any
	o := &object{}
	for p.in.More() {
		if d == '{' {
			key, err := p.token()
			if err != nil {
				return nil, err
			}
			o.keys = append(o.keys, key.(string))
		}
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		if d == '{' {
			o.values = append(o.values, v)
		} else {
			list = append(list, v)
		}
	}
	if _, err := p.token(); err != nil {
		return nil, err
	}
	if d == '{' {
		return o, nil
	}
	return list, nil
}
