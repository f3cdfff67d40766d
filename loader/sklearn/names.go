package sklearn

import "strings"

// forests and trees are the estimators that are scored, by module.
const (
	forestModule = "sklearn.ensemble._forest."
	treeModule   = "sklearn.tree._classes."
	treeClass    = "sklearn.tree._tree.Tree"
)

func isForest(full string) bool {
	switch strings.TrimPrefix(full, forestModule) {
	case "RandomForestClassifier", "RandomForestRegressor", "ExtraTreesClassifier", "ExtraTreesRegressor":
		return strings.HasPrefix(full, forestModule)
	}
	return false
}

func isTree(full string) bool {
	switch strings.TrimPrefix(full, treeModule) {
	case "DecisionTreeClassifier", "DecisionTreeRegressor", "ExtraTreeClassifier", "ExtraTreeRegressor":
		return strings.HasPrefix(full, treeModule)
	}
	return false
}

// isClassifier tells the two kinds of estimator by name, as their libraries name them.
func isClassifier(full string) bool { return strings.HasSuffix(full, "Classifier") }

// allowed is the list of names that a file may hold. Each is data: the class of an estimator, a part of NumPy's way to
// write an array, or a container. None is looked up or called.
func allowed(module, name string) bool {
	full := module + "." + name
	if isForest(full) || isTree(full) || full == treeClass {
		return true
	}
	switch module {
	case "numpy", "numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric":
		switch name {
		case "ndarray", "dtype", "_reconstruct", "scalar", "_frombuffer":
			return true
		}
	// The state of a random_state parameter.
	case "numpy.random._pickle":
		switch name {
		case "__randomstate_ctor", "__generator_ctor", "__bit_generator_ctor":
			return true
		}
	case "numpy.random._mt19937", "numpy.random._pcg64", "numpy.random._philox", "numpy.random._sfc64",
		"numpy.random.bit_generator", "numpy.random._bit_generator", "numpy.random.mtrand", "numpy.random._generator":
		switch name {
		case "MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64", "SeedSequence", "RandomState", "Generator",
			"__pyx_unpickle_SeedSequence":
			return true
		}
	case "joblib.numpy_pickle":
		return name == "NumpyArrayWrapper"
	case "collections":
		return name == "OrderedDict" || name == "defaultdict"
	case "builtins":
		switch name {
		case "bytearray", "bytes", "set", "frozenset", "slice", "complex", "dict", "list", "object":
			return true
		}
	case "_codecs":
		return name == "encode"
	case "sklearn.preprocessing._label":
		return name == "LabelEncoder"
	case "lightgbm.basic", "xgboost.core":
		return name == "Booster"
	case "lightgbm.sklearn":
		switch name {
		case "LGBMClassifier", "LGBMRegressor", "LGBMRanker":
			return true
		}
	case "xgboost.sklearn":
		switch name {
		case "XGBClassifier", "XGBRegressor", "XGBRanker", "XGBRFClassifier", "XGBRFRegressor":
			return true
		}
	}
	return false
}

// wayOut says what to do about a name or feature that is refused.
func wayOut(message string) string {
	for _, c := range []struct{ part, hint string }{
		{"sklearn.pipeline.", "save the fitted trees alone, pipeline[-1], and give them inputs that are prepared already"},
		{"sklearn.compose.", "save the fitted trees alone, and give them inputs that are prepared already"},
		{"sklearn.model_selection.", "save the fitted trees inside, search.best_estimator_"},
		{"sklearn.calibration.", "save the forest inside it, and calibrate its scores where they are used"},
		{"sklearn.multioutput.", "save one model for each output"},
		{"multi-output", "train and save one model for each output"},
		{"catboost.", "save the model with its save_model(), or log it with mlflow.catboost"},
		{"multi:softmax", "train with objective=\"multi:softprob\", which predicts the same classes"},
		{"single class", "train on rows of both classes"},
		{"__main__.", "the file needs code of the program that wrote it: save the trained model itself, without that"},
		{"scikit-learn 0.", "load it with that release, and train and save it again with scikit-learn 1.0 to 1.9"},
		{"scikit-learn ", "train and save it with scikit-learn 1.0 to 1.9, or update Treeline"},
		{"protocols other", "save it with pickle protocol 2 to 5"},
	} {
		if strings.Contains(message, c.part) {
			return c.hint
		}
	}
	return "what can be read: RandomForest*, ExtraTrees*, DecisionTree*, ExtraTree* of scikit-learn, LGBM* and XGB* models; " +
		"for others save the trained trees with their library's own save_model()"
}
