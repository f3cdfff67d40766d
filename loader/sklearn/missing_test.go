package sklearn

import "testing"

// TestAcceptsMissing: the combinations that the corpus does not have; what each says was read off the release's own tags.
func TestAcceptsMissing(t *testing.T) {
	for _, c := range []struct {
		minor                int
		forest               bool
		class, split, by     string
		constrained, accepts bool
	}{
		{2, false, "DecisionTreeClassifier", "best", "gini", false, false},
		{3, false, "DecisionTreeClassifier", "best", "gini", false, true},
		{3, true, "DecisionTreeClassifier", "best", "gini", false, false},
		{4, true, "DecisionTreeClassifier", "best", "gini", false, true},
		{4, true, "DecisionTreeClassifier", "best", "gini", true, false},
		{5, false, "DecisionTreeRegressor", "random", "poisson", false, false},
		{6, false, "DecisionTreeRegressor", "random", "poisson", false, true},
		{5, true, "ExtraTreeClassifier", "random", "entropy", false, false},
		{6, true, "ExtraTreeClassifier", "random", "entropy", false, true},
		{6, false, "ExtraTreeClassifier", "best", "entropy", false, false},
		{6, false, "ExtraTreeRegressor", "best", "squared_error", false, true},
		{7, false, "ExtraTreeRegressor", "best", "squared_error", false, false},
		{8, true, "DecisionTreeRegressor", "best", "absolute_error", false, false},
		{9, true, "DecisionTreeRegressor", "best", "absolute_error", false, true},
		{8, true, "DecisionTreeRegressor", "best", "friedman_mse", true, false},
		{9, true, "DecisionTreeRegressor", "best", "poisson", true, true},
		{9, false, "ExtraTreeRegressor", "best", "poisson", false, false},
		{4, false, "DecisionTreeClassifier", "best", "squared_error", false, false},
	} {
		attrs := []any{"splitter", c.split, "criterion", c.by}
		if c.constrained {
			attrs = append(attrs, "monotonic_cst", int64(1))
		}
		o := object(treeModule+c.class, attrs...)
		if got := acceptsMissing(release{minor: c.minor}, c.forest, &estimator{o: o, class: o.Class}); got != c.accepts {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
