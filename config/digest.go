package config

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"reflect"
	"strconv"
)

// digestFormat changes when a default changes that scores or verdicts depend on.
const digestFormat = "treeline.config/1"

// Digest is "sha256:<hex>" over the settings that scores and verdicts depend on: data, hyperparameters, metrics, classes,
// output, threshold, split, gates and drift thresholds, but not when a model is trained, how often, and who hears of it.
// Only what differs from the defaults is hashed, as canonical JSON: equal settings have equal digests however the file
// writes them, and keys that later releases add do not change it.
func (m Model) Digest() string {
	settings, _ := difference(canonical(reflect.ValueOf(m)), canonical(reflect.ValueOf(resolvedDefaults()))).(map[string]any)
	b, err := json.Marshal(map[string]any{"format": digestFormat, "settings": settings}) // keys of maps are sorted
	if err != nil {
		panic("config: canonical values are always JSON: " + err.Error())
	}
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func resolvedDefaults() Model {
	m := DefaultModel()
	m.fillDefaults()
	return m
}

// difference is what v has other than base: nil when nothing, and only the differing keys of mappings.
func difference(v, base any) any {
	m, isMap := v.(map[string]any)
	b, bothMaps := base.(map[string]any)
	if !isMap || !bothMaps {
		if reflect.DeepEqual(v, base) {
			return nil
		}
		return v
	}
	out := map[string]any{}
	for key, value := range m {
		other, there := b[key]
		if !there {
			out[key] = value
			continue
		}
		if d := difference(value, other); d != nil {
			out[key] = d
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// canonical turns settings into what JSON can write: structs into maps by their keys, numbers into text. Fields that are
// marked as no part of the digest are left out.
func canonical(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Interface, reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return canonical(v.Elem())
	case reflect.Struct:
		out := map[string]any{}
		f := fieldsOf(v.Type())
		for key, i := range f.index {
			if v.Type().Field(i).Tag.Get("digest") != "-" {
				out[key] = canonical(v.Field(i))
			}
		}
		if f.rest >= 0 {
			for it := v.Field(f.rest).MapRange(); it.Next(); {
				out[it.Key().String()] = canonical(it.Value())
			}
		}
		return out
	case reflect.Map:
		out := map[string]any{}
		for it := v.MapRange(); it.Next(); {
			out[it.Key().String()] = canonical(it.Value())
		}
		return out
	case reflect.Slice:
		out := make([]any, 0, v.Len())
		for i := range v.Len() {
			out = append(out, canonical(v.Index(i)))
		}
		return out
	case reflect.Float64:
		// Text keeps NaN, infinities and every bit, and keeps 1.0 apart from "1".
		return number(strconv.FormatFloat(v.Float(), 'g', -1, 64))
	case reflect.Int, reflect.Int64:
		return number(strconv.FormatInt(v.Int(), 10))
	case reflect.Uint64:
		return number(strconv.FormatUint(v.Uint(), 10))
	case reflect.Bool:
		return v.Bool()
	default:
		return "text " + v.String()
	}
}

func number(text string) string { return "number " + text }
