package mlflow

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// The states of a run.
const (
	RunRunning  = "RUNNING"
	RunFinished = "FINISHED"
	RunFailed   = "FAILED"
	RunKilled   = "KILLED"
)

// Run is one run with its latest metrics.
type Run struct {
	ID, Name, ExperimentID, Status string
	ArtifactURI                    string // "mlflow-artifacts:/1/<id>/artifacts"
	Start, End                     time.Time
	Deleted                        bool
	Params, Tags                   map[string]string
	Metrics                        map[string]float64
	LoggedModels                   []string // ids "m-..." of the models that it made
}

// NewRun describes a run to be made.
type NewRun struct {
	ExperimentID, Name string
	Start              time.Time
	Tags               map[string]string
}

// Batch is what is logged to a run at once. Logging it again changes nothing, unless a parameter has another value.
type Batch struct {
	Metrics map[string]float64
	Params  map[string]string
	Tags    map[string]string
	At      time.Time // of the metrics
}

type wireRun struct {
	Info struct {
		RunID        string  `json:"run_id"`
		RunName      string  `json:"run_name"`
		ExperimentID text    `json:"experiment_id"`
		Status       string  `json:"status"`
		ArtifactURI  string  `json:"artifact_uri"`
		StartTime    integer `json:"start_time"`
		EndTime      integer `json:"end_time"`
		Lifecycle    string  `json:"lifecycle_stage"`
	} `json:"info"`
	Data struct {
		Metrics []struct {
			Key   string `json:"key"`
			Value number `json:"value"`
		} `json:"metrics"`
		Params []entry `json:"params"`
		Tags   []entry `json:"tags"`
	} `json:"data"`
	Outputs struct {
		Models []struct {
			ModelID string `json:"model_id"`
		} `json:"model_outputs"`
	} `json:"outputs"`
}

func (w *wireRun) run() Run {
	i := &w.Info
	r := Run{
		ID: i.RunID, Name: i.RunName, ExperimentID: string(i.ExperimentID), Status: i.Status, ArtifactURI: i.ArtifactURI,
		Start: i.StartTime.time(), End: i.EndTime.time(), Deleted: i.Lifecycle == "deleted",
		Params: toMap(w.Data.Params), Tags: toMap(w.Data.Tags), Metrics: make(map[string]float64, len(w.Data.Metrics)),
	}
	for _, m := range w.Data.Metrics {
		r.Metrics[m.Key] = float64(m.Value)
	}
	for _, m := range w.Outputs.Models {
		r.LoggedModels = append(r.LoggedModels, m.ModelID)
	}
	return r
}

// Experiment returns the id of an experiment and makes it if it is not there.
func (c *Client) Experiment(ctx context.Context, name string) (string, error) {
	id, err := c.findExperiment(ctx, name)
	if !errors.Is(err, ErrNotFound) {
		return id, err
	}
	var made struct {
		ID text `json:"experiment_id"`
	}
	// Names are unique, so a repetition cannot make a second one.
	err = c.post(ctx, "experiments/create", map[string]string{"name": name}, &made, again)
	if errors.Is(err, ErrExists) {
		return c.findExperiment(ctx, name)
	}
	return string(made.ID), err
}

func (c *Client) findExperiment(ctx context.Context, name string) (string, error) {
	var found struct {
		Experiment struct {
			ID        text   `json:"experiment_id"`
			Lifecycle string `json:"lifecycle_stage"`
		} `json:"experiment"`
	}
	err := c.get(ctx, "experiments/get-by-name", url.Values{"experiment_name": {name}}, &found)
	if err == nil && found.Experiment.Lifecycle == "deleted" {
		return "", fmt.Errorf("%w: the experiment %q was deleted; restore it (mlflow experiments restore --experiment-id %s) or name another",
			ErrInvalid, name, found.Experiment.ID)
	}
	return string(found.Experiment.ID), err
}

// Run returns a run. It fails with ErrNotFound.
func (c *Client) Run(ctx context.Context, id string) (Run, error) {
	var out struct {
		Run wireRun `json:"run"`
	}
	err := c.get(ctx, "runs/get", url.Values{"run_id": {id}}, &out)
	return out.Run.run(), err
}

// CreateRun begins a run. The reply may get lost; to find out, search for a tag that only this run has.
func (c *Client) CreateRun(ctx context.Context, r NewRun) (Run, error) {
	var out struct {
		Run wireRun `json:"run"`
	}
	err := c.post(ctx, "runs/create", map[string]any{
		"experiment_id": r.ExperimentID, "run_name": r.Name, "start_time": r.Start.UnixMilli(), "tags": toEntries(r.Tags),
	}, &out, once)
	return out.Run.run(), err
}

// SearchRuns returns up to most runs that match MLflow's filter, the latest started first.
func (c *Client) SearchRuns(ctx context.Context, experimentIDs []string, filter string, most int) ([]Run, error) {
	var out []Run
	err := c.pages(func(token string, page int) (string, int, error) {
		var answer struct {
			Runs  []wireRun `json:"runs"`
			Token string    `json:"next_page_token"`
		}
		err := c.post(ctx, "runs/search", map[string]any{
			"experiment_ids": experimentIDs, "filter": filter, "max_results": min(most-len(out), page),
			"order_by": []string{"attributes.start_time DESC"}, "page_token": token,
		}, &answer, again)
		for i := range answer.Runs {
			if r := answer.Runs[i].run(); !slices.ContainsFunc(out, func(o Run) bool { return o.ID == r.ID }) {
				out = append(out, r)
			}
		}
		if len(out) >= most {
			answer.Token = ""
		}
		return answer.Token, len(answer.Runs), err
	})
	return out, err
}

// The most that the server takes in one log-batch.
const (
	batchMetrics = 1000
	batchEntries = 100
)

// LogBatch logs to a run, in as many requests as the server's limits ask for.
func (c *Client) LogBatch(ctx context.Context, runID string, b Batch) error {
	type metric struct {
		Key       string `json:"key"`
		Value     number `json:"value"`
		Timestamp int64  `json:"timestamp"`
		Step      int64  `json:"step"`
	}
	var metrics []metric
	for _, k := range slices.Sorted(maps.Keys(b.Metrics)) {
		metrics = append(metrics, metric{Key: k, Value: number(b.Metrics[k]), Timestamp: b.At.UnixMilli()})
	}
	send := func(field string, values any) error {
		return c.post(ctx, "runs/log-batch", map[string]any{"run_id": runID, field: values}, nil, again)
	}
	for part := range slices.Chunk(metrics, batchMetrics) {
		if err := send("metrics", part); err != nil {
			return err
		}
	}
	for part := range slices.Chunk(toEntries(b.Params), batchEntries) {
		if err := send("params", part); err != nil {
			return err
		}
	}
	for part := range slices.Chunk(toEntries(b.Tags), batchEntries) {
		if err := send("tags", part); err != nil {
			return err
		}
	}
	return nil
}

// SetRunTag sets a tag of a run.
func (c *Client) SetRunTag(ctx context.Context, runID, key, value string) error {
	return c.post(ctx, "runs/set-tag", map[string]string{"run_id": runID, "key": key, "value": value}, nil, again)
}

// EndRun moves a run to a final state.
func (c *Client) EndRun(ctx context.Context, runID, status string, at time.Time) error {
	return c.post(ctx, "runs/update", map[string]any{"run_id": runID, "status": status, "end_time": at.UnixMilli()}, nil, again)
}

// loggedModel is a model that a run made, in the layout of MLflow 3.
type loggedModel struct {
	ModelID     string `json:"model_id"`
	Name        string `json:"name"`
	ArtifactURI string `json:"artifact_uri"`
	Status      string `json:"status"`
}

func (c *Client) loggedModel(ctx context.Context, id string) (loggedModel, error) {
	var out struct {
		Model struct {
			Info loggedModel `json:"info"`
		} `json:"model"`
	}
	err := c.call(ctx, http.MethodGet, apiPath+"logged-models/"+url.PathEscape(id), nil, nil, &out, again)
	return out.Model.Info, err
}

func toEntries(m map[string]string) []entry {
	out := make([]entry, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, entry{k, m[k]})
	}
	return out
}

// pageSize is below every limit of the server.
const pageSize = 500

// pages follows page tokens. next asks for a page of at most the given size and returns the token of the one after it
// and the number of items. Offset paging and a broken server both can give the same token for ever, hence the limit.
func (c *Client) pages(next func(token string, page int) (string, int, error)) error {
	token, items := "", 0
	for {
		after, n, err := next(token, pageSize)
		if err != nil || after == "" {
			return err
		}
		items += n
		if after == token || n == 0 || items > c.o.Limits.MaxItems {
			return fmt.Errorf("%w: a listing does not end after %d items", ErrInvalid, items)
		}
		token = after
	}
}

// tagFilter is the condition that a tag has a value, in MLflow's filter language.
func tagFilter(key, value string) (string, error) {
	v, err := quote(value)
	return "tags.`" + key + "` = " + v, err
}

// quote makes a text of the filter language, which has quotes of two kinds and no escapes.
func quote(s string) (string, error) {
	switch {
	case !strings.Contains(s, "'"):
		return "'" + s + "'", nil
	case !strings.Contains(s, `"`):
		return `"` + s + `"`, nil
	default:
		return "", fmt.Errorf("%w: %q has both kinds of quotes, for which MLflow's filters have no way of writing", ErrInvalid, s)
	}
}
