// Package lightgbm reads LightGBM's text model files, versions v2 to v4, which LightGBM 2.1 to 4.7 write.
//
// # Rules
//
// Inputs and sums are float64, the sum starts at 0, |x| <= 1e-35f is 0. A numeric split sends x <= threshold to the
// left. Where NaN goes depends on the split's missing type: with none NaN is 0 and compared, with zero NaN and 0 take
// the default side, with NaN only NaN does. A categorical split sends the codes of its bit set to the left and all else
// to the right. Leaf values are shrunk already. With average_output margins are sums, which the link divides.
//
// Linear trees are refused as not supported.
//
// Decoding is one pass in bounded memory: the forest being built, one tree's arrays, and a read buffer. Functions are
// safe for concurrent use.
package lightgbm

import (
	"fmt"
	"io"
	"strings"

	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/loader/internal/fault"
	"github.com/treeline-ml/treeline/loader/internal/limit"
	"github.com/treeline-ml/treeline/loader/internal/source"
)

// Format is the name in Provenance.Format and Error.Format.
const Format = "lightgbm-text"

// Decode reads one model to the end of r. Errors are *loader.Error with the tree, node and line. Zero fields of l mean
// the defaults.
func Decode(r io.Reader, l limit.Limits) (*forest.Model, error) {
	l = l.OrDefault()
	d := decoder{in: lines{src: source.New(r, l.Bytes)}, limits: l}
	m, err := d.model()
	if err != nil {
		return nil, fault.Complete(Format, err)
	}
	return m, nil
}

type decoder struct {
	in     lines
	limits limit.Limits
	head   header
	tree   block

	trees       []forest.Tree
	sets        []forest.CategorySet
	setBytes    int64
	nodes       int64
	nonFinite   bool
	categorical []bool // by feature: declared, or split as a category

	blockStart int64 // the byte at which the current block begins

	depth     []int32
	hasParent []bool
}

func (d *decoder) model() (*forest.Model, error) {
	key, line, err := d.readHeader()
	if err != nil {
		return nil, err
	}
	if err := d.check(); err != nil {
		return nil, d.in.at(line, err)
	}
	d.categorical = make([]bool, d.head.features)
	for i, in := range d.head.infos {
		d.categorical[i] = in.kind == infoCategorical
	}
	if key, line, err = d.readTrees(key, line); err != nil {
		return nil, err
	}
	vocabularies, err := d.readTail(key, line)
	if err != nil {
		return nil, err
	}
	return d.assemble(vocabularies)
}

// readTrees reads the blocks and returns the key after the last, as readHeader does.
func (d *decoder) readTrees(key string, line int64) (string, int64, error) {
	for key == keyTree {
		i := len(d.trees)
		where := fmt.Sprintf("tree %d", i)
		if err := limit.Check("Trees", d.limits.Trees, int64(i)+1); err != nil {
			return "", line, fault.At(where, err)
		}
		if _, err := d.number(int64(i), int64(i)); err != nil {
			return "", line, fault.At(where, d.in.at(line, err))
		}
		if err := d.readTree(); err != nil {
			return "", line, fault.At(where, err)
		}
		var start int64
		for {
			line, start = d.in.number, d.in.src.Offset()
			w, err := d.in.next(atEquals, keyBytes)
			if err != nil {
				return "", line, err
			}
			key = string(w.text)
			if key == "" && w.stop == '\n' {
				continue
			}
			if (key == keyTree) != (w.stop == '=') {
				return "", line, fault.At(where, d.in.at(line, fault.Malformed("%.40q after the tree", key)))
			}
			break
		}
		if got := start - d.blockStart; d.head.sized && i < len(d.head.sizes) && got != d.head.sizes[i] && key != "" {
			return "", line, fault.At(where, fault.Malformed("it has %d bytes, tree_sizes says %d", got, d.head.sizes[i]))
		}
		d.blockStart = start
	}
	if d.head.sized && len(d.head.sizes) != len(d.trees) {
		return "", line, d.in.at(line, fault.Malformed("the file has %d trees, tree_sizes %d", len(d.trees), len(d.head.sizes)))
	}
	return key, line, nil
}

// readTail reads what stands after the trees and returns the vocabularies of pandas. It ends at the end of the file.
func (d *decoder) readTail(key string, line int64) ([][]forest.Category, error) {
	current := d.head.version != "v2" // v2 is older than the lines that end trees and parameters
	if key != "end of trees" && (current || !headerEnds(key)) && (current || key != "") {
		if key == "" {
			return nil, d.in.at(line, fault.Truncated("the trees"))
		}
		return nil, d.in.at(line, fault.Malformed("%.40q where \"end of trees\" is wanted", key))
	}
	var vocabularies [][]forest.Category
	open, closed := key == "parameters:", false
	for {
		line := d.in.number
		w, err := d.in.next(atColon, keyBytes)
		if err != nil {
			return nil, err
		}
		switch key := string(w.text); {
		case w.stop == 0:
			if len(w.text) > 0 || open || current && !closed {
				return nil, d.in.at(line, fault.Truncated("the parameters"))
			}
			return vocabularies, nil
		case key == "end of parameters" && w.stop == '\n':
			open, closed = false, true
		case w.stop != ':':
		case key == "parameters" && !closed:
			open = true
			err = d.in.skip()
		case key == "[categorical_feature" && open:
			var value word
			if value, err = d.in.rest(int(d.limits.StringBytes)); err == nil && !value.cut {
				d.declared(string(value.text))
			}
		case key == "pandas_categorical" && !open:
			vocabularies, err = d.readVocabularies()
			err = fault.At(key, err)
		default:
			err = d.in.skip()
		}
		if err != nil {
			return nil, d.in.at(line, err)
		}
	}
}

func (d *decoder) assemble(vocabularies [][]forest.Category) (*forest.Model, error) {
	h := &d.head
	outputs := int(h.outputs)
	if len(d.trees)%outputs != 0 {
		return nil, fault.Malformed("%d trees do not make rounds of %d", len(d.trees), outputs)
	}
	iterations := len(d.trees) / outputs
	l, err := link(h.objective, outputs)
	if err != nil {
		return nil, fault.At("objective", err)
	}
	if h.average {
		if iterations == 0 {
			return nil, fault.Malformed("average_output of no trees")
		}
		l.Divisor = float64(iterations)
	}
	features := make([]forest.Feature, h.features)
	for i := range features {
		features[i].Name = h.names[i]
		if d.categorical[i] {
			features[i].Kind = forest.Categorical
		}
	}
	if err := d.attach(features, vocabularies); err != nil {
		return nil, fault.At("pandas_categorical", err)
	}
	m := &forest.Model{
		Features: features,
		Outputs:  outputs,
		Trees:    d.trees,
		Sets:     d.sets,
		Arithmetic: forest.Arithmetic{
			Input: forest.Float64, Sum: forest.Float64, FlushZero: true, CategoryCast: forest.CastTruncate,
		},
		Base:            make([]float64, outputs),
		Scale:           1,
		Link:            l,
		Iterations:      iterations,
		NonFiniteLeaves: d.nonFinite,
		Provenance: forest.Provenance{
			Format: Format, Library: "lightgbm", Version: h.version, Objective: strings.TrimSpace(h.objective),
		},
	}
	if err := m.Validate(); err != nil {
		return nil, fault.Invalid(err)
	}
	return m, nil
}
