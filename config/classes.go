package config

import (
	"errors"
	"slices"
	"strings"
)

// readyModule is the Python package whose classes a bare name means.
const readyModule = "treeline.training"

// ReadyClass is a Python class that treeline.training has and that a config.yml can name.
type ReadyClass struct {
	Key    string // trainer_class, validator_class or inference_class
	Name   string // such as RandomForestTrainer
	Module string // below treeline.training, in which it is defined
	// Unscored says why versions of a trainer cannot be registered yet; empty when they can.
	Unscored string
}

// ReadyClasses lists the classes that can be named without a module of one's own. A test holds it to the Python package.
func ReadyClasses() []ReadyClass {
	return []ReadyClass{
		{"trainer_class", "RandomForestTrainer", "sklearn_trees", ""},
		{"trainer_class", "ExtraTreesTrainer", "sklearn_trees", ""},
		{"trainer_class", "DecisionTreeTrainer", "sklearn_trees", ""},
		{"trainer_class", "LightGBMTrainer", "lightgbm_booster", ""},
		{"trainer_class", "XGBoostTrainer", "xgboost_booster", ""},
		{"trainer_class", "CatBoostTrainer", "catboost_model", "there is no loader of CatBoost models yet, so that what it trains is " +
			"logged but cannot be registered, validated or scored"},
		{"validator_class", "ThresholdValidator", "validation", ""},
	}
}

// CheckReadyClasses reports named classes that treeline.training should have and, as far as is known without Python, has
// not: bare names and those below treeline.training. Classes of other modules are not looked at. The error names the places.
func (m Model) CheckReadyClasses() error {
	f := &faults{origin: m.origin, fallback: m.path}
	for _, c := range m.classes() {
		if c.name == "" || !below(c.name) {
			continue
		}
		if _, ok := ready(c.key, c.name); ok {
			continue
		}
		var known []string
		for _, r := range ReadyClasses() {
			if r.Key == c.key {
				known = append(known, r.Name)
			}
		}
		bare := c.name[strings.LastIndex(c.name, ".")+1:]
		switch near := nearest(bare, known); {
		case near != "":
			f.add(c.key, "%s has no class %s for it; did you mean %s?", readyModule, bare, near)
		case known != nil:
			f.add(c.key, "%s has no class %s for it; it has %s, and a class of your own is module.Class", readyModule, bare, strings.Join(known, ", "))
		default:
			f.add(c.key, "%s has no class %s for it; name one of your own, as module.Class", readyModule, bare)
		}
	}
	return errors.Join(f.errs...)
}

// Unscored says why versions that the model's trainer_class trains cannot be registered yet; empty when nothing is known
// to be in their way.
func (m Model) Unscored() string {
	r, _ := ready("trainer_class", m.TrainerClass)
	return r.Unscored
}

// namedClass is a class that the file names below a key.
type namedClass struct{ key, name string }

func (m Model) classes() []namedClass {
	return []namedClass{
		{"trainer_class", m.TrainerClass}, {"validator_class", m.ValidatorClass}, {"inference_class", m.InferenceClass},
	}
}

// below reports whether a name is bare or of treeline.training.
func below(name string) bool {
	return !strings.Contains(name, ".") || strings.HasPrefix(name, readyModule+".")
}

// ready finds a class by its bare name, that of treeline.training, or that of the module that defines it.
func ready(key, name string) (ReadyClass, bool) {
	all := ReadyClasses()
	i := slices.IndexFunc(all, func(r ReadyClass) bool {
		return r.Key == key && (name == r.Name || name == readyModule+"."+r.Name || name == readyModule+"."+r.Module+"."+r.Name)
	})
	if i < 0 {
		return ReadyClass{}, false
	}
	return all[i], true
}
