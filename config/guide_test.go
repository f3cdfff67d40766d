package config

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

// guide is what the page for operators says of each key.
const guide = "../docs/guides/model-config.md"

var guideRow = regexp.MustCompile("^\\| `([^`]+)` \\| (?:`([^`]*)`|-) \\| ")

// TestGuide holds the tables of the guide against the structs: the same keys, and the defaults that it names.
func TestGuide(t *testing.T) {
	page, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	modelPart, daemonPart, found := strings.Cut(string(page), "\n## The daemon's file\n")
	if !found {
		t.Fatal("the guide has no part about the daemon's file")
	}
	model := DefaultModel()
	// The values that conditions have when they are there.
	model.Triggers.Drift = &DriftTrigger{Windows: 3, Agree: 2, Share: model.Monitoring.Share}
	model.Triggers.NewData = &NewDataTrigger{MinRows: 10000}
	model.Triggers.Performance = &PerformanceTrigger{Metric: "auc", MinRows: 1000, MinMaturity: 0.8}
	for name, c := range map[string]struct {
		text  string
		value any
	}{
		"model": {modelPart, model}, "daemon": {daemonPart, Default()},
	} {
		want := map[string]string{}
		leafValues(reflect.ValueOf(c.value), "", want)
		seen := map[string]bool{}
		for line := range strings.Lines(c.text) {
			row := guideRow.FindStringSubmatch(line)
			if row == nil {
				if strings.HasPrefix(line, "| `") {
					t.Errorf("%s: a row without key, default and meaning: %s", name, line)
				}
				continue
			}
			key, said := row[1], row[2]
			value, there := want[key]
			switch {
			case !there:
				t.Errorf("%s: the guide has %s, which is no key", name, key)
			case seen[key]:
				t.Errorf("%s: the guide has %s twice", name, key)
			case said != value && (said != "" || !zero(value)):
				t.Errorf("%s: %s is %q by default, the guide says %q", name, key, value, said)
			}
			seen[key] = true
		}
		for key := range want {
			if !seen[key] {
				t.Errorf("%s: the guide lacks %s", name, key)
			}
		}
	}
}

// zero are the values that the guide may leave out.
func zero(value string) bool { return value == "" || value == "0" || value == "0s" }

// leafValues collects the keys below v with their values as the guide writes them. Sections in lists are "key[].".
func leafValues(v reflect.Value, path string, into map[string]string) {
	f := fieldsOf(v.Type())
	for _, name := range f.names {
		field, key := v.Field(f.index[name]), join(path, name)
		if field.Kind() == reflect.Pointer {
			field = field.Elem()
		}
		switch {
		case field.Kind() == reflect.Struct:
			leafValues(field, key, into)
		case field.Kind() == reflect.Slice && field.Type().Elem().Kind() == reflect.Struct:
			leafValues(reflect.Zero(field.Type().Elem()), key+"[]", into)
		case field.Kind() == reflect.Slice || field.Kind() == reflect.Map:
			into[key] = ""
		default:
			into[key] = guideValue(field.Interface())
		}
	}
}

func guideValue(v any) string {
	d, ok := v.(time.Duration)
	switch {
	case !ok:
		return fmt.Sprint(v)
	case d >= 48*time.Hour && d%(24*time.Hour) == 0:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	}
	text := d.String()
	for _, tail := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, tail) {
			text = text[:len(text)-2]
		}
	}
	return text
}
