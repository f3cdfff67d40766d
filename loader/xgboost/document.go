package xgboost

import (
	"fmt"
	"strconv"

	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/loader/internal/booster"
	"github.com/treeline-ml/treeline/loader/internal/fault"
	"github.com/treeline-ml/treeline/loader/internal/limit"
)

// document reads XGBoost's model schema from a cursor. Keys may come in any order; unknown ones are skipped, as the
// library does.
type document struct {
	cur    cursor
	limits limit.Limits
	head   booster.Header
	build  *booster.Builder
	tree   booster.Tree

	booster string
	linear  bool
	seen    struct{ learner, trees, treeInfo, params bool }
	foreign string // a top-level key of another program's JSON
	trees   int64  // gbtree_model_param.num_trees, -1 when it is not stated
}

func (d *document) model() (*forest.Model, error) {
	d.build = booster.NewBuilder(d.limits)
	d.trees = -1
	if err := d.top(); err != nil {
		return nil, err
	}
	if err := d.cur.finish(); err != nil {
		return nil, err
	}
	switch {
	case !d.seen.learner && d.foreign != "":
		return nil, &fault.Error{
			Err:  fault.Unknown("no XGBoost model: it has no learner, but %s", d.foreign),
			Hint: "XGBoost's save_model() and LightGBM's save_model() write files that can be read",
		}
	case !d.seen.learner:
		return nil, fault.Malformed("no XGBoost model: it has no learner")
	case d.linear || d.booster == "gblinear":
		return nil, fault.NotSupported("gblinear")
	case d.booster != "gbtree" && d.booster != "dart":
		return nil, fault.NotSupported("booster %q", d.booster)
	case !d.seen.params:
		return nil, fault.Malformed("learner has no learner_model_param")
	case !d.seen.trees || !d.seen.treeInfo:
		return nil, fault.Malformed("gradient_booster has no trees")
	case d.trees >= 0 && d.trees != int64(d.build.Len()):
		return nil, fault.Malformed("num_trees is %d, there are %d trees", d.trees, d.build.Len())
	}
	return d.build.Model(d.head)
}

// top reads the outermost object, or the Model of a memory snapshot (Config and Model).
func (d *document) top() error {
	return d.cur.object(func(key string) error {
		switch key {
		case "learner":
			d.seen.learner = true
			return d.learner()
		case "version":
			return d.version()
		case "Model":
			return d.top()
		case "oblivious_trees", "features_info":
			d.foreign = key + " as CatBoost's JSON"
		case "tree_info", "feature_infos":
			d.foreign = key + " as LightGBM's dump_model()"
		}
		return d.cur.skip()
	})
}

// version reads [major, minor, patch]. In other programs' files a version can be anything.
func (d *document) version() error {
	k, err := d.cur.peek()
	if err != nil {
		return err
	}
	if k != kindArray {
		return d.cur.skip()
	}
	v, err := d.cur.int32s(nil, bound{"Outputs", d.limits.Outputs})
	copy(d.head.Version[:], v)
	return err
}

func (d *document) learner() error {
	return d.cur.object(func(key string) (err error) {
		switch key {
		case "attributes":
			err = d.attributes()
		case "feature_names":
			d.head.Names, err = d.texts()
		case "feature_types":
			d.head.Types, err = d.texts()
		case "gradient_booster":
			err = d.gradientBooster()
		case "learner_model_param":
			d.seen.params = true
			err = d.learnerParam()
		case "objective":
			err = d.objective()
		default:
			return d.cur.skip()
		}
		return err
	})
}

// attributes reads the iteration at which early stopping would stop. Callers may set attributes to anything, so one that
// is no iteration is not an error.
func (d *document) attributes() error {
	k, err := d.cur.peek()
	if err != nil {
		return err
	}
	if k != kindObject {
		return d.cur.skip()
	}
	return d.cur.object(func(key string) error {
		k, err := d.cur.peek()
		if err != nil {
			return err
		}
		if key != "best_iteration" || k != kindText {
			return d.cur.skip()
		}
		text, err := d.cur.text()
		if err != nil {
			return err
		}
		if n, err := strconv.ParseInt(text, 10, 32); err == nil && n >= 0 {
			best := int(n)
			d.head.BestIteration = &best
		}
		return nil
	})
}

// texts reads an array of strings, one a feature.
func (d *document) texts() ([]string, error) {
	var out []string
	err := d.cur.array(func() error {
		s, err := d.cur.text()
		if err != nil {
			return err
		}
		out = append(out, s)
		return limit.Check("Features", d.limits.Features, int64(len(out)))
	})
	return out, err
}

func (d *document) objective() error {
	return d.cur.object(func(key string) (err error) {
		if key != "name" {
			return d.cur.skip()
		}
		d.head.Objective, err = d.cur.text()
		return err
	})
}

func (d *document) learnerParam() error {
	return d.cur.object(func(key string) (err error) {
		switch key {
		case "base_score":
			err = d.baseScore()
		case "num_class":
			d.head.Classes, err = d.count(key)
		case "num_feature":
			d.head.Features, err = d.count(key)
		case "num_target":
			d.head.Targets, err = d.count(key)
		default:
			return d.cur.skip()
		}
		return fault.At("learner_model_param."+key, err)
	})
}

// baseScore reads a string ("5E-1", "[5E-1]"), a number or an array of numbers.
func (d *document) baseScore() error {
	k, err := d.cur.peek()
	if err != nil {
		return err
	}
	if k == kindArray {
		d.head.Base, err = d.cur.float32s(nil, bound{"Outputs", d.limits.Outputs})
		return err
	}
	text, err := d.cur.text()
	if err != nil {
		return err
	}
	d.head.Base, err = booster.ParseBase(text)
	return err
}

// count reads a parameter: an integer in a string.
func (d *document) count(name string) (int64, error) {
	text, err := d.cur.text()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, fault.Malformed("%s is %.40q", name, text)
	}
	return n, nil
}

// gradientBooster reads {name, model} or the {name, gbtree: {name, model}, weight_drop} of dart before 3.3.
func (d *document) gradientBooster() error {
	return d.cur.object(func(key string) (err error) {
		switch key {
		case "name":
			d.booster, err = d.cur.text()
		case "model":
			err = d.gbtree()
		case "gbtree":
			err = d.gradientBooster()
		case "weight_drop":
			err = d.weights()
		default:
			return d.cur.skip()
		}
		return err
	})
}

// mostTrees bounds an array of one value a tree, and more.
func (d *document) mostTrees(more int64) bound { return bound{"Trees", d.limits.Trees + more} }

func (d *document) weights() (err error) {
	d.head.Weights, err = d.cur.float32s(nil, d.mostTrees(0))
	return fault.At("weight_drop", err)
}

func (d *document) gbtree() error {
	return d.cur.object(func(key string) (err error) {
		switch key {
		case "weights":
			d.linear = true
			return d.cur.skip()
		case "gbtree_model_param":
			return d.gbtreeParam()
		case "tree_info":
			d.seen.treeInfo = true
			d.head.TreeOutput, err = d.cur.int32s(nil, d.mostTrees(0))
		case "iteration_indptr":
			d.head.IterationEnd, err = d.cur.int32s([]int32{}, d.mostTrees(1))
		case "weight_drop":
			return d.weights()
		case "cats":
			d.head.Vocabularies, err = d.categories()
		case "trees":
			d.seen.trees = true
			return d.cur.array(func() error {
				return fault.At(fmt.Sprintf("tree %d", d.build.Len()), d.oneTree())
			})
		default:
			return d.cur.skip()
		}
		return fault.At(key, err)
	})
}

func (d *document) gbtreeParam() error {
	return d.cur.object(func(key string) (err error) {
		switch key {
		case "num_trees":
			d.trees, err = d.count(key)
		case "num_parallel_tree":
			d.head.Parallel, err = d.count(key)
		case "size_leaf_vector":
			var n int64
			if n, err = d.count(key); err == nil && n > 1 {
				err = fault.NotSupported("vector leaves (size_leaf_vector)")
			}
		default:
			return d.cur.skip()
		}
		return fault.At("gbtree_model_param."+key, err)
	})
}

// oneTree reads a tree into d.tree and adds it.
func (d *document) oneTree() error {
	t := &d.tree
	t.Reset()
	nodes, id := int64(-1), int64(d.build.Len())
	err := d.cur.object(func(key string) (err error) {
		most := bound{"TreeNodes", d.limits.TreeNodes}
		switch key {
		case "left_children":
			t.Left, err = d.cur.int32s(t.Left[:0], most)
		case "right_children":
			t.Right, err = d.cur.int32s(t.Right[:0], most)
		case "split_indices":
			t.Feature, err = d.cur.int32s(t.Feature[:0], most)
		case "split_conditions":
			t.Value, err = d.cur.float32s(t.Value[:0], most)
		case "default_left":
			t.DefaultLeft, err = d.cur.int32s(t.DefaultLeft[:0], most)
		case "split_type":
			t.SplitType, err = d.cur.int32s(t.SplitType[:0], most)
		case "loss_changes":
			t.Gain, err = d.cur.float32s(t.Gain[:0], most)
		case "sum_hessian":
			t.Cover, err = d.cur.float32s(t.Cover[:0], most)
		case "categories":
			t.Categories, err = d.cur.int32s(t.Categories[:0], bound{"TotalNodes", d.limits.TotalNodes})
		case "categories_nodes":
			t.CategoryNodes, err = d.cur.int32s(t.CategoryNodes[:0], most)
		case "categories_segments":
			t.CategorySegments, err = d.cur.int32s(t.CategorySegments[:0], most)
		case "categories_sizes":
			t.CategorySizes, err = d.cur.int32s(t.CategorySizes[:0], most)
		case "id":
			var text string
			if text, err = d.cur.text(); err == nil && text != strconv.FormatInt(id, 10) {
				err = fault.Malformed("its id is %.40s", text)
			}
		case "tree_param":
			nodes, err = d.treeParam()
		default:
			return d.cur.skip()
		}
		return fault.At(key, err)
	})
	if err != nil {
		return err
	}
	if nodes >= 0 && nodes != int64(len(t.Left)) && t.LeafVector <= 1 {
		return fault.Malformed("num_nodes is %d, left_children has %d values", nodes, len(t.Left))
	}
	return d.build.Add(t)
}

// treeParam reads the tree's counts into d.tree and returns num_nodes.
func (d *document) treeParam() (nodes int64, err error) {
	nodes = -1
	err = d.cur.object(func(key string) (err error) {
		switch key {
		case "num_nodes":
			nodes, err = d.count(key)
		case "num_deleted":
			d.tree.Deleted, err = d.count(key)
		case "size_leaf_vector":
			d.tree.LeafVector, err = d.count(key)
		default:
			return d.cur.skip()
		}
		return err
	})
	return nodes, err
}
