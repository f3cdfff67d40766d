package booster

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/loader/internal/fault"
	"github.com/treeline-ml/treeline/loader/internal/limit"
)

// Header is what a file says beside the trees. Slices that it does not have are nil.
type Header struct {
	Format     string
	Version    Version
	Release    string // Version as text, where that is not its three numbers
	Objective  string
	Base       []float32 // base scores as predictions, one or one an output
	BaseMargin bool      // base scores are margins (before 1.0), which later libraries turn into predictions and back

	Features int64 // learner_model_param
	Classes  int64
	Targets  int64

	Names, Types  []string            // by feature
	Vocabularies  [][]forest.Category // by feature
	BestIteration *int                // as early stopping left it; nil when the file has none
	TreeOutput    []int32             // tree_info
	Weights       []float32           // dart: by tree; trees beyond it weigh 1
	Parallel      int64               // num_parallel_tree; 0 when the file does not say (before 1.6)
	IterationEnd  []int32             // iteration_indptr
}

// Model puts the model together. The Builder must not be used afterwards.
func (b *Builder) Model(h Header) (*forest.Model, error) {
	if h.Version[0] > 3 {
		return nil, fault.NotSupported("models of XGBoost %d", h.Version[0])
	}
	obj, ok := objectiveOf(h.Objective)
	if !ok {
		return nil, fault.NotSupported("objective %q", h.Objective)
	}
	outputs, err := b.outputs(h)
	if err != nil {
		return nil, err
	}
	if h.Objective == "reg:expectileerror" && outputs > 1 {
		return nil, fault.NotSupported("reg:expectileerror with several alphas")
	}
	if (obj.link == forest.Softmax || obj.link == forest.ArgMax) && h.Classes < 1 {
		return nil, fault.Malformed("num_class is %d under %s", h.Classes, h.Objective)
	}
	if h.Objective == "reg:quantileerror" && outputs > 1 && h.Version.AtLeast(3, 4) {
		obj.link = forest.Ascending // 3.4 sorts each row's quantiles, so that they do not cross
	}
	base, err := baseMargins(obj, h, outputs)
	if err != nil {
		return nil, fault.At("learner_model_param", err)
	}
	features, err := b.features(h)
	if err != nil {
		return nil, err
	}
	if err := checkCutNames(h, features); err != nil {
		return nil, err
	}
	if err := b.assignOutputs(h.TreeOutput, outputs); err != nil {
		return nil, err
	}
	if h.Version != (Version{}) && h.Version.compare(strayCategoriesLeft()) < 0 {
		b.strayCategoriesDefault()
	}
	if err := b.weigh(h.Weights); err != nil {
		return nil, err
	}
	iterations, err := b.iterations(h)
	if err != nil {
		return nil, err
	}
	m := &forest.Model{
		Features: features,
		Outputs:  outputs,
		Trees:    b.trees,
		Sets:     b.sets,
		Arithmetic: forest.Arithmetic{
			Input: forest.Float32, Sum: forest.Float32, CategoryCast: forest.CastNonNegative,
		},
		Base:            base,
		Scale:           1,
		Link:            forest.Link{Kind: obj.link, Slope: 1, Divisor: 1, Type: forest.Float32},
		Iterations:      iterations,
		NonFiniteLeaves: b.nonFinite,
		Provenance: forest.Provenance{
			Format: h.Format, Library: "xgboost", Version: h.release(), Objective: h.Objective,
			BestIteration: h.BestIteration,
		},
	}
	if err := m.Validate(); err != nil {
		return nil, fault.Invalid(err)
	}
	return m, nil
}

func (h *Header) release() string {
	switch {
	case h.Release != "":
		return h.Release
	case h.Version == Version{}:
		return ""
	}
	return fmt.Sprintf("%d.%d.%d", h.Version[0], h.Version[1], h.Version[2])
}

// outputs returns the number of margins: classes or targets, whichever there are several of.
func (b *Builder) outputs(h Header) (int, error) {
	if h.Classes < 0 || h.Targets < 0 {
		return 0, fault.At("learner_model_param", fault.Malformed("num_class is %d, num_target %d", h.Classes, h.Targets))
	}
	if h.Classes > 1 && h.Targets > 1 {
		return 0, fault.NotSupported("several classes and several targets at once")
	}
	n := max(h.Classes, h.Targets, 1)
	if err := limit.Check("Outputs", b.limits.Outputs, n); err != nil {
		return 0, fault.At("learner_model_param", err)
	}
	return int(n), nil
}

// baseMargins turns the base scores into one margin an output.
func baseMargins(obj objective, h Header, outputs int) ([]float64, error) {
	if len(h.Base) != 1 && len(h.Base) != outputs {
		return nil, fault.Malformed("base_score has %d values, there are %d outputs", len(h.Base), outputs)
	}
	base := make([]float64, outputs)
	for k := range base {
		s := h.Base[min(k, len(h.Base)-1)]
		if h.BaseMargin {
			s = obj.predict(s)
		}
		m, err := obj.margin(s, h.Version)
		if err != nil {
			return nil, err
		}
		base[k] = float64(m)
	}
	return base, nil
}

// features names the inputs and gives them kinds and vocabularies.
func (b *Builder) features(h Header) ([]forest.Feature, error) {
	n := h.Features
	if n < 0 {
		return nil, fault.At("learner_model_param", fault.Malformed("num_feature is %d", n))
	}
	if err := limit.Check("Features", b.limits.Features, n); err != nil {
		return nil, fault.At("learner_model_param", err)
	}
	if int64(b.maxFeature) >= n {
		return nil, fault.At(b.maxPlace, fault.Malformed("it splits on feature %d, the model has %d", b.maxFeature, n))
	}
	for _, l := range []struct {
		name string
		len  int
	}{{"feature_names", len(h.Names)}, {"feature_types", len(h.Types)}, {"cats.enc", len(h.Vocabularies)}} {
		if l.len != 0 && int64(l.len) != n {
			return nil, fault.Malformed("%s has %d entries, the model has %d features", l.name, l.len, n)
		}
	}
	features := make([]forest.Feature, n)
	for i := range features {
		f := &features[i]
		f.RejectInfinite = true
		if len(h.Names) > 0 {
			f.Name = h.Names[i]
		} else {
			f.Name = "f" + strconv.Itoa(i)
		}
		if len(h.Types) > 0 && h.Types[i] == "c" || i < len(b.categorical) && b.categorical[i] {
			f.Kind = forest.Categorical
		}
		if len(h.Vocabularies) > 0 && len(h.Vocabularies[i]) > 0 {
			f.Kind, f.Vocabulary, f.Unknown = forest.Categorical, h.Vocabularies[i], forest.UnknownError
		}
	}
	return features, nil
}

// checkCutNames refuses vocabularies that XGBoost 3.1 to 3.3 wrote with characters beyond ASCII. Those releases took the
// lengths of names in characters for lengths in bytes, so from the first such character on all names of the feature are
// cut at wrong places, and one may even look like another.
func checkCutNames(h Header, features []forest.Feature) error {
	if !h.Version.AtLeast(3, 1) || h.Version.AtLeast(3, 4) {
		return nil
	}
	for i := range features {
		for _, c := range features[i].Vocabulary {
			for j := range len(c.Text) {
				if c.Text[j] < utf8.RuneSelf {
					continue
				}
				return &fault.Error{
					Where: fmt.Sprintf("feature %d (%.80s)", i, features[i].Name),
					Hint:  "train it again with XGBoost 3.4 or later, or with names in ASCII",
					Err: fault.NotSupported("category names beyond ASCII as XGBoost %d.%d writes them, cut at wrong bytes",
						h.Version[0], h.Version[1]),
				}
			}
		}
	}
	return nil
}

// strayCategoriesLeft is the first release that sends a value which is no category, or one beyond the bits of the split's
// set, to the left. Before, the default side took it.
func strayCategoriesLeft() Version { return Version{1, 7, 3} }

// strayCategoriesDefault changes the categorical splits with default right to the rule of old: the codes within the
// set's words that are not listed go left, everything else right.
func (b *Builder) strayCategoriesDefault() {
	for i := range b.trees {
		for j := range b.trees[i].Nodes {
			n := &b.trees[i].Nodes[j]
			if n.Op != forest.NotInSet || n.NaNLeft {
				continue
			}
			n.Op, n.OtherLeft = forest.InSet, false
			for w, bits := range b.sets[n.Set] { // each split has its own set
				b.sets[n.Set][w] = ^bits
			}
		}
	}
}

// assignOutputs sets each tree's output.
func (b *Builder) assignOutputs(outputOf []int32, outputs int) error {
	if len(outputOf) != len(b.trees) {
		return fault.Malformed("tree_info has %d entries, there are %d trees", len(outputOf), len(b.trees))
	}
	for i, k := range outputOf {
		if k < 0 || int(k) >= outputs {
			return fault.At(fmt.Sprintf("tree %d", i), fault.Malformed("tree_info is %d, there are %d outputs", k, outputs))
		}
		b.trees[i].Output = int(k)
	}
	return nil
}

// weigh multiplies dart's weights into the leaves, rounding to float32 as the library does before it adds.
func (b *Builder) weigh(weights []float32) error {
	if len(weights) > len(b.trees) {
		return fault.Malformed("weight_drop has %d entries, there are %d trees", len(weights), len(b.trees))
	}
	for i, w := range weights {
		leaves := b.trees[i].Leaves
		for j, v := range leaves {
			v32 := float32(v) * w
			leaves[j] = float64(v32)
			b.nonFinite = b.nonFinite || math.IsNaN(leaves[j]) || math.IsInf(leaves[j], 0)
		}
	}
	return nil
}

// iterations returns the number of boosting rounds, 0 where rounds differ in size.
func (b *Builder) iterations(h Header) (int, error) {
	trees := len(b.trees)
	if h.IterationEnd == nil {
		groups := int32(0)
		for _, k := range h.TreeOutput {
			groups = max(groups, k+1)
		}
		perRound := int64(groups) * h.Parallel
		if perRound <= 0 || int64(trees)%perRound != 0 {
			return 0, nil
		}
		return int(int64(trees) / perRound), nil
	}
	ends := h.IterationEnd
	if len(ends) == 0 || ends[0] != 0 || int(ends[len(ends)-1]) != trees {
		return 0, fault.Malformed("iteration_indptr does not span the %d trees", trees)
	}
	uniform := true
	for i := 1; i < len(ends); i++ {
		if ends[i] < ends[i-1] {
			return 0, fault.Malformed("iteration_indptr[%d] is %d after %d", i, ends[i], ends[i-1])
		}
		uniform = uniform && ends[i]-ends[i-1] == ends[1]
	}
	if !uniform || trees == 0 {
		return 0, nil
	}
	return len(ends) - 1, nil
}

// ParseBase reads a base_score: "5E-1", or a list as "[5E-1]" or "(1,2)".
func ParseBase(s string) ([]float32, error) {
	text := strings.TrimSpace(s)
	if n := len(text); n >= 2 && (text[0] == '[' && text[n-1] == ']' || text[0] == '(' && text[n-1] == ')') {
		text = text[1 : n-1]
	}
	var base []float32
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		v, err := strconv.ParseFloat(part, 32)
		if err != nil || strings.ContainsAny(part, "xXpP_") {
			return nil, fault.Malformed("base_score is %.40q", s)
		}
		base = append(base, float32(v))
	}
	return base, nil
}
