package lightgbm

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/loader/internal/fault"
	"github.com/treeline-ml/treeline/loader/internal/limit"
)

// readVocabularies reads the JSON after "pandas_categorical:": null, or a list of lists, one for each column of dtype
// category in column order, of strings, numbers and booleans. A value's position is its code.
func (d *decoder) readVocabularies() ([][]forest.Category, error) {
	in := json.NewDecoder(lineReader{&d.in})
	in.UseNumber()
	v, err := readVocabularies(in, d.limits)
	if err != nil {
		return nil, err
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return nil, fault.Malformed("text after the list")
	}
	return v, d.in.skip()
}

func readVocabularies(in *json.Decoder, l limit.Limits) ([][]forest.Category, error) {
	t, err := token(in)
	if err != nil || t == nil {
		return nil, err
	}
	if t != json.Delim('[') {
		return nil, fault.Malformed("%v where a list is wanted", t)
	}
	out := [][]forest.Category{}
	for {
		t, err := token(in)
		if err != nil {
			return nil, err
		}
		switch t {
		case json.Delim(']'):
			return out, nil
		case json.Delim('['):
			one, err := readVocabulary(in, l)
			if err != nil {
				return nil, fault.At(fmt.Sprintf("list %d", len(out)), err)
			}
			out = append(out, one)
		default:
			return nil, fault.Malformed("%v where a list is wanted", t)
		}
		if err := limit.Check("Features", l.Features, int64(len(out))); err != nil {
			return nil, err
		}
	}
}

func readVocabulary(in *json.Decoder, l limit.Limits) ([]forest.Category, error) {
	var out []forest.Category
	for {
		t, err := token(in)
		if err != nil {
			return nil, err
		}
		if t == json.Delim(']') {
			return out, nil
		}
		c, err := category(t)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
		if err := limit.Check("Categories", l.Categories, int64(len(out))); err != nil {
			return nil, err
		}
	}
}

// token is in.Token with the errors of this package.
func token(in *json.Decoder) (json.Token, error) {
	t, err := in.Token()
	if err == nil {
		return t, nil
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fault.Truncated("pandas_categorical")
	}
	if _, ok := errors.AsType[*json.SyntaxError](err); ok {
		return nil, fault.Malformed("no JSON: %w", err)
	}
	return nil, err
}

func category(t json.Token) (forest.Category, error) {
	switch v := t.(type) {
	case string:
		return forest.Category{Kind: forest.CategoryText, Text: v}, nil
	case bool:
		c := forest.Category{Kind: forest.CategoryBool}
		if v {
			c.Number = 1
		}
		return c, nil
	case json.Number:
		if !strings.ContainsAny(v.String(), ".eE") {
			n, err := v.Int64()
			if err != nil || n < -1<<53 || n > 1<<53 {
				return forest.Category{}, fault.NotSupported("integer categories beyond 2^53 (%.40s)", v)
			}
		}
		f, err := v.Float64()
		if err != nil {
			return forest.Category{}, fault.Malformed("category %.40s: %w", v, err)
		}
		return forest.Category{Kind: forest.CategoryNumber, Number: f}, nil
	}
	return forest.Category{}, fault.Malformed("%v where a category is wanted", t)
}

// declared parses the value of the parameter categorical_feature: "1,4" or "name:a,b". What does not parse is left out:
// it only helps to find the categorical columns.
func (d *decoder) declared(value string) {
	value = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "]"))
	names, byName := strings.CutPrefix(value, "name:")
	for part := range strings.SplitSeq(names, ",") {
		if byName {
			for i, n := range d.head.names {
				if n == part {
					d.categorical[i] = true
				}
			}
			continue
		}
		if n, err := integer(word{text: []byte(part)}, 0, d.head.features-1); err == nil {
			d.categorical[n] = true
		}
	}
}

// attach gives the vocabularies to their features. The file lists them without names, in column order; it also lists
// columns of ordered categories, whose codes the library splits as numbers.
func (d *decoder) attach(features []forest.Feature, vocabularies [][]forest.Category) error {
	if len(vocabularies) == 0 {
		return nil
	}
	columns, err := d.columnsOf(vocabularies)
	if err != nil {
		return err
	}
	for i, column := range columns {
		features[column].Kind = forest.Categorical
		features[column].Vocabulary = vocabularies[i]
		features[column].Unknown = forest.UnknownMissing
	}
	return nil
}

// columnsOf finds the column of each vocabulary: the categorical ones in order when there are as many, otherwise the
// only choice of columns that the ranges seen in training allow.
func (d *decoder) columnsOf(vocabularies [][]forest.Category) ([]int, error) {
	var listed []int
	for i, is := range d.categorical {
		if is {
			listed = append(listed, i)
		}
	}
	if len(listed) == len(vocabularies) {
		fits := true
		for i, column := range listed {
			fits = fits && d.fits(column, len(vocabularies[i]))
		}
		if fits {
			return listed, nil
		}
	}
	columns, choices := d.onlyChoice(vocabularies, len(listed) <= len(vocabularies))
	if choices == 1 {
		return columns, nil
	}
	return nil, fault.NotSupported("pandas categories whose columns cannot be told: %d lists, %d categorical features",
		len(vocabularies), len(listed))
}

// onlyChoice counts (up to 2) the ways to give each vocabulary a column, in order, and returns the first. With all set,
// each categorical column must get one.
func (d *decoder) onlyChoice(vocabularies [][]forest.Category, all bool) ([]int, int) {
	n, k := len(d.categorical), len(vocabularies)
	if k > n || int64(n)*int64(k) > 1<<24 {
		return nil, 0
	}
	// ways[i*(k+1)+j]: choices for vocabularies j.. among columns i.., at most 2.
	ways := make([]uint8, (n+1)*(k+1))
	ways[n*(k+1)+k] = 1
	for i := n - 1; i >= 0; i-- {
		for j := k; j >= 0; j-- {
			w := uint8(0)
			if !all || !d.categorical[i] {
				w = ways[(i+1)*(k+1)+j]
			}
			if j < k && d.fits(i, len(vocabularies[j])) {
				w += ways[(i+1)*(k+1)+j+1]
			}
			ways[i*(k+1)+j] = min(w, 2)
		}
	}
	var columns []int
	for i, j := 0, 0; i < n && ways[0] == 1; i++ {
		if j < k && d.fits(i, len(vocabularies[j])) && ways[(i+1)*(k+1)+j+1] == 1 {
			columns = append(columns, i)
			j++
		}
	}
	return columns, int(ways[0])
}

// fits reports whether the codes 0..size-1 agree with what column held in training.
func (d *decoder) fits(column, size int) bool {
	if len(d.head.infos) == 0 {
		return d.categorical[column]
	}
	in := d.head.infos[column]
	switch in.kind {
	case infoCategorical:
		return in.max < int64(size)
	case infoNumeric:
		return !d.categorical[column] && in.from >= 0 && in.to < float64(size) &&
			in.from == math.Trunc(in.from) && in.to == math.Trunc(in.to)
	}
	return true
}
