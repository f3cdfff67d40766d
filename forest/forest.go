// Package forest is the format-neutral description of a trained tree ensemble: features, splits with their exact
// missing-value and category rules, leaves, and the link from margins to predictions.
//
// Loaders build a Model from a library's file, the engine compiles it; nothing here scores. Every rule that can change
// a bit of the result is written out in the data, so an engine needs no knowledge of the library that trained it.
//
//	library file --loader--> forest.Model --engine.Compile--> engine.Program
//
// # Invariants (Validate checks them)
//
//	I1  Every node index and every leaf index of a tree is reached exactly once from the root: no cycle, no second
//	    parent, nothing unreachable. A walk therefore ends.
//	I2  A node's inner children have larger indices than the node itself.
//	I3  Every feature, output, and category-set index is in range.
//	I4  No threshold is NaN; thresholds of a Float32 model are exactly representable as float32.
//	I5  Leaf values are finite or the loader said why not (Model.NonFiniteLeaves).
//
// # Concurrency
//
// A Model is plain data. Once handed to a reader it must not change.
package forest

// Model is one trained ensemble.
type Model struct {
	Features []Feature
	Outputs  int // margins per row, >= 1
	Trees    []Tree
	Sets     []CategorySet // category sets named by Node.Set

	Arithmetic Arithmetic
	Base       []float64 // Outputs values: each accumulator starts here, before the first tree
	Scale      float64   // after the sum: margin = Scale*sum + Bias[k]; 1 for most libraries
	Bias       []float64 // Outputs values, or nil for none

	Link    Link
	Classes []string // class labels in output order of a classifier; empty when the file has none

	// Iterations is the number of boosting rounds that Trees holds (trees per round = len(Trees)/Iterations where
	// every round grows the same number of trees). 0 when the format does not say.
	Iterations int
	// Stop is the number of first boosting rounds that count unless the caller asks for another number: the wrappers of
	// scikit-learn's style stop at the best round of early stopping. 0 means all.
	Stop int
	// Missing is a value that the model itself reads as missing besides NaN, unless the caller names another; nil means
	// none. Pickled XGBoost wrappers carry one.
	Missing *float64

	NonFiniteLeaves bool
	Provenance      Provenance
}

// Feature is one model input, found in a table by its name.
type Feature struct {
	Name string
	Kind FeatureKind
	// Vocabulary maps category names to codes (its positions) for a categorical feature that was trained on named
	// categories. Empty means that the feature takes integer codes.
	Vocabulary []Category
	// Unknown says what a category outside Vocabulary means.
	Unknown UnknownCategory
	// RejectInfinite is set where the library itself refuses infinite values (or ones beyond float32).
	RejectInfinite bool
	// RejectMissing is set where the library itself refuses NaN (scikit-learn before 1.3, and some estimators since).
	RejectMissing bool
}

// FeatureKind tells numbers from categories.
type FeatureKind uint8

// The kinds of feature.
const (
	Numeric FeatureKind = iota
	Categorical
)

// Category is one entry of a vocabulary, as the training table held it.
type Category struct {
	Kind   CategoryKind
	Text   string  // CategoryText
	Number float64 // CategoryNumber, CategoryBool (0 or 1)
}

// CategoryKind is the type of a vocabulary entry.
type CategoryKind uint8

// The kinds of vocabulary entry.
const (
	CategoryText CategoryKind = iota
	CategoryNumber
	CategoryBool
)

// UnknownCategory is the policy for a category outside the vocabulary.
type UnknownCategory uint8

// The policies of the libraries: LightGBM reads an unseen name as missing, XGBoost 3 refuses it.
const (
	UnknownMissing UnknownCategory = iota
	UnknownError
)

// Tree is one tree. Nodes[0] is the root; a tree without nodes is the single leaf 0.
//
//	Left, Right >= 0   index into Nodes, larger than the parent's
//	Left, Right <  0   leaf ^index
type Tree struct {
	Output int // the margin that its leaves are added to; ignored with vector leaves
	Nodes  []Node
	// Leaves holds one value a leaf, or Model.Outputs values a leaf (row-major) when Vector is set.
	Leaves []float64
	Vector bool
	// LeafNames are the numbers by which the training library's own output of leaves calls them; nil means their indices.
	LeafNames []int32

	// Statistics of the training run, nil when the file has none: the weight (count or hessian) that reached each
	// node and leaf, and each node's gain.
	NodeCover, LeafCover, Gain []float64
}

// NumLeaves returns the number of leaves: a binary tree has one more than it has nodes.
func (t *Tree) NumLeaves() int { return len(t.Nodes) + 1 }

// Node is one split. A value x of the model's input type goes left iff
//
//	LessEqual:  x <= Threshold        NaN goes left iff NaNLeft
//	Less:       x <  Threshold        NaN goes left iff NaNLeft
//	InSet:      code(x) in Sets[Set]  NaN goes left iff NaNLeft, no code (negative, too large) iff OtherLeft
//	NotInSet:   code(x) not in the set, for codes that exist; NaN and no code as above
//
// For the numeric operators Zero overrides the comparison when x == 0 (after Arithmetic.FlushZero).
// code(x) is defined by Arithmetic.CategoryCast; a code beyond the set's words is not in the set.
type Node struct {
	Threshold   float64
	Feature     int32
	Left, Right int32
	Set         int32 // index into Model.Sets for InSet and NotInSet
	Op          Op
	Zero        ZeroRule
	NaNLeft     bool
	OtherLeft   bool
}

// Op is a split's operator.
type Op uint8

// The operators.
const (
	LessEqual Op = iota
	Less
	InSet
	NotInSet
)

// ZeroRule sends x == 0 to a fixed side (LightGBM's zero_as_missing).
type ZeroRule uint8

// The zero rules.
const (
	ZeroCompares ZeroRule = iota
	ZeroLeft
	ZeroRight
)

// CategorySet is a bit set of category codes: code c is in the set iff bit c%32 of word c/32 is set.
type CategorySet []uint32

// Has reports whether code c >= 0 is in the set.
func (s CategorySet) Has(c int) bool {
	return c>>5 < len(s) && s[c>>5]>>(c&31)&1 == 1
}

// Arithmetic fixes the number types and the order-sensitive rules of scoring.
type Arithmetic struct {
	Input FloatType // inputs are rounded to this type first
	Sum   FloatType // the accumulator's type; leaves are added in tree order
	// FlushZero replaces |x| <= ZeroThreshold by 0 before numeric splits (LightGBM).
	FlushZero bool
	// Average divides each sum by the number of trees of its output (scikit-learn forests).
	Average      bool
	CategoryCast CategoryCast
}

// ZeroThreshold is LightGBM's kZeroThreshold: the float constant 1e-35f widened to double.
const ZeroThreshold = 1.0000000180025095e-35

// FloatType is a floating-point type.
type FloatType uint8

// The floating-point types.
const (
	Float64 FloatType = iota
	Float32
)

// CategoryCast turns an input value into a category code; a value without one is "no code".
type CategoryCast uint8

// The casts.
const (
	// CastTruncate is C's conversion to int32: -0.5 has code 0; below 0 or outside int32 there is no code (LightGBM).
	CastTruncate CategoryCast = iota
	// CastNonNegative refuses x < 0 and x >= 2^24 before it truncates: -0.5 has no code (XGBoost).
	CastNonNegative
)

// Link turns the margins of one row into its prediction.
type Link struct {
	Kind LinkKind
	// Slope multiplies the margin in Sigmoid and OneVsAll (LightGBM's sigmoid parameter); 1 otherwise.
	Slope float64
	// Divisor divides the margin first; 1 for most models (LightGBM's average_output: the number of iterations).
	Divisor float64
	// Type is the type in which the link is evaluated. Float32 links use glibc's float functions.
	Type FloatType
}

// LinkKind names a link function. The width of the prediction is Link.Width.
type LinkKind uint8

// The links. Formulas are those of the libraries; see docs/format/parity.md.
const (
	Identity     LinkKind = iota // margin
	Sigmoid                      // 1/(1+exp(-Slope*margin))
	Softmax                      // over the row's margins
	OneVsAll                     // a Sigmoid per class, not normalised
	Exp                          // exp(margin)
	Log1pExp                     // log1p(exp(margin)), LightGBM cross_entropy_lambda
	SignedSquare                 // sign(m)*m*m, LightGBM's sqrt regression
	Hinge                        // 1 if margin > 0 else 0
	ArgMax                       // index of the largest margin, one column (multi:softmax)
	Ascending                    // the row's margins in ascending order (reg:quantileerror with several alphas, XGBoost 3.4)
	Probability                  // margin, which is a class probability already (scikit-learn's averaged class fractions)
)

// Width returns the number of prediction columns for a model with the given number of outputs.
func (l Link) Width(outputs int) int {
	if l.Kind == ArgMax {
		return 1
	}
	return outputs
}

// Provenance says where a model came from.
type Provenance struct {
	Format    string // "lightgbm-text", "xgboost-json", "xgboost-ubjson", "xgboost-binary", ...
	Library   string // "lightgbm", "xgboost"
	Version   string // the library or file version as the file states it: "v4", "3.4.1"
	Objective string // as the file states it; empty for a custom objective
	Digest    string // "sha256:<hex>" of the file's bytes
	// BestIteration is the boosting round, from 0, that the file names as the best (XGBoost's early stopping); nil when
	// it names none. Scoring does not heed it: all trees count. Releases before 2.0 name the last round when training
	// did not stop early.
	BestIteration *int
	// Estimator is the Python class that the file holds or that its metadata names: "sklearn.ensemble._forest.
	// RandomForestClassifier", "xgboost.sklearn.XGBClassifier"; empty for a library's own model file.
	Estimator string
	// Inputs are the columns of an MLflow signature, in its order; nil when there is none or it names no columns.
	Inputs []Input
	// Files are all files that the model was read from, the one that was opened first; nil when it is that one only.
	Files []File
}

// Input is a column of an MLflow model signature.
type Input struct {
	Name     string
	Type     string // "double", "float", "long", "integer", "boolean", "string", ...
	Required bool   // false where the training rows had missing values
}

// File is one file of a model that has several.
type File struct {
	Name   string `json:"name"`   // relative to the directory of the file that was opened, with slashes
	Digest string `json:"digest"` // "sha256:<hex>"
}

// Task is what a model predicts, as far as its link tells.
type Task uint8

// The tasks.
const (
	Regression Task = iota
	Binary
	Multiclass
)

// Task derives the task from link and outputs.
func (m *Model) Task() Task {
	switch m.Link.Kind {
	case Sigmoid, Hinge:
		if m.Outputs == 1 {
			return Binary
		}
	case Softmax, OneVsAll, ArgMax:
		return Multiclass
	case Probability:
		if m.Outputs == 1 {
			return Binary
		}
		return Multiclass
	}
	return Regression
}
