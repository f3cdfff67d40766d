package sklearn

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestInert: the packages that read Python's files cannot do what a name says, whatever it is: they import nothing that
// starts a process, loads code, opens a file or a connection, or finds a function by its name.
func TestInert(t *testing.T) {
	never := []string{"os", "os/exec", "plugin", "reflect", "syscall", "unsafe", "net", "net/http", "runtime", "go/ast", "text/template"}
	checked := 0
	for _, dir := range []string{".", "../internal/pickle", "../internal/pydata", "../internal/ndarray", "../internal/joblib", "../internal/skops"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			checked++
			for _, i := range parsed.Imports {
				path, _ := strconv.Unquote(i.Path.Value)
				for _, n := range never {
					if path == n {
						t.Errorf("%s imports %s", file, path)
					}
				}
			}
		}
	}
	if checked < 15 {
		t.Errorf("%d files were checked", checked)
	}
}

// TestAllowedNames: the list of names is short, and none is a function that does something when Python calls it with a
// file's arguments, apart from making a container or an array.
func TestAllowedNames(t *testing.T) {
	for _, name := range []string{
		"os.system", "posix.system", "nt.system", "builtins.eval", "builtins.exec", "builtins.getattr", "builtins.__import__",
		"builtins.open", "builtins.map", "builtins.type", "operator.attrgetter", "operator.methodcaller", "functools.partial",
		"subprocess.Popen", "importlib.import_module", "copyreg._reconstructor", "copyreg.__newobj__", "pickle.loads",
		"cloudpickle.cloudpickle._make_function", "numpy.load", "numpy.f2py.crackfortran.getlincoef", "joblib.load",
		"joblib.numpy_pickle.NDArrayWrapper", "sklearn.utils.validation.check_array", "numpy.testing._private.utils.runstring",
		"sklearn.tree._tree.Tree.__reduce__", "numpy.ndarray.tofile", "collections.OrderedDict.update", "webbrowser.open",
		"sklearn.tree._classes.", ".system", "sklearn.tree._classes.DecisionTreeClassifier.fit", "xgboost.sklearn.XGBModel",
		"lightgbm.basic._LIB", "torch.load", "__main__.Model", "sklearn.ensemble._forest.os",
	} {
		module, attr := split(name)
		if allowed(module, attr) {
			t.Errorf("%s is allowed", name)
		}
	}
}

// split cuts at each dot from the right, so that dotted attributes are tried, too.
func split(name string) (module, attr string) {
	i := strings.LastIndexByte(name, '.')
	return name[:i], name[i+1:]
}
