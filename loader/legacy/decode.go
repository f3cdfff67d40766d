// Package legacy reads the binary format that XGBoost wrote up to 3.0 for .bin, .model, .xgb and other names: the memory
// of its C++ structs, little-endian.
//
//	"binf"                    older files begin with the next line
//	LearnerModelParam         136 bytes: f32 base_score, u32 num_feature, i32 num_class, i32 extra attributes,
//	                          i32 metrics, u32 major, u32 minor, u32 num_target, ... (version 0 before 1.0)
//	u64 length, objective     "binary:logistic"
//	u64 length, booster       "gbtree", "dart"
//	GBTreeModelParam          160 bytes: i32 num_trees, i32 num_parallel_tree, ...
//	per tree
//	  TreeParam               148 bytes: i32 roots, i32 num_nodes, i32 num_deleted, i32 depth, u32 features,
//	                          i32 size_leaf_vector, ...
//	  Node * num_nodes        20 bytes: i32 parent, i32 left, i32 right, u32 feature | default left << 31,
//	                          f32 condition or leaf value
//	  Stat * num_nodes        16 bytes: f32 gain, f32 hessian, f32 weight, i32 leaf children
//	i32 * num_trees           the output of each tree
//	u64 count, f32 * count    dart: weights
//	u64 count, (string, string) * count   attributes, when there are any
//
// The format has no feature names (features are f0, f1, ...) and no categorical splits. docs/design/0003-legacy-xgboost-binary.md tells why
// github.com/dmitryikh/leaves does not read it here.
//
// Functions are safe for concurrent use.
package legacy

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/loader/internal/booster"
	"github.com/treeline-ml/treeline/loader/internal/fault"
	"github.com/treeline-ml/treeline/loader/internal/limit"
	"github.com/treeline-ml/treeline/loader/internal/source"
)

// Format is the name in Provenance.Format and Error.Format.
const Format = "xgboost-binary"

// Sizes of the structs in bytes.
const (
	learnerBytes = 136
	modelBytes   = 160
	treeBytes    = 148
	nodeBytes    = 20
	statBytes    = 16
)

// nameBytes bounds the names of objective and booster: the longest known has 21.
const nameBytes = 64

// Decode reads one model to the end of r. Errors are *loader.Error with the tree and node, or the byte. Zero fields of
// l mean the defaults.
func Decode(r io.Reader, l limit.Limits) (*forest.Model, error) {
	l = l.OrDefault()
	d := decoder{src: source.New(r, l.Bytes), limits: l, build: booster.NewBuilder(l)}
	m, err := d.model()
	if err != nil {
		return nil, fault.Complete(Format, err)
	}
	return m, nil
}

// Sniff reports whether a file that begins with head has this format: the magic, or an objective's name where the
// headerless files of old have it.
func Sniff(head []byte) bool {
	if len(head) >= 4 && string(head[:4]) == "binf" {
		return true
	}
	if len(head) < learnerBytes+8+4 {
		return false
	}
	n := binary.LittleEndian.Uint64(head[learnerBytes:])
	if n < 4 || n > nameBytes {
		return false
	}
	name := head[learnerBytes+8:]
	name = name[:min(len(name), int(n))]
	colon := false
	for _, b := range name {
		if b < 'a' || b > 'z' {
			if b != ':' {
				return false
			}
			colon = true
		}
	}
	return colon
}

type decoder struct {
	src    *source.Reader
	limits limit.Limits
	build  *booster.Builder
	tree   booster.Tree
	head   booster.Header
}

// learner is what of LearnerModelParam matters.
type learner struct {
	attributes bool
	booster    string
}

func (d *decoder) model() (*forest.Model, error) {
	learner, err := d.learner()
	if err != nil {
		return nil, err
	}
	switch learner.booster {
	case "gbtree", "dart":
	case "gblinear":
		return nil, fault.NotSupported("gblinear")
	default:
		return nil, fault.NotSupported("booster %q", learner.booster)
	}
	if err := d.gbtree(); err != nil {
		return nil, err
	}
	if learner.booster == "dart" && d.build.Len() > 0 {
		if err := d.weights(); err != nil {
			return nil, fault.At("weight_drop", err)
		}
	}
	if err := d.tail(learner); err != nil {
		return nil, fault.At("attributes", err)
	}
	return d.build.Model(d.head)
}

// record returns the next struct of n bytes; it is valid until the next read.
func (d *decoder) record(n int, inside string) (record, error) {
	b, err := d.src.Fill(n, inside)
	if err != nil {
		return nil, d.place(err)
	}
	return b, d.place(d.src.Skip(n))
}

func (d *decoder) place(err error) error {
	if err == nil {
		return nil
	}
	return fault.At(fmt.Sprintf("byte %d", d.src.Offset()), err)
}

// record is one struct; fields are given by their index in 32-bit words.
type record []byte

func (r record) u32(word int) uint32  { return binary.LittleEndian.Uint32(r[4*word:]) }
func (r record) i32(word int) int32   { return int32(r.u32(word)) }
func (r record) f32(word int) float32 { return math.Float32frombits(r.u32(word)) }

func (d *decoder) learner() (learner, error) {
	magic, err := d.src.Fill(4, "the header")
	if err != nil {
		return learner{}, d.place(err)
	}
	if string(magic) == "binf" {
		if err := d.src.Skip(4); err != nil {
			return learner{}, d.place(err)
		}
	}
	p, err := d.record(learnerBytes, "LearnerModelParam")
	if err != nil {
		return learner{}, err
	}
	l := learner{attributes: p.i32(3) != 0}
	major, minor := p.i32(5), p.i32(6)
	if major < 0 || major > 3 {
		return learner{}, fault.Malformed("the version is %d.%d, this format ended with 3.0", major, minor)
	}
	d.head = booster.Header{
		Format:   Format,
		Version:  booster.Version{major, minor},
		Release:  fmt.Sprintf("%d.%d", major, minor),
		Base:     []float32{p.f32(0)},
		Features: int64(p.u32(1)),
		Classes:  int64(p.i32(2)),
		Targets:  int64(p.u32(7)),
	}
	if major == 0 {
		d.head.Release, d.head.BaseMargin, d.head.Targets = "before 1.0", true, 1
	}
	if d.head.Objective, err = d.text("the objective", nameBytes); err != nil {
		return learner{}, err
	}
	l.booster, err = d.text("the booster", nameBytes)
	return l, err
}

// length reads a 64-bit count.
func (d *decoder) length(of string, most int64) (int64, error) {
	b, err := d.record(8, of)
	if err != nil {
		return 0, err
	}
	n := binary.LittleEndian.Uint64(b)
	if n > uint64(most) {
		return 0, d.place(fault.Malformed("%s has length %d", of, n))
	}
	return int64(n), nil
}

func (d *decoder) text(of string, most int64) (string, error) {
	n, err := d.length(of, most)
	if err != nil {
		return "", err
	}
	b, err := d.src.Append(nil, n, of)
	return string(b), d.place(err)
}

func (d *decoder) gbtree() error {
	p, err := d.record(modelBytes, "GBTreeModelParam")
	if err != nil {
		return err
	}
	trees, parallel, leafVector := p.i32(0), p.i32(1), p.i32(7)
	switch {
	case trees < 0:
		return d.place(fault.Malformed("num_trees is %d", trees))
	case leafVector > 1:
		return fault.NotSupported("vector leaves (size_leaf_vector)")
	}
	if err := limit.Check("Trees", d.limits.Trees, int64(trees)); err != nil {
		return d.place(err)
	}
	if d.head.Version.AtLeast(1, 6) { // before, the field counted roots
		d.head.Parallel = int64(max(parallel, 1))
	}
	for i := range trees {
		if err := fault.At(fmt.Sprintf("tree %d", i), d.oneTree()); err != nil {
			return err
		}
	}
	return d.place(d.src.Chunks(int64(trees), 4, "tree_info", func(chunk []byte) error {
		for r := record(chunk); len(r) > 0; r = r[4:] {
			d.head.TreeOutput = append(d.head.TreeOutput, r.i32(0))
		}
		return nil
	}))
}

func (d *decoder) oneTree() error {
	p, err := d.record(treeBytes, "TreeParam")
	if err != nil {
		return err
	}
	t := &d.tree
	t.Reset()
	roots, nodes, deleted := p.i32(0), int64(p.i32(1)), p.i32(2)
	t.Deleted, t.LeafVector = int64(deleted), int64(p.i32(5))
	if roots != 1 || nodes <= 0 || deleted < 0 || t.LeafVector < 0 {
		return d.place(fault.Malformed("TreeParam has %d roots, %d nodes, %d deleted", roots, nodes, deleted))
	}
	if err := limit.Check("TreeNodes", d.limits.TreeNodes, nodes); err != nil {
		return d.place(err)
	}
	if t.LeafVector > 1 {
		return fault.NotSupported("vector leaves (size_leaf_vector)")
	}
	err = d.src.Chunks(nodes, nodeBytes, "nodes", func(chunk []byte) error {
		for r := record(chunk); len(r) > 0; r = r[nodeBytes:] {
			feature := r.u32(3)
			t.Left = append(t.Left, r.i32(1))
			t.Right = append(t.Right, r.i32(2))
			t.Feature = append(t.Feature, int32(feature&math.MaxInt32))
			t.DefaultLeft = append(t.DefaultLeft, int32(feature>>31))
			t.Value = append(t.Value, r.f32(4))
		}
		return nil
	})
	if err != nil {
		return d.place(err)
	}
	err = d.src.Chunks(nodes, statBytes, "statistics", func(chunk []byte) error {
		for r := record(chunk); len(r) > 0; r = r[statBytes:] {
			t.Gain = append(t.Gain, r.f32(0))
			t.Cover = append(t.Cover, r.f32(1))
		}
		return nil
	})
	if err != nil {
		return d.place(err)
	}
	return d.build.Add(t)
}

func (d *decoder) weights() error {
	n, err := d.length("weights", d.limits.Trees)
	if err != nil {
		return err
	}
	return d.place(d.src.Chunks(n, 4, "weights", func(chunk []byte) error {
		for r := record(chunk); len(r) > 0; r = r[4:] {
			d.head.Weights = append(d.head.Weights, r.f32(0))
		}
		return nil
	}))
}

// tail reads what follows the trees, to find a file that is cut off or goes on.
func (d *decoder) tail(l learner) error {
	if l.attributes {
		n, err := d.length("attributes", d.limits.Bytes)
		if err != nil {
			return err
		}
		for range 2 * n {
			if err := d.skipText(); err != nil {
				return err
			}
		}
	}
	if d.head.BaseMargin {
		return nil // before 1.0 the objective's parameters and the metrics' names follow
	}
	rest, err := d.src.Peek()
	if err == nil && len(rest) > 0 {
		err = fault.Malformed("byte %#02x after the end of the model", rest[0])
	}
	return d.place(err)
}

func (d *decoder) skipText() error {
	n, err := d.length("an attribute", d.limits.Bytes)
	if err != nil {
		return err
	}
	return d.place(d.src.SkipLong(n, "an attribute"))
}
