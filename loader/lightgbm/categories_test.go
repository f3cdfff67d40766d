package lightgbm_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/loader"
)

// columns returns which features have a vocabulary, by the first entry's text.
func columns(m *forest.Model) string {
	var out []string
	for _, f := range m.Features {
		switch {
		case len(f.Vocabulary) > 0:
			out = append(out, f.Vocabulary[0].Text)
		case f.Kind == forest.Categorical:
			out = append(out, "codes")
		default:
			out = append(out, "-")
		}
	}
	return strings.Join(out, " ")
}

// TestVocabularies: pandas_categorical has no column names. Where the columns cannot be told, the model is refused.
func TestVocabularies(t *testing.T) {
	for _, c := range []struct {
		name, infos, declared, lists, want string
	}{
		{"as many as there are", "[0:1] 0:1:2 1:0 [-3:3]", "1,2", `[["p","q","r"],["s","t"]]`, "- p s -"},
		{"a constant one", "[0:1] none 1:0 [-3:3]", "1,2", `[["p"],["s","t"]]`, "- p s -"},
		{"none", "[0:1] 0:1 [0:1] [0:1]", "1", `[]`, "- codes - -"},
		{"numpy", "[0:1] 0:1 [0:1] [0:1]", "1", `null`, "- codes - -"},
		{"an ordered one before", "[0:4] [-1:1] 0:1 [-3:3.5]", "2", `[["o","","","",""],["s","t"]]`, "o - s -"},
		{"an ordered one after", "[-2:4] [-1:1] 0:1 [0:3]", "2", `[["s","t"],["o","","",""]]`, "- - s o"},
		{"one of several by codes", "[-1:1] 0:7 0:1 [-3:3]", "1,2", `[["s","t"]]`, "- codes s -"},
		{"either could be ordered", "[0:2] [0:2] 0:1 [-3:3]", "2", `[["o","p","q"],["s","t"]]`, ""},
		{"either has codes", "[-1:1] 0:1 0:1 [-3:3]", "1,2", `[["s","t"]]`, ""},
		{"too many codes", "[-1:1] 0:5 [-1:1] [-1:1]", "1", `[["s","t"]]`, ""},
		{"more than columns", "[-1:1] 0:1 [-1:1] [-1:1]", "1", `[["s"],["s"],["s"],["s"],["s"]]`, ""},
	} {
		text := file{
			names: "a b c d", infos: c.infos,
			tail: "parameters:\n[categorical_feature: " + c.declared + "]\nend of parameters\n\npandas_categorical:" + c.lists + "\n",
		}.text()
		m, err := decode(text)
		if c.want == "" {
			if !errors.Is(err, loader.ErrNotSupported) || !strings.Contains(err.Error(), "pandas") {
				t.Errorf("%s: %v, want a refusal", c.name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if got := columns(m); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestCategoryTypes(t *testing.T) {
	withLists := func(lists string) string {
		return file{
			infos: "0:1:2 [0:1]", tail: "parameters:\nend of parameters\n\npandas_categorical:" + lists,
		}.text()
	}
	m, err := decode(withLists(`[["a=\"b\"","größe",true,false,-3,2.5,1e300,9007199254740992]]`))
	if err != nil {
		t.Fatal(err)
	}
	want := []forest.Category{
		{Kind: forest.CategoryText, Text: `a="b"`},
		{Kind: forest.CategoryText, Text: "größe"},
		{Kind: forest.CategoryBool, Number: 1},
		{Kind: forest.CategoryBool},
		{Kind: forest.CategoryNumber, Number: -3},
		{Kind: forest.CategoryNumber, Number: 2.5},
		{Kind: forest.CategoryNumber, Number: 1e300},
		{Kind: forest.CategoryNumber, Number: 1 << 53},
	}
	if got := m.Features[0]; !reflect.DeepEqual(got.Vocabulary, want) || got.Unknown != forest.UnknownMissing {
		t.Errorf("got %v, want %v", got, want)
	}
	for lists, want := range map[string]error{
		``: loader.ErrMalformed, `[`: loader.ErrMalformed, `[["a"]`: loader.ErrMalformed, `[["a"]] x`: loader.ErrMalformed,
		`{}`: loader.ErrMalformed, `[1]`: loader.ErrMalformed, `[[null]]`: loader.ErrMalformed, `[[[1]]]`: loader.ErrMalformed,
		`["a"]`: loader.ErrMalformed, `nul`: loader.ErrMalformed, `[[NaN]]`: loader.ErrMalformed, `[[1e999]]`: loader.ErrMalformed,
		`[[9007199254740993]]`: loader.ErrNotSupported, `[[99999999999999999999]]`: loader.ErrNotSupported,
	} {
		if _, err := decode(withLists(lists)); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", lists, err, want)
		}
	}
}
