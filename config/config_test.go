package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func updating() bool { return flag.Lookup("update").Value.String() == "true" }

func TestMain(m *testing.M) {
	flag.Bool("update", false, "rewrite the goldens")
	flag.Parse()
	os.Exit(m.Run())
}

// Every bad file has its message beside it; `go test ./config -update` rewrites them for a reader to judge.
func TestBadFiles(t *testing.T) {
	for _, kind := range []struct {
		name string
		load func(path string) error
	}{
		{"daemon", func(p string) error { _, err := Load(p, nil); return err }},
		{"model", func(p string) error { _, err := LoadModel(p); return err }},
	} {
		files, err := filepath.Glob(filepath.Join("testdata", "bad", kind.name, "*.yml"))
		if err != nil || len(files) < 30 {
			t.Fatalf("%d bad %s files, %v: the fixtures are gone", len(files), kind.name, err)
		}
		for _, path := range files {
			t.Run(kind.name+"/"+strings.TrimSuffix(filepath.Base(path), ".yml"), func(t *testing.T) {
				err := kind.load(path)
				if err == nil {
					t.Fatal("accepted")
				}
				if !errors.Is(err, ErrInvalid) {
					t.Errorf("is not ErrInvalid: %v", err)
				}
				for line := range strings.SplitSeq(err.Error(), "\n") {
					if !strings.HasPrefix(line, path) && !strings.HasPrefix(line, "listeners.") {
						t.Errorf("does not begin with the place: %s", line)
					}
				}
				golden := strings.TrimSuffix(path, ".yml") + ".golden"
				got := filepath.ToSlash(err.Error()) + "\n"
				if updating() {
					if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(golden)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(want), got); diff != "" {
					t.Errorf("message (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestLoadEveryKey(t *testing.T) {
	got, err := Load("testdata/good/scorer.yml", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		DataDir:   "testdata/good/data",
		Listeners: Listeners{Data: "127.0.0.1:17070", Admin: "[::1]:17071"},
		Warehouse: Warehouse{
			MemoryLimit: 1536 << 20, Threads: 2,
			Seed: []Seed{{Table: "uat.features.churn_features", File: "testdata/good/churn.parquet"}},
		},
		Registry: Registry{MaxArtifactBytes: 2 << 30},
		Models:   []string{"testdata/good/churn.yml", "/etc/treeline/fraud.yml"},
		Scoring:  Scoring{Threads: 3, MemoryBudget: 256 << 20, CachedModels: 4, RowErrors: "null"},
		Training: Trainer{
			Python: "testdata/good/venv/bin/python", PackagePath: "testdata/good/python", WorkDir: "/tmp/trainings", Parallel: 3,
			Timeout: time.Hour, Grace: 20 * time.Second, OutputBytes: 1 << 20,
			InferenceTimeout: 10 * time.Minute,
		},
		MLflow: MLflow{
			TrackingURI: "http://127.0.0.1:5000", Username: "treeline", PasswordEnv: "MLFLOW_TRACKING_PASSWORD",
			Poll: 2 * time.Minute, Timeout: 5 * time.Second, Environment: "uat",
		},
		Orchestration: Orchestration{Parallel: 4},
		Monitoring:    Monitoring{Evaluate: 30 * time.Second},
		Alerts: Alerts{Receivers: []Receiver{
			{Name: "ops", Kind: "slack", URLEnv: "SLACK_URL"},
			{Name: "pager", Kind: "webhook", URL: "https://pager.example/hook", SecretEnv: "PAGER_KEY"},
		}},
		GRPC: GRPC{
			UnaryBytes: 8 << 20, StreamBytes: 32 << 20, UploadBytes: 1e9, MaxStreams: 64,
			UnaryTimeout: 90 * time.Second, ScoreBytes: 128 << 20,
		},
		Arrow:     Arrow{MaxMessageBytes: 32 << 20, MaxAllocBytes: 64 << 20, MaxRows: 1e6, MaxFields: 512, MaxDepth: 8},
		Shutdown:  Shutdown{DrainDelay: 2 * time.Second, Timeout: time.Minute},
		Log:       Log{Level: "debug", Format: "json"},
		Telemetry: Telemetry{OTLP: "off"},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Config{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// The fixture must keep up with the struct: no key may be left at its default.
	for _, key := range scalarKeys(reflect.TypeFor[Config](), "") {
		if _, ok := got.origin[key]; !ok {
			t.Errorf("testdata/good/scorer.yml does not set %s", key)
		}
	}
}

func TestDefaultsAreValid(t *testing.T) {
	c, err := Load("", nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Default(), c, cmpopts.IgnoreUnexported(Config{})); diff != "" {
		t.Errorf("(-default +loaded):\n%s", diff)
	}
}

func TestOrderOfSources(t *testing.T) {
	env := []string{
		"PATH=/bin", "SCORER_ADDR=elsewhere:1", "SCORER_SCORING_THREADS=5", "SCORER_LISTENERS_DATA=127.0.0.1:1",
		"SCORER_MODELS=a.yml, b.yml", "SCORER_WAREHOUSE_MEMORY_LIMIT=64MiB",
	}
	c, err := Load("testdata/good/scorer.yml", env, Flag{Name: "--listen", Key: "listeners.data", Value: "localhost:2"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Scoring.Threads != 5 || c.Listeners.Data != "localhost:2" || c.Listeners.Admin != "[::1]:17071" || c.Warehouse.MemoryLimit != 64<<20 {
		t.Errorf("threads %d, data %s, admin %s, memory %s", c.Scoring.Threads, c.Listeners.Data, c.Listeners.Admin, c.Warehouse.MemoryLimit)
	}
	// Paths outside files are relative to the working directory.
	if diff := cmp.Diff([]string{"a.yml", "b.yml"}, c.Models); diff != "" {
		t.Error(diff)
	}
}

func TestErrorsNameTheirSource(t *testing.T) {
	for _, tc := range []struct {
		env   []string
		flags []Flag
		want  string
	}{
		{
			env:  []string{"SCORER_LOG_LEVL=info"},
			want: `environment SCORER_LOG_LEVL: unknown variable; did you mean "SCORER_LOG_LEVEL"?: config: invalid`,
		},
		{
			env:  []string{"SCORER_SCORING_THREADS=many"},
			want: `environment SCORER_SCORING_THREADS: scoring.threads: want a whole number, found "many": config: invalid`,
		},
		{
			env:  []string{"SCORER_LOG_LEVEL=loud"},
			want: `environment SCORER_LOG_LEVEL: log.level: is "loud", want one of debug, info, warn, error: config: invalid`,
		},
		{
			flags: []Flag{{Name: "--listen", Key: "listeners.data", Value: "0.0.0.0:7070"}},
			want: `flag --listen: listeners.data: "0.0.0.0:7070": only loopback addresses (127.0.0.1, ::1, localhost) are accepted ` +
				`because TLS and tokens are not available yet: config: invalid`,
		},
	} {
		_, err := Load("", tc.env, tc.flags...)
		if err == nil || err.Error() != tc.want {
			t.Errorf("got  %v\nwant %s", err, tc.want)
		}
	}
}

func TestMissingFile(t *testing.T) {
	_, err := Load("testdata/none.yml", nil)
	if err == nil || !strings.Contains(err.Error(), "testdata/none.yml: no such file") {
		t.Error(err)
	}
}

func TestHugeFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "huge.yml")
	if err := os.WriteFile(path, make([]byte, 3<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path, nil); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "at most 1048576") {
		t.Error(err)
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]Size{
		"0": 0, "17": 17, "512MiB": 512 << 20, "1.5 GiB": 3 << 29, "2KB": 2000, "3B": 3, "1TiB": 1 << 40, "9007199254740993": 9007199254740993,
	} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("%s: %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "1e400", "nan", "1 MiBs", "5 GiB GiB", "9999999TiB"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%q is %d", text, got)
		}
	}
	for size, want := range map[Size]string{0: "0", 1: "1", 1536: "1536", 1024: "1KiB", 512 << 20: "512MiB", 3 << 29: "1536MiB", 1 << 41: "2TiB"} {
		if got := size.String(); got != want {
			t.Errorf("%d: %s, want %s", size, got, want)
		}
	}
}

func TestRedacted(t *testing.T) {
	c := Default()
	c.Listeners.Data = "user:secret@127.0.0.1:7070"
	if got := c.Redacted().Listeners.Data; got != "REDACTED@127.0.0.1:7070" {
		t.Error(got)
	}
	if c.Listeners.Data != "user:secret@127.0.0.1:7070" {
		t.Error("Redacted changed its receiver")
	}
}

func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/*/*.yml")
	if err != nil {
		f.Fatal(err)
	}
	more, err := filepath.Glob("testdata/bad/*/*.yml")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range append(files, more...) {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c := Default()
		if _, err := decodeYAML("f.yml", b, &c); err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("daemon: %v", err)
		}
		m := DefaultModel()
		if _, err := decodeYAML("f.yml", b, &m); err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("model: %v", err)
			}
			return
		}
		m.fillDefaults()
		_ = m.Validate()
		if d := m.Digest(); len(d) != len("sha256:")+64 {
			t.Errorf("digest %q", d)
		}
	})
}
