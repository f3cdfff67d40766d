package scoring

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/treeline-ml/treeline/warehouse"
)

// plan is a request after everything that needs neither model nor input has been checked.
type plan struct {
	Request
	cfg    ModelConfig
	input  warehouse.Input // without Columns
	output warehouse.Output
	digest string // of the settings that decide about scores and where they go
	code   code   // of the model's PostProcessor
}

// check refuses a configuration that could not score anything.
func (c ModelConfig) check() error {
	switch {
	case c.Name == "" || c.Key == "":
		return fmt.Errorf("model %q, key %q: both are needed: %w", c.Name, c.Key, ErrRequest)
	case len(c.Keys) == 0:
		return fmt.Errorf("model %q has no key columns; predictions could not be told apart: %w", c.Name, ErrRequest)
	case math.IsNaN(c.Threshold):
		return fmt.Errorf("model %q: decision threshold is NaN: %w", c.Name, ErrRequest)
	}
	for i, k := range c.Keys {
		if slices.Contains(c.Keys[:i], k) {
			return fmt.Errorf("model %q: key column %q is named twice: %w", c.Name, k, ErrRequest)
		}
	}
	return nil
}

func (b *Batcher) plan(req Request) (plan, error) {
	cfg, ok := b.configs[req.Model]
	if !ok {
		return plan{}, fmt.Errorf("model %q: add its config.yml to the daemon's models: %w", req.Model, ErrUnknownModel)
	}
	p := plan{Request: req, cfg: cfg}
	p.input = warehouse.Input{Files: req.InputFiles, Keys: cfg.Keys}
	if req.Version < 0 {
		return plan{}, fmt.Errorf("version %d is negative: %w", req.Version, ErrRequest)
	}
	if req.InputFiles == "" {
		t, err := warehouse.ParseTableName(cfg.FeaturesTable)
		if err != nil {
			return plan{}, fmt.Errorf("model %q: %w: %w", req.Model, err, ErrRequest)
		}
		p.input.Table = t
	}
	if req.Date != "" {
		if _, err := time.Parse(time.DateOnly, req.Date); err != nil {
			return plan{}, fmt.Errorf("date %q is not a day as YYYY-MM-DD: %w", req.Date, ErrRequest)
		}
		if cfg.DateColumn == "" {
			return plan{}, fmt.Errorf("model %q has no data.date_col, so date %s selects nothing: %w", req.Model, req.Date, ErrRequest)
		}
		p.input.DateColumn, p.input.Date = cfg.DateColumn, req.Date
	}
	var err error
	if p.output, err = output(cfg, req); err != nil {
		return plan{}, err
	}
	if p.code, err = codeOf(cfg.PostProcessor); err != nil {
		return plan{}, fmt.Errorf("model %q: %w", req.Model, err)
	}
	p.digest = scoringDigest(cfg, p.output, b.deps.Options.RowErrors, p.code)
	return p, nil
}

// datePlaceholder stands in the configured path of an output file for the day of the batch.
const datePlaceholder = "{date}"

// output is where a batch goes: where the request says, else where the configuration does.
func output(cfg ModelConfig, req Request) (warehouse.Output, error) {
	switch {
	case req.OutputTable != "" && req.OutputFile != "":
		return warehouse.Output{}, fmt.Errorf("output table and output file: name one of them: %w", ErrRequest)
	case req.OutputTable != "":
		t, err := warehouse.ParseTableName(req.OutputTable)
		if err != nil {
			return warehouse.Output{}, fmt.Errorf("output table: %w: %w", err, ErrRequest)
		}
		return warehouse.Output{Table: t}, nil
	case req.OutputFile != "":
		o, err := warehouse.OutputFile(req.OutputFile)
		if err != nil {
			return warehouse.Output{}, fmt.Errorf("%w: %w", err, ErrRequest)
		}
		return o, nil
	}
	out := cfg.Output
	out.File = strings.ReplaceAll(out.File, datePlaceholder, cmp.Or(req.Date, "all"))
	return out, nil
}

// source is what the batch says it read.
func (p plan) source() string {
	if p.InputName != "" {
		return p.InputName
	}
	return p.input.Source()
}

// batchNamespace is UUIDv5(NamespaceURL, "https://github.com/treeline-ml/treeline/score-batch"). It never changes.
var batchNamespace = uuid.UUID{0xd1, 0x81, 0xfa, 0x71, 0x16, 0xaa, 0x53, 0xb7, 0x8f, 0xe2, 0x45, 0x1f, 0x97, 0x3f, 0xb3, 0x6a}

// batchID is the UUIDv5 of docs/format/batch-id.md.
func batchID(model, modelDigest, configDigest, source, version, date string) warehouse.BatchID {
	name := netstrings("treeline.score-batch/1", model, modelDigest, configDigest, source, version, date)
	return warehouse.BatchID(uuid.NewSHA1(batchNamespace, name).String())
}

// scoringDigest is the config digest of docs/format/batch-id.md: it covers what decides about the scores of a batch and
// where they go, so that an edit of, say, training hyperparameters does not turn a re-run into a second batch.
func scoringDigest(c ModelConfig, output warehouse.Output, rows RowPolicy, post code) string {
	parts := []string{
		"treeline.scoring-config/1", c.Key, strconv.FormatFloat(c.Threshold, 'x', -1, 64), output.String(), rows.String(),
		c.DateColumn, strconv.Itoa(len(c.Keys)),
	}
	parts = append(parts, c.Keys...)
	if post != (code{}) {
		parts = append(parts, "inference_class", post.class, post.digest)
	}
	sum := sha256.Sum256(netstrings(parts...))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// netstrings writes each part as "<bytes>:<part>,", which no two different lists share.
func netstrings(parts ...string) []byte {
	var out []byte
	for _, p := range parts {
		out = strconv.AppendInt(out, int64(len(p)), 10)
		out = append(out, ':')
		out = append(out, p...)
		out = append(out, ',')
	}
	return out
}
