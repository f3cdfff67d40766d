package sklearn

import (
	"slices"
	"strconv"
	"strings"

	"github.com/treeline-ml/treeline/loader/internal/fault"
	"github.com/treeline-ml/treeline/loader/internal/ndarray"
	"github.com/treeline-ml/treeline/loader/internal/pydata"
)

// estimator reads the attributes of an object.
type estimator struct {
	o     *pydata.Object
	class *pydata.Global
}

// name is the class without its module.
func (e *estimator) name() string { return e.class.Name }

func (e *estimator) attr(name string) (pydata.Value, error) {
	v, ok := e.o.Attr(name)
	if !ok {
		if e.o.State == nil || strings.HasSuffix(name, "_") {
			return nil, fault.Malformed("%s has no %s: it was saved before it was fitted, or the file is altered", e.name(), name)
		}
		return nil, fault.Malformed("%s has no %s", e.name(), name)
	}
	return v, nil
}

func (e *estimator) integer(name string) (int64, error) {
	v, err := e.attr(name)
	if err != nil {
		return 0, err
	}
	n, ok := ndarray.Int(v)
	if !ok {
		return 0, fault.Malformed("%s is %s, an int is wanted", name, pydata.Kind(v))
	}
	return n, nil
}

// text returns a string attribute, "" where it is another thing or not there.
func (e *estimator) text(name string) string {
	v, _ := e.o.Attr(name)
	s, _ := v.(string)
	return s
}

// release is a version of scikit-learn.
type release struct {
	text         string
	major, minor int
}

func (r release) before(minor int) bool { return r.minor < minor }

// release reads _sklearn_version, which every estimator's state has.
func (e *estimator) release() (release, error) {
	r := release{text: e.text("_sklearn_version")}
	if r.text == "" {
		return r, fault.Malformed("%s states no _sklearn_version", e.name())
	}
	major, rest, _ := strings.Cut(r.text, ".")
	minor, _, _ := strings.Cut(rest, ".")
	var err, err2 error
	r.major, err = strconv.Atoi(major)
	r.minor, err2 = strconv.Atoi(minor)
	if err != nil || err2 != nil || r.minor < 0 {
		return r, fault.Malformed("_sklearn_version is %.40q", r.text)
	}
	if r.major != 1 || r.minor > 9 {
		return r, fault.NotSupported("models of scikit-learn %.40s", r.text)
	}
	return r, nil
}

// labels returns the class labels of an attribute.
func (d *decoder) labels(v pydata.Value, name string) ([]string, error) {
	a, err := ndarray.Of(v)
	if err != nil {
		if _, ok := pydata.Sequence(v); ok {
			return nil, fault.NotSupported("multi-output models (%s is a list)", name)
		}
		return nil, fault.At(name, err)
	}
	texts, err := a.Texts(int(d.limits.Outputs))
	if err != nil {
		return nil, fault.At(name, err)
	}
	for i, t := range texts {
		if int64(len(t)) > d.limits.StringBytes {
			return nil, fault.At(name, fault.Limit("StringBytes", d.limits.StringBytes, int64(len(t))))
		}
		if slices.Contains(texts[:min(i, 64)], t) {
			return nil, fault.At(name, fault.Malformed("the label %.80q twice", t))
		}
	}
	return texts, nil
}
