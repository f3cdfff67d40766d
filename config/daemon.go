package config

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Trainer configures how trainers, validators and post-processors are started.
type Trainer struct {
	// Python runs them: a path, or a name that is looked up in PATH. "" (default): there is no Python, models that name
	// classes cannot be trained, and the daemon says so.
	Python string `yaml:"python"`
	// PackagePath is the folder that holds the treeline package; "" when the interpreter finds it by itself.
	PackagePath string `yaml:"package_path"`
	// WorkDir holds what trainings write. "" means trainings below data_dir.
	WorkDir  string `yaml:"work_dir"`
	Parallel int    `yaml:"parallel"` // trainings at once
	// Timeout ends an attempt of a model that has no training.timeout of its own.
	Timeout time.Duration `yaml:"timeout"`
	// Grace is between the request to stop and the end by force.
	Grace time.Duration `yaml:"grace"`
	// OutputBytes are captured of what one training prints.
	OutputBytes Size `yaml:"output_bytes"`
	// InferenceTimeout bounds the pass of one batch's scores through an inference_class.
	InferenceTimeout time.Duration `yaml:"inference_timeout"`
}

// MLflow configures the external registry and tracking server.
type MLflow struct {
	TrackingURI string `yaml:"tracking_uri"` // "" (default): there is none
	Username    string `yaml:"username"`
	// PasswordEnv and TokenEnv name environment variables; the file holds no secret.
	PasswordEnv string `yaml:"password_env"`
	TokenEnv    string `yaml:"token_env"`
	// Publish mirrors stages to aliases and tags. Default true; false: MLflow is only logged to and read.
	Publish bool `yaml:"publish"`
	// Poll is how often the registry is compared with the store.
	Poll time.Duration `yaml:"poll"`
	// Timeout ends one call.
	Timeout time.Duration `yaml:"timeout"`
	// Environment is the value of the run's tag of that name, unless a model has its own.
	Environment string `yaml:"environment"`
}

// Orchestration configures runs of many models.
type Orchestration struct {
	Parallel int `yaml:"parallel"` // steps of different models at once
}

// Monitoring configures how the daemon looks at what it records.
type Monitoring struct {
	// Evaluate is how often triggers look whether to retrain.
	Evaluate time.Duration `yaml:"evaluate"`
}

// Alerts are the receivers of alerts.
type Alerts struct {
	Receivers []Receiver `yaml:"receivers"`
}

// Receiver is told about failures.
type Receiver struct {
	Name string `yaml:"name"`
	Kind string `yaml:"kind"` // slack or webhook
	// URL, or URLEnv, the environment variable that holds it: the URL of a Slack hook is a credential.
	URL    string `yaml:"url"`
	URLEnv string `yaml:"url_env"`
	// SecretEnv names the environment variable with the key that signs a webhook.
	SecretEnv string `yaml:"secret_env"`
}

// Credentials are the secrets of an MLflow server.
type Credentials struct {
	Username, Password, Token string
}

// Credentials looks the secrets up; os.LookupEnv is a look-up. It fails when a variable that is named is not set.
func (m MLflow) Credentials(lookup func(string) (string, bool)) (Credentials, error) {
	c := Credentials{Username: m.Username}
	var err error
	if c.Password, err = secret("mlflow.password_env", m.PasswordEnv, lookup); err != nil {
		return Credentials{}, err
	}
	if c.Token, err = secret("mlflow.token_env", m.TokenEnv, lookup); err != nil {
		return Credentials{}, err
	}
	return c, nil
}

// Secrets looks the receiver's URL and signing key up. It fails when a variable that is named is not set, and when the URL
// in it is none.
func (r Receiver) Secrets(lookup func(string) (string, bool)) (address, key string, err error) {
	where := "alerts.receivers " + r.Name + ": "
	if address = r.URL; r.URLEnv != "" {
		if address, err = secret(where+"url_env", r.URLEnv, lookup); err != nil {
			return "", "", err
		}
		if problem := badURL(address); problem != "" {
			return "", "", fmt.Errorf("%surl_env: the value of %s %s: %w", where, r.URLEnv, problem, ErrInvalid)
		}
	}
	key, err = secret(where+"secret_env", r.SecretEnv, lookup)
	return address, key, err
}

func secret(key, name string, lookup func(string) (string, bool)) (string, error) {
	if name == "" {
		return "", nil
	}
	value, ok := lookup(name)
	if !ok || value == "" {
		return "", fmt.Errorf("%s: the environment variable %s is not set: %w", key, name, ErrInvalid)
	}
	return value, nil
}

// badURL says what is wrong with an address, without showing it.
func badURL(s string) string {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return "is not a URL"
	case u.Scheme != "http" && u.Scheme != "https":
		return "is not an http:// or https:// address"
	case u.Hostname() == "":
		return "has no host"
	}
	if port := u.Port(); port != "" {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return "has a port that is not a number from 0 to 65535"
		}
	}
	return ""
}

func redactURL(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		if s == "" {
			return ""
		}
		return "REDACTED"
	}
	host := u.Hostname()
	if p := u.Port(); p != "" {
		host = net.JoinHostPort(host, p)
	}
	return u.Scheme + "://" + host + "/REDACTED"
}

// lifecycle checks what concerns training, registries, monitoring and alerts.
func (f *faults) lifecycle(c Config) {
	f.between("training.parallel", int64(c.Training.Parallel), 1, 256)
	f.positive("training.timeout", c.Training.Timeout)
	f.positive("training.grace", c.Training.Grace)
	f.positive("training.inference_timeout", c.Training.InferenceTimeout)
	f.atLeast("training.output_bytes", int64(c.Training.OutputBytes), 4<<10)
	f.between("orchestration.parallel", int64(c.Orchestration.Parallel), 1, 256)
	f.positive("monitoring.evaluate", c.Monitoring.Evaluate)
	f.mlflow(c.MLflow)
	for i, r := range c.Alerts.Receivers {
		f.receiver("alerts.receivers["+strconv.Itoa(i)+"]", r)
		for _, earlier := range c.Alerts.Receivers[:i] {
			if r.Name != "" && earlier.Name == r.Name {
				f.add("alerts.receivers["+strconv.Itoa(i)+"].name", "%q names two receivers", r.Name)
			}
		}
	}
}

func (f *faults) mlflow(m MLflow) {
	f.positive("mlflow.poll", m.Poll)
	f.positive("mlflow.timeout", m.Timeout)
	f.environmentName("mlflow.password_env", m.PasswordEnv)
	f.environmentName("mlflow.token_env", m.TokenEnv)
	switch {
	case m.PasswordEnv != "" && m.TokenEnv != "":
		f.add("mlflow.token_env", "is given beside mlflow.password_env; a server takes one of them")
	case m.PasswordEnv != "" && m.Username == "":
		f.add("mlflow.username", "is missing beside mlflow.password_env")
	case m.Username != "" && m.PasswordEnv == "":
		f.add("mlflow.password_env", "is missing beside mlflow.username: name the environment variable with the password")
	}
	if m.TrackingURI == "" {
		return
	}
	if problem := badURL(m.TrackingURI); problem != "" {
		f.add("mlflow.tracking_uri", "%s; want the address of a tracking server such as http://127.0.0.1:5000", problem)
	} else if u, err := url.Parse(m.TrackingURI); err == nil && u.User != nil {
		f.add("mlflow.tracking_uri", "holds a user name; use mlflow.username and mlflow.password_env")
	}
}

func (f *faults) receiver(key string, r Receiver) {
	if r.Name == "" {
		f.add(key+".name", "is missing")
	}
	f.oneOf(key+".kind", r.Kind, "slack", "webhook")
	switch {
	case r.URL == "" && r.URLEnv == "":
		f.add(key+".url", "is missing: give url, or url_env, the environment variable that holds it")
	case r.URL != "" && r.URLEnv != "":
		f.add(key+".url_env", "is given beside url; want one of them")
	case r.URL != "":
		if problem := badURL(r.URL); problem != "" {
			f.add(key+".url", "%s", problem)
		}
	}
	f.environmentName(key+".url_env", r.URLEnv)
	f.environmentName(key+".secret_env", r.SecretEnv)
	switch {
	case r.Kind == "webhook" && r.SecretEnv == "":
		f.add(key+".secret_env", "is missing: webhooks are signed; name the environment variable with the key")
	case r.Kind == "slack" && r.SecretEnv != "":
		f.add(key+".secret_env", "is of no use for slack, whose messages are not signed")
	}
}

// environmentName refuses what cannot be the name of a variable, most of all a secret in its place; it is not repeated.
func (f *faults) environmentName(key, name string) {
	if name != "" && (!identifier(name) || name != strings.ToUpper(name)) {
		f.add(key, "is not the name of an environment variable such as MLFLOW_TRACKING_PASSWORD; the file holds no secrets")
	}
}

func (f *faults) positive(key string, d time.Duration) {
	if d <= 0 {
		f.add(key, "is %v, want more than 0s", d)
	}
}

func (f *faults) between(key string, got, least, most int64) {
	if got < least || got > most {
		f.add(key, "is %d, want %d to %d", got, least, most)
	}
}
