package lightgbm

import (
	"strings"

	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/loader/internal/fault"
)

// link returns what an objective line does to the margins of one row. An empty line is a custom objective: nothing.
func link(line string, outputs int) (forest.Link, error) {
	l := forest.Link{Kind: forest.Identity, Slope: 1, Divisor: 1, Type: forest.Float64}
	words := strings.Fields(line)
	if len(words) == 0 {
		return l, nil
	}
	name := objectiveName(words[0])
	several := false
	switch name {
	case "regression", "regression_l1", "quantile", "fair", "mape":
		for _, w := range words[1:] {
			if w == "sqrt" {
				l.Kind = forest.SignedSquare
			}
		}
	case "huber", "lambdarank", "rank_xendcg":
	case "custom":
		return l, nil
	case "poisson", "gamma", "tweedie":
		l.Kind = forest.Exp
	case "binary":
		l.Kind = forest.Sigmoid
	case "cross_entropy":
		l.Kind = forest.Sigmoid
		words = words[:1] // without parameters
	case "cross_entropy_lambda":
		l.Kind = forest.Log1pExp
	case "multiclass":
		l.Kind, several = forest.Softmax, true
	case "multiclassova":
		l.Kind, several = forest.OneVsAll, true
	default:
		return l, fault.NotSupported("objective %q", words[0])
	}
	return l, parameters(&l, words, outputs, several)
}

// objectiveName resolves the aliases that old files hold.
func objectiveName(name string) string {
	switch name {
	case "regression_l2", "mean_squared_error", "mse", "l2", "l2_root", "root_mean_squared_error", "rmse":
		return "regression"
	case "mean_absolute_error", "l1", "mae":
		return "regression_l1"
	case "softmax":
		return "multiclass"
	case "multiclass_ova", "ova", "ovr":
		return "multiclassova"
	case "xentropy":
		return "cross_entropy"
	case "xentlambda":
		return "cross_entropy_lambda"
	case "mean_absolute_percentage_error":
		return "mape"
	case "xendcg", "xe_ndcg", "xe_ndcg_mart", "xendcg_mart":
		return "rank_xendcg"
	case "none", "null", "na":
		return "custom"
	}
	return name
}

// parameters reads sigmoid:S and num_class:N and checks them.
func parameters(l *forest.Link, words []string, outputs int, several bool) error {
	slope, classes := 0.0, int64(-1)
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, ":")
		switch key {
		case "sigmoid":
			var ok bool
			if slope, ok = atof(value); !ok {
				return fault.Malformed("objective has %.40q", w)
			}
		case "num_class":
			n, err := integer(word{text: []byte(value)}, 0, 1<<31-1)
			if err != nil {
				return fault.Malformed("objective has %.40q", w)
			}
			classes = n
		}
	}
	if several && classes != int64(outputs) {
		return fault.Malformed("objective has num_class:%d, num_tree_per_iteration is %d", classes, outputs)
	}
	if !several && outputs != 1 {
		return fault.Malformed("num_tree_per_iteration is %d under objective %s", outputs, words[0])
	}
	if words[0] == "binary" || l.Kind == forest.OneVsAll {
		if !(slope > 0) {
			return fault.Malformed("objective has no sigmoid above 0")
		}
		l.Slope = slope
	}
	return nil
}

// atof parses a number exactly as LightGBM's Common::Atof does. It is not correctly rounded: the digits after the
// point are divided by a power of ten and added, and that value, not the written one, scales the margins.
func atof(s string) (float64, bool) {
	digits := 0
	value := 0.0
	i := 0
	for ; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
		value = float64(value*10) + float64(s[i]-'0')
		digits++
	}
	if i < len(s) && s[i] == '.' {
		right, n := 0.0, 0
		for i++; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
			right = float64(s[i]-'0') + float64(right*10)
			n++
		}
		digits += n
		value += right / power(10, n)
	}
	if digits == 0 || len(s) > 40 {
		return 0, false
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		i++
		down := i < len(s) && s[i] == '-'
		if i < len(s) && (s[i] == '-' || s[i] == '+') {
			i++
		}
		exponent := 0
		for ; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
			exponent = min(exponent*10+int(s[i]-'0'), 308)
		}
		scale := 1.0
		for ; exponent >= 50; exponent -= 50 {
			scale *= 1e50
		}
		for ; exponent >= 8; exponent -= 8 {
			scale *= 1e8
		}
		for ; exponent > 0; exponent-- {
			scale *= 10
		}
		if down {
			value /= scale
		} else {
			value *= scale
		}
	}
	return value, i == len(s)
}

// power is LightGBM's Common::Pow, whose order of multiplication fixes the last bit.
func power(base float64, n int) float64 {
	switch {
	case n == 0:
		return 1
	case n%2 == 0:
		return power(base*base, n/2)
	case n%3 == 0:
		return power(base*base*base, n/3)
	}
	return base * power(base, n-1)
}
