package lightgbm

import (
	"bytes"
	"math"
	"strconv"

	"github.com/treeline-ml/treeline/loader/internal/fault"
	"github.com/treeline-ml/treeline/loader/internal/limit"
)

// header is what stands before the first tree.
type header struct {
	version   string
	classes   int64
	outputs   int64 // num_tree_per_iteration
	features  int64 // max_feature_idx + 1
	objective string
	average   bool
	names     []string
	infos     []info
	sizes     []int64 // tree_sizes: bytes of each tree's block
	sized     bool    // tree_sizes was there
}

// info is a feature's entry of feature_infos.
type info struct {
	kind     infoKind
	max      int64   // infoCategorical: largest category seen in training; -1 when it is not known
	from, to float64 // infoNumeric: [from:to]
}

type infoKind uint8

const (
	infoNone        infoKind = iota // a constant feature, of either kind
	infoNumeric                     // [min:max]
	infoCategorical                 // 3:1:-1:2
)

// keyTree begins a tree's block.
const keyTree = "Tree"

// keyBytes bounds a key; known ones are shorter than 32 bytes.
const keyBytes = 256

// readHeader consumes the header and the key of the line after it, which it returns with its line number: "Tree", with
// its "=" consumed, or a line without "=" such as "end of trees". At the end of the file the key is empty.
func (d *decoder) readHeader() (key string, line int64, err error) {
	h := &d.head
	h.features, h.outputs, h.classes = -1, -1, -1
	first, err := d.in.rest(keyBytes)
	if err != nil {
		return "", 0, err
	}
	if string(first.text) != "tree" {
		return "", 0, d.in.at(1, fault.Malformed("%.40q where \"tree\" is wanted", first.text))
	}
	for {
		line = d.in.number
		start := d.in.src.Offset()
		w, err := d.in.next(atEquals, keyBytes)
		if err != nil {
			return "", line, err
		}
		key := string(w.text)
		if w.stop != '=' {
			switch {
			case key == "" && w.stop != 0:
				continue
			case key == "average_output":
				h.average = true
				continue
			case key == "" || headerEnds(key):
				d.blockStart = start
				return key, line, nil
			}
			continue
		}
		if key == keyTree {
			d.blockStart = start
			return key, line, nil
		}
		if err := d.headerLine(key); err != nil {
			return "", line, d.in.at(line, fault.At(key, err))
		}
	}
}

// headerEnds reports whether a line without "=" stands after the trees.
func headerEnds(key string) bool {
	return key == "end of trees" || key == "feature importances:" || key == "feature_importances:" ||
		key == "parameters:"
}

// headerLine reads the value of key.
func (d *decoder) headerLine(key string) (err error) {
	h := &d.head
	switch key {
	case "version":
		h.version, err = d.short()
	case "num_class":
		h.classes, err = d.number(1, math.MaxInt32)
	case "num_tree_per_iteration":
		h.outputs, err = d.number(1, math.MaxInt32)
	case "max_feature_idx":
		h.features, err = d.number(0, math.MaxInt32-1)
		h.features++
	case "objective":
		h.objective, err = d.short()
	case "feature_names":
		h.names, err = d.names()
	case "feature_infos":
		h.infos, err = d.infos()
	case "tree_sizes":
		h.sized = true
		h.sizes, err = d.sizes()
	default:
		err = d.in.skip()
	}
	return err
}

// short reads the rest of a line that cannot be long.
func (d *decoder) short() (string, error) {
	w, err := d.in.rest(4096)
	if err == nil && w.cut {
		err = fault.Malformed("a value of more than 4096 bytes")
	}
	return string(w.text), err
}

func (d *decoder) number(least, most int64) (int64, error) {
	w, err := d.in.rest(numberBytes)
	if err != nil {
		return 0, err
	}
	return integer(w, least, most)
}

func (d *decoder) names() ([]string, error) {
	var names []string
	err := d.in.fields(int(d.limits.StringBytes), func(i int, w word) error {
		if w.cut {
			return fault.Limit("StringBytes", d.limits.StringBytes, d.limits.StringBytes+1)
		}
		names = append(names, string(w.text))
		return limit.Check("Features", d.limits.Features, int64(i)+1)
	})
	return names, err
}

// infoBytes is how much of a feature's info is looked at: a list of categories can be megabytes.
const infoBytes = 1 << 16

func (d *decoder) infos() ([]info, error) {
	var infos []info
	err := d.in.fields(infoBytes, func(i int, w word) error {
		infos = append(infos, parseInfo(w))
		return limit.Check("Features", d.limits.Features, int64(i)+1)
	})
	return infos, err
}

// parseInfo never fails: the infos only help to find the categorical columns.
func parseInfo(w word) info {
	text := w.text
	if bytes.Equal(text, []byte("none")) {
		return info{kind: infoNone}
	}
	if text[0] == '[' {
		out := info{kind: infoNumeric, from: math.NaN(), to: math.NaN()}
		from, to, ok := bytes.Cut(bytes.TrimSuffix(text[1:], []byte("]")), []byte(":"))
		if a, err := strconv.ParseFloat(string(from), 64); ok && err == nil {
			if b, err := strconv.ParseFloat(string(to), 64); err == nil {
				out.from, out.to = a, b
			}
		}
		return out
	}
	out := info{kind: infoCategorical, max: -1}
	if w.cut {
		return out
	}
	for part := range bytes.SplitSeq(text, []byte(":")) {
		v, err := integer(word{text: part}, -1, math.MaxInt32)
		if err != nil {
			return info{kind: infoCategorical, max: -1}
		}
		out.max = max(out.max, v)
	}
	return out
}

func (d *decoder) sizes() ([]int64, error) {
	var sizes []int64
	err := d.in.fields(numberBytes, func(i int, w word) error {
		n, err := integer(w, 0, math.MaxInt64/2)
		if err != nil {
			return err
		}
		sizes = append(sizes, n)
		return limit.Check("Trees", d.limits.Trees, int64(i)+1)
	})
	return sizes, err
}

// check verifies what the header must have.
func (d *decoder) check() error {
	h := &d.head
	switch h.version {
	case "v2", "v3", "v4":
	case "":
		return fault.NotSupported("LightGBM models without a version line (before 2.1)")
	default:
		return fault.NotSupported("LightGBM model version %.40q", h.version)
	}
	if h.classes < 0 || h.features < 0 {
		return fault.Malformed("the header has no num_class or no max_feature_idx")
	}
	if h.outputs < 0 {
		h.outputs = h.classes
	}
	if err := limit.Check("Outputs", d.limits.Outputs, h.outputs); err != nil {
		return err
	}
	if int64(len(h.names)) != h.features {
		return fault.Malformed("feature_names has %d names, max_feature_idx is %d", len(h.names), h.features-1)
	}
	if len(h.infos) > 0 && int64(len(h.infos)) != h.features {
		return fault.Malformed("feature_infos has %d entries, max_feature_idx is %d", len(h.infos), h.features-1)
	}
	return nil
}
