package sklearn

// acceptsMissing reports whether predict takes NaN: a forest asks its first tree, tree is that one or the estimator
// itself. The rules are those of BaseDecisionTree._support_missing_values and of the tags in each release:
//
//	before 1.3   never
//	1.3          single trees that choose the best split, by the criteria below
//	1.4, 1.5     forests of such trees, too; not with monotonic constraints
//	1.6 to 1.8   random splits, too; ExtraTree* by random splits alone, but for the regressor of 1.6
//	1.9          every criterion, and monotonic constraints
func acceptsMissing(r release, isForest bool, tree *estimator) bool {
	random := tree.text("splitter") == "random"
	extra := tree.name() == "ExtraTreeClassifier" || tree.name() == "ExtraTreeRegressor" && r.minor != 6
	switch {
	case r.before(3), r.before(4) && isForest, r.before(6) && random, !r.before(6) && extra && !random:
		return false
	case !r.before(9):
		return true
	}
	if constraints, ok := tree.o.Attr("monotonic_cst"); ok && constraints != nil {
		return false
	}
	switch tree.text("criterion") {
	case "gini", "log_loss", "entropy":
		return isClassifier(tree.name())
	case "squared_error", "friedman_mse", "poisson":
		return !isClassifier(tree.name())
	}
	return false
}
