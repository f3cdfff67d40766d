package local

import (
	"os"
	"slices"
	"strings"
)

// WorkVariable marks the processes of a piece of work: its value is the work's directory.
const WorkVariable = "TREELINE_WORK"

// Environment lists the variables that are passed on to Python when they are set; a "*" at the end stands for the rest of
// a name. Everything else, the daemon's own secrets among it, stays here.
func Environment() []string {
	return []string{
		"PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "TZ", "LANG", "LANGUAGE", "LC_*",
		"LD_LIBRARY_PATH", "VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONHASHSEED",
		"OMP_*", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "CUDA_VISIBLE_DEVICES",
		"SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
		"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
		"MLFLOW_*", "OTEL_*",
	}
}

// environ is the environment of a process. paths come before the inherited PYTHONPATH.
func (p Process) environ(inherited, paths []string, mark string) []string {
	allowed := append(Environment(), p.PassEnv...)
	var env []string
	pythonPath := slices.Concat(p.PythonPath, paths)
	for _, kv := range inherited {
		name, value, _ := strings.Cut(kv, "=")
		if name == "PYTHONPATH" {
			if value != "" {
				pythonPath = append(pythonPath, value)
			}
			continue
		}
		if slices.ContainsFunc(allowed, func(a string) bool { return matches(a, name) }) {
			env = append(env, kv)
		}
	}
	env = append(env, "PYTHONUNBUFFERED=1", "PYTHONFAULTHANDLER=1", "PYTHONIOENCODING=utf-8:backslashreplace")
	if len(pythonPath) > 0 {
		env = append(env, "PYTHONPATH="+strings.Join(pythonPath, string(os.PathListSeparator)))
	}
	if mark != "" {
		env = append(env, WorkVariable+"="+mark)
	}
	return env
}

func matches(pattern, name string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(name, prefix)
	}
	return pattern == name
}
