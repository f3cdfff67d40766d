package mlflow_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/treeline-ml/treeline/registry"
	"github.com/treeline-ml/treeline/registry/mlflow"
)

const secret = "s3cr3t-värde"

// TestCredentials: they are sent, and shown nowhere.
func TestCredentials(t *testing.T) {
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("ann:"+secret))
	for name, x := range map[string]struct {
		change func(*mlflow.Options, string)
		want   string
	}{
		"none":     {func(*mlflow.Options, string) {}, ""},
		"token":    {func(o *mlflow.Options, _ string) { o.Token = secret }, "Bearer " + secret},
		"password": {func(o *mlflow.Options, _ string) { o.Username, o.Password = "ann", secret }, basic},
		"URI": {func(o *mlflow.Options, host string) {
			o.TrackingURI = "http://ann:s3cr3t-v%C3%A4rde@" + host + "/prefix/?q=" + secret + "#" + secret
		}, basic},
		"environment": {func(o *mlflow.Options, _ string) {
			*o = o.FromEnv(func(k string) string {
				return map[string]string{"MLFLOW_TRACKING_USERNAME": "ann", "MLFLOW_TRACKING_PASSWORD": secret, "MLFLOW_TRACKING_TOKEN": "no"}[k]
			})
		}, basic},
		"environment's token": {func(o *mlflow.Options, _ string) {
			*o = o.FromEnv(func(k string) string { return map[string]string{"MLFLOW_TRACKING_TOKEN": secret}[k] })
		}, "Bearer " + secret},
		"own before environment": {func(o *mlflow.Options, _ string) {
			o.Token = secret
			*o = o.FromEnv(func(k string) string {
				return map[string]string{"MLFLOW_TRACKING_URI": "http://other", "MLFLOW_TRACKING_USERNAME": "x"}[k]
			})
		}, "Bearer " + secret},
	} {
		t.Run(name, func(t *testing.T) {
			var got http.Header
			path := ""
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				got, path = r.Header, r.URL.Path
				w.Header().Set("WWW-Authenticate", `Basic realm="mlflow"`)
				w.WriteHeader(http.StatusUnauthorized)
				fmt.Fprint(w, "You are not authenticated.")
			}))
			defer server.Close()
			o := mlflow.Options{TrackingURI: server.URL, MinRetry: time.Millisecond, MaxRetry: time.Millisecond}
			x.change(&o, strings.TrimPrefix(server.URL, "http://"))
			var log bytes.Buffer
			o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			c, err := mlflow.New(o)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			err = c.SetAlias(t.Context(), "m", "Champion", "1")
			if !errors.Is(err, mlflow.ErrDenied) || !strings.Contains(err.Error(), "You are not authenticated.") {
				t.Errorf("error is %v", err)
			}
			if got.Get("Authorization") != x.want {
				t.Errorf("Authorization is %q, want %q", got.Get("Authorization"), x.want)
			}
			if got.Get("Origin") != "" || got.Get("Content-Type") != "application/json" {
				t.Errorf("headers are %v", got)
			}
			if name == "URI" && path != "/prefix/api/2.0/mlflow/registered-models/alias" {
				t.Errorf("path is %s", path)
			}
			server.Close()
			down := c.SetAlias(t.Context(), "m", "Champion", "1")
			if !errors.Is(down, mlflow.ErrUnavailable) || !errors.Is(down, registry.ErrUnavailable) {
				t.Errorf("error is %v", down)
			}
			slog.New(slog.NewTextHandler(&log, nil)).Info("options", "o", o)
			for _, shown := range []string{err.Error(), down.Error(), fmt.Sprintf("%v %+v %#v %s", o, o, o, o), log.String()} {
				if strings.Contains(shown, secret) || strings.Contains(shown, "s3cr3t") || strings.Contains(shown, basic) {
					t.Errorf("shown: %s", shown)
				}
			}
		})
	}
}

func TestOptions(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none")
	notPEM := filepath.Join(t.TempDir(), "ca")
	if err := os.WriteFile(notPEM, []byte("no"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]struct {
		o    mlflow.Options
		want string
	}{
		"nothing":    {mlflow.Options{}, "http://"},
		"file":       {mlflow.Options{TrackingURI: "file:///x"}, "file:///x"},
		"databricks": {mlflow.Options{TrackingURI: "databricks"}, "databricks"},
		"no host":    {mlflow.Options{TrackingURI: "http:///x"}, "name a host"},
		"not a URL":  {mlflow.Options{TrackingURI: "http://ann:" + secret + "\x7f@h"}, "not a URL"},
		"two users":  {mlflow.Options{TrackingURI: "http://a@h", Username: "b"}, "beside"},
		"both":       {mlflow.Options{TrackingURI: "http://h", Username: "b", Token: "t"}, "both"},
		"no file":    {mlflow.Options{TrackingURI: "https://h", CAFile: missing}, "no such file"},
		"not PEM":    {mlflow.Options{TrackingURI: "https://h", CAFile: notPEM}, "PEM"},
	} {
		_, err := mlflow.New(x.o)
		if !errors.Is(err, mlflow.ErrOptions) || !strings.Contains(err.Error(), x.want) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: error is %v, want %q in it", name, err, x.want)
		}
	}
}

// TestTLS: a certificate counts when its authority was given, and not otherwise.
func TestTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") }))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	b := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(ca, b, 0o600); err != nil {
		t.Fatal(err)
	}
	trusting := client(t, server.URL, func(o *mlflow.Options) { o.CAFile = ca })
	if err := trusting.DeleteAlias(t.Context(), "m", "a"); err != nil {
		t.Error(err)
	}
	if err := client(t, server.URL).DeleteAlias(t.Context(), "m", "a"); !errors.Is(err, mlflow.ErrUnavailable) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("error is %v", err)
	}
}

// TestDeleteBody: the server reads the JSON body of DELETE, which some clients leave out.
func TestDeleteBody(t *testing.T) {
	var body []byte
	c := client(t, "http://h", func(o *mlflow.Options) {
		o.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			b, err := io.ReadAll(r.Body)
			body = append([]byte(r.Method+" "), b...)
			if err != nil {
				return nil, err
			}
			return answers(200, "application/json", "{}")(r)
		})
	})
	if err := c.DeleteAlias(t.Context(), "m", "a"); err != nil {
		t.Fatal(err)
	}
	if want := `DELETE {"alias":"a","name":"m"}`; string(body) != want {
		t.Errorf("sent %s, want %s", body, want)
	}
}

// TestAnswers is how each kind of answer is understood.
func TestAnswers(t *testing.T) {
	const js = "application/json"
	for name, x := range map[string]struct {
		status     int
		kind, body string
		want       error
		shown      string
		hidden     string
	}{
		"not found":       {404, js, `{"error_code":"RESOURCE_DOES_NOT_EXIST","message":"Run 'x' not found"}`, mlflow.ErrNotFound, "Run 'x' not found", ""},
		"alias not found": {400, js, `{"error_code":"INVALID_PARAMETER_VALUE","message":"Registered model alias a not found."}`, mlflow.ErrNotFound, "", ""},
		"invalid":         {400, js, `{"error_code":"INVALID_PARAMETER_VALUE","message":"Invalid model name"}`, mlflow.ErrInvalid, "Invalid model name", ""},
		"exists":          {400, js, `{"error_code":"RESOURCE_ALREADY_EXISTS","message":"m"}`, mlflow.ErrExists, "", ""},
		"denied":          {403, js, `{"error_code":"PERMISSION_DENIED","message":"m"}`, mlflow.ErrDenied, "", ""},
		"denied text":     {403, "text/plain", "Invalid Host header - possible DNS rebinding attack detected", mlflow.ErrDenied, "Invalid Host header", ""},
		"SQL is kept back": {
			500, js, `{"error_code":"INTERNAL_ERROR","message":"(sqlite3.IntegrityError) NOT NULL\n[SQL: INSERT INTO runs]"}`,
			mlflow.ErrUnavailable, "INTERNAL_ERROR", "INSERT",
		},
		"one line":      {400, js, `{"error_code":"X","message":"first\nsecond"}`, mlflow.ErrInvalid, "first", "second"},
		"a page":        {200, "text/html", "<html>Sign in</html>", mlflow.ErrUnavailable, "web page", "Sign in"},
		"a page's look": {200, js, "  <!DOCTYPE html><title>x", mlflow.ErrUnavailable, "web page", "title"},
		"404 page":      {404, "text/html", "<html>", mlflow.ErrUnavailable, "tracking URI", ""},
		"500 page":      {500, "text/html", "<html>", mlflow.ErrUnavailable, "web page", ""},
		"405 text":      {405, "text/plain", "no", mlflow.ErrUnavailable, "no", ""},
		"empty":         {200, js, "", mlflow.ErrUnavailable, "not what MLflow sends", ""},
		"half":          {200, js, `{"registered_model":{"na`, mlflow.ErrUnavailable, "not what MLflow sends", ""},
		"another shape": {200, js, `{"registered_model":[1]}`, mlflow.ErrUnavailable, "not what MLflow sends", ""},
		"binary":        {500, "x", "\xff\xfe\x00\x01", mlflow.ErrUnavailable, "not text", ""},
		"long":          {502, "text/plain", strings.Repeat("ü", 5000), mlflow.ErrUnavailable, "ü", strings.Repeat("ü", 200)},
		"too much":      {200, js, `{"x":"` + strings.Repeat("y", 1<<20) + `"}`, mlflow.ErrInvalid, "more than", ""},
		"redirect":      {302, "text/html", "", mlflow.ErrUnavailable, "", ""},
	} {
		c := client(t, "http://h", func(o *mlflow.Options) {
			o.Transport, o.Limits.MaxAnswer = answers(x.status, x.kind, x.body), 1<<20
		})
		_, err := c.Model(t.Context(), "m")
		if !errors.Is(err, x.want) || !strings.Contains(err.Error(), x.shown) || (x.hidden != "" && strings.Contains(err.Error(), x.hidden)) {
			t.Errorf("%s: error is %v", name, err)
		}
		if len(err.Error()) > 1000 {
			t.Errorf("%s: the error has %d bytes", name, len(err.Error()))
		}
	}
}

// TestRedirect: nobody else gets the credentials, and the error says where to.
func TestRedirect(t *testing.T) {
	asked := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer other.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+"/login?token="+secret, http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	c := client(t, server.URL, func(o *mlflow.Options) { o.Token = secret })
	for _, err := range []error{c.SetAlias(t.Context(), "m", "a", "1"), second(c.Model(t.Context(), "m"))} {
		if !errors.Is(err, mlflow.ErrUnavailable) || !strings.Contains(err.Error(), other.URL+"/login") || strings.Contains(err.Error(), secret) {
			t.Errorf("error is %v", err)
		}
	}
	if asked {
		t.Error("the redirect was followed")
	}
}

// TestTolerance: numbers as strings, strings as numbers, unknown and missing fields.
func TestTolerance(t *testing.T) {
	c := canned(t, 200, "application/json", `{"run":{"info":{"run_id":"r","experiment_id":7,"start_time":"1700000000000","end_time":1.7e12,
		"new":{}},"data":{"metrics":[{"key":"a","value":"NaN"},{"key":"b","value":"0.5"},{"key":"c","value":1},{"key":"d","value":"-Infinity"}],
		"params":null,"tags":[{"key":"k"}]},"outputs":{"model_outputs":[{"model_id":"m-1","step":"0"}]}},"extra":[1]}`)
	r, err := c.Run(t.Context(), "r")
	if err != nil {
		t.Fatal(err)
	}
	at := time.UnixMilli(1700000000000).UTC()
	if r.ExperimentID != "7" || !r.Start.Equal(at) || !r.End.Equal(at) || r.Metrics["b"] != 0.5 || r.Metrics["a"] == r.Metrics["a"] || r.LoggedModels[0] != "m-1" {
		t.Errorf("run %+v", r)
	}
	for _, bad := range []string{
		`{"run":{"info":{"start_time":"x"}}}`, `{"run":{"info":{"start_time":1.5}}}`, `{"run":{"info":{"start_time":1e300}}}`,
		`{"run":{"info":{"start_time":true}}}`, `{"run":{"data":{"metrics":[{"value":[]}]}}}`, `{"run":{"info":{"experiment_id":{}}}}`,
	} {
		if _, err := canned(t, 200, "application/json", bad).Run(t.Context(), "r"); !errors.Is(err, mlflow.ErrUnavailable) {
			t.Errorf("%s: error is %v", bad, err)
		}
	}
}

// TestEndlessListing: a server that gives the same token for ever, or ever new ones, is left at some point.
func TestEndlessListing(t *testing.T) {
	if _, err := canned(t, 200, "application/json", `{"model_versions":[{"name":"m","version":"1"}],"next_page_token":"t"}`).
		Versions(t.Context(), "m"); !errors.Is(err, mlflow.ErrInvalid) {
		t.Errorf("error is %v", err)
	}
	n := 0
	c := client(t, "http://h", func(o *mlflow.Options) {
		o.Limits.MaxItems = 50
		o.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			n++
			return answers(200, "application/json", fmt.Sprintf(`{"registered_models":[{"name":"m%d"}],"next_page_token":"%d"}`, n, n))(r)
		})
	})
	if _, err := c.Models(t.Context()); !errors.Is(err, mlflow.ErrInvalid) || n > 60 {
		t.Errorf("error is %v after %d pages", err, n)
	}
}

// TestPagesMove: rows that an insertion moved to the next page are listed once, in order.
func TestPagesMove(t *testing.T) {
	pages := []string{
		`{"model_versions":[{"name":"m","version":"4"},{"name":"m","version":3}],"next_page_token":"a"}`,
		`{"model_versions":[{"name":"m","version":"3"},{"name":"m","version":"10"}],"next_page_token":"b"}`,
		`{"model_versions":[{"name":"m","version":"1"}]}`,
	}
	n := 0
	c := client(t, "http://h", func(o *mlflow.Options) {
		o.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			n++
			return answers(200, "application/json", pages[n-1])(r)
		})
	})
	all, err := c.Versions(t.Context(), "m")
	var got []string
	for _, v := range all {
		got = append(got, v.Version)
	}
	if err != nil || strings.Join(got, " ") != "10 4 3 1" {
		t.Errorf("versions are %v (%v)", got, err)
	}
}

// TestRetries: what is repeated, how often, and after which time.
func TestRetries(t *testing.T) {
	refused := &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	cut := io.ErrUnexpectedEOF
	alias := func(ctx context.Context, c *mlflow.Client) error { return c.SetAlias(ctx, "m", "a", "1") }
	create := func(ctx context.Context, c *mlflow.Client) error {
		return second(c.CreateVersion(ctx, mlflow.NewVersion{Name: "m", Source: "s3://x"}))
	}
	read := func(ctx context.Context, c *mlflow.Client) error { return second(c.Model(ctx, "m")) }
	for name, x := range map[string]struct {
		call   func(context.Context, *mlflow.Client) error
		err    error
		status int
		header string // Retry-After
		sent   int
		least  time.Duration
		most   time.Duration
	}{
		"read refused":      {read, refused, 0, "", 3, 250 * time.Millisecond, time.Second},
		"read cut":          {read, cut, 0, "", 3, 250 * time.Millisecond, time.Second},
		"read 503":          {read, nil, 503, "", 3, 250 * time.Millisecond, time.Second},
		"read 500":          {read, nil, 500, "", 1, 0, 0},
		"read 404":          {read, nil, 404, "", 1, 0, 0},
		"set cut":           {alias, cut, 0, "", 3, 250 * time.Millisecond, time.Second},
		"create refused":    {create, refused, 0, "", 3, 250 * time.Millisecond, time.Second},
		"create cut":        {create, cut, 0, "", 1, 0, 0},
		"create 503":        {create, nil, 503, "", 1, 0, 0},
		"create 429":        {create, nil, 429, "", 3, 250 * time.Millisecond, time.Second},
		"429 with a time":   {read, nil, 429, "2", 3, 4 * time.Second, 5 * time.Second},
		"429 with too much": {read, nil, 429, "3600", 1, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sent := 0
				c := client(t, "http://h", func(o *mlflow.Options) {
					o.MinRetry, o.MaxRetry = 200*time.Millisecond, 5*time.Second
					o.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
						sent++
						if x.err != nil {
							return nil, x.err
						}
						resp, err := answers(x.status, "text/plain", "no")(r)
						resp.Header.Set("Retry-After", x.header)
						return resp, err
					})
				})
				began := time.Now()
				err := x.call(t.Context(), c)
				took := time.Since(began)
				if err == nil || sent != x.sent || took < x.least || took > x.most {
					t.Errorf("sent %d times in %v, want %d in %v to %v (%v)", sent, took, x.sent, x.least, x.most, err)
				}
				var api *mlflow.APIError
				if x.header == "3600" && (!errors.As(err, &api) || api.RetryAfter != time.Hour) {
					t.Errorf("error is %v", err)
				}
			})
		})
	}
}

// TestTimes: a server that does not answer costs the attempts' time, and a caller that gives up is let go at once.
func TestTimes(t *testing.T) {
	silent := roundTrip(func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	})
	synctest.Test(t, func(t *testing.T) {
		c := client(t, "http://h", func(o *mlflow.Options) { o.Transport, o.Timeout = silent, 10*time.Second })
		began := time.Now()
		err := c.SetAlias(t.Context(), "m", "a", "1")
		if took := time.Since(began); !errors.Is(err, mlflow.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) || took < 30*time.Second || took > 31*time.Second {
			t.Errorf("after %v: %v", took, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began = time.Now()
		if err := c.SetAlias(ctx, "m", "a", "1"); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 3*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}
