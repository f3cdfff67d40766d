// Package config reads the daemon's configuration and the per-model config.yml files.
//
//	Default() < strict YAML file < SCORER_* environment < flags
//
// # Invariants
//
//	C1  A key that is not known is an error that names file, line, column and the nearest known key; so are a key given
//	    twice, a value of the wrong type, and YAML anchors, aliases and tags, which are refused.
//	C2  Every error of a value names where the value came from: file, line and column, environment variable, or flag.
//	C3  All errors of one file are reported together.
//	C4  Relative paths in a file are relative to that file; elsewhere to the working directory.
//
// Values are plain data after Load; nothing here is safe to change while others read it.
package config

import (
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// ErrInvalid is wrapped by every error about the content of a configuration. The operator fixes the named place.
var ErrInvalid = errors.New("config: invalid")

// Config is the daemon's configuration. Keys of the file are those in the yaml tags; the environment variable of a key is
// SCORER_ and its path in capitals: SCORER_LISTENERS_DATA for listeners.data. Lists are comma-separated there.
type Config struct {
	// DataDir holds everything that the daemon keeps: state, tables, artifacts, snapshots, uploads.
	DataDir   string    `yaml:"data_dir"`
	Listeners Listeners `yaml:"listeners"`
	Warehouse Warehouse `yaml:"warehouse"`
	Registry  Registry  `yaml:"registry"`
	// Models are paths of per-model config.yml files.
	Models        []string      `yaml:"models"`
	Scoring       Scoring       `yaml:"scoring"`
	Training      Trainer       `yaml:"training"`
	MLflow        MLflow        `yaml:"mlflow"`
	Orchestration Orchestration `yaml:"orchestration"`
	Monitoring    Monitoring    `yaml:"monitoring"`
	Alerts        Alerts        `yaml:"alerts"`
	GRPC          GRPC          `yaml:"grpc"`
	Arrow         Arrow         `yaml:"arrow"`
	Shutdown      Shutdown      `yaml:"shutdown"`
	Log           Log           `yaml:"log"`
	Telemetry     Telemetry     `yaml:"telemetry"`

	origin origins
}

// Listeners are the addresses that the daemon serves on. Only loopback addresses are accepted until TLS and tokens exist.
type Listeners struct {
	Data  string `yaml:"data"`  // scoring, batches, catalog
	Admin string `yaml:"admin"` // registry, validation, promotion, audit
}

// Warehouse configures the embedded DuckDB warehouse.
type Warehouse struct {
	MemoryLimit Size `yaml:"memory_limit"`
	Threads     int  `yaml:"threads"` // 0: one a core
	// Seed tables are made from files when they do not exist yet.
	Seed []Seed `yaml:"seed"`
}

// Seed is a table that is made from a file (.parquet, .arrow, .csv) when it does not exist.
type Seed struct {
	Table string `yaml:"table"` // catalog.schema.table
	File  string `yaml:"file"`
}

// Registry configures the local artifact directory.
type Registry struct {
	MaxArtifactBytes Size `yaml:"max_artifact_bytes"` // all files of one version together
}

// Scoring configures the engine and the batch pipeline.
type Scoring struct {
	Threads      int  `yaml:"threads"`       // 0: one a core
	MemoryBudget Size `yaml:"memory_budget"` // records in flight in one batch
	CachedModels int  `yaml:"cached_models"` // compiled models kept in memory
	// RowErrors says what becomes of rows that the training library would refuse: "fail" the batch, or "null" scores.
	RowErrors string `yaml:"row_errors"`
}

// GRPC bounds what callers may send.
type GRPC struct {
	UnaryBytes   Size          `yaml:"unary_bytes"`   // request of a unary call
	StreamBytes  Size          `yaml:"stream_bytes"`  // one message of a stream, and every answer
	UploadBytes  Size          `yaml:"upload_bytes"`  // one uploaded input file
	MaxStreams   int           `yaml:"max_streams"`   // concurrent calls of one connection
	UnaryTimeout time.Duration `yaml:"unary_timeout"` // of calls without a deadline
	ScoreBytes   Size          `yaml:"score_bytes"`   // memory of all online scoring calls together, by estimate
}

// Arrow bounds Arrow data from callers, before anything is allocated for it.
type Arrow struct {
	MaxMessageBytes Size  `yaml:"max_message_bytes"`
	MaxAllocBytes   Size  `yaml:"max_alloc_bytes"`
	MaxRows         int64 `yaml:"max_rows"`
	MaxFields       int   `yaml:"max_fields"`
	MaxDepth        int   `yaml:"max_depth"`
}

// Shutdown says how the daemon stops on SIGTERM.
type Shutdown struct {
	// DrainDelay is how long calls are still accepted after health turned NOT_SERVING, for balancers to notice.
	DrainDelay time.Duration `yaml:"drain_delay"`
	// Timeout is how long running batches and calls may take to end before they are interrupted.
	Timeout time.Duration `yaml:"timeout"`
}

// Log configures the log on stderr.
type Log struct {
	Level  string `yaml:"level"`  // debug, info, warn, error
	Format string `yaml:"format"` // text, json
}

// Telemetry configures traces. Where they go is set by the standard OTEL_ environment variables.
type Telemetry struct {
	// OTLP is "env" (export when OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set) or "off".
	OTLP string `yaml:"otlp"`
}

// Default is the configuration of a daemon without any file.
func Default() Config {
	return Config{
		DataDir:   "var",
		Listeners: Listeners{Data: "127.0.0.1:7070", Admin: "127.0.0.1:7071"},
		Warehouse: Warehouse{MemoryLimit: 1 << 30},
		Registry:  Registry{MaxArtifactBytes: 4 << 30},
		Scoring:   Scoring{MemoryBudget: 512 << 20, CachedModels: 32, RowErrors: "fail"},
		Training: Trainer{
			Parallel: 2, Timeout: 2 * time.Hour, Grace: 10 * time.Second, OutputBytes: 16 << 20,
			InferenceTimeout: 30 * time.Minute,
		},
		MLflow:        MLflow{Publish: true, Poll: time.Minute, Timeout: 30 * time.Second, Environment: "dev"},
		Orchestration: Orchestration{Parallel: 2},
		Monitoring:    Monitoring{Evaluate: time.Minute},
		GRPC: GRPC{
			UnaryBytes: 4 << 20, StreamBytes: 16 << 20, UploadBytes: 16 << 30, MaxStreams: 256,
			UnaryTimeout: 10 * time.Minute, ScoreBytes: 512 << 20,
		},
		Arrow:     Arrow{MaxMessageBytes: 64 << 20, MaxAllocBytes: 256 << 20, MaxRows: 16 << 20, MaxFields: 1 << 16, MaxDepth: 16},
		Shutdown:  Shutdown{Timeout: 30 * time.Second},
		Log:       Log{Level: "info", Format: "text"},
		Telemetry: Telemetry{OTLP: "env"},
	}
}

// Redacted returns a copy that may be shown or logged: credentials are replaced. Addresses lose user information should
// someone have written it there; the URL of an alert receiver keeps its host, since its path is often the credential.
func (c Config) Redacted() Config {
	c.Listeners.Data, c.Listeners.Admin = redactAddress(c.Listeners.Data), redactAddress(c.Listeners.Admin)
	c.Models = slices.Clone(c.Models)
	c.Warehouse.Seed = slices.Clone(c.Warehouse.Seed)
	c.MLflow.TrackingURI = redactAddress(c.MLflow.TrackingURI)
	c.Alerts.Receivers = slices.Clone(c.Alerts.Receivers)
	for i := range c.Alerts.Receivers {
		c.Alerts.Receivers[i].URL = redactURL(c.Alerts.Receivers[i].URL)
	}
	c.origin = maps.Clone(c.origin)
	return c
}

func redactAddress(s string) string {
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		return "REDACTED@" + s[i+1:]
	}
	return s
}

// resolvePaths makes the paths that came from a file relative to that file.
func (c *Config) resolvePaths(dir string) {
	abs := func(p *string) {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
	if _, ok := c.origin["data_dir"]; ok {
		abs(&c.DataDir)
	}
	for i := range c.Models {
		abs(&c.Models[i])
	}
	if strings.ContainsRune(c.Training.Python, filepath.Separator) { // a bare name is looked up in PATH
		abs(&c.Training.Python)
	}
	abs(&c.Training.PackagePath)
	abs(&c.Training.WorkDir)
	for i := range c.Warehouse.Seed {
		abs(&c.Warehouse.Seed[i].File)
	}
}
