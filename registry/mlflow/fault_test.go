package mlflow_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/treeline-ml/treeline/internal/mlflowtest"
	"github.com/treeline-ml/treeline/registry"
	"github.com/treeline-ml/treeline/registry/mlflow"
)

// TestServerFaults: one fault of a kind that passes is not noticed by reads and settings, and lasting ones are
// ErrUnavailable.
func TestServerFaults(t *testing.T) {
	proxy := mlflowtest.StartProxy(t, shared.Server(t).URL)
	direct, ctx := live(t), t.Context()
	name := unique(t, "m")
	for range 2 {
		versionOf(t, direct, name, nil)
	}
	// A wait that real calls stay below also while everything else runs.
	c := client(t, proxy.URL, func(o *mlflow.Options) { o.Timeout = 10 * time.Second })
	hasty := client(t, proxy.URL, func(o *mlflow.Options) { o.Timeout, o.Attempts = 30*time.Millisecond, 1 })
	for fault, x := range map[string]struct {
		fault  mlflowtest.Fault
		passes bool // repeating helps
		client *mlflow.Client
	}{
		"dropped":      {mlflowtest.Drop(), true, c},
		"lost reply":   {mlflowtest.LoseReply(), true, c},
		"truncated":    {mlflowtest.Truncate(), true, c},
		"wrong length": {mlflowtest.WrongLength(), true, c},
		"429":          {mlflowtest.TooMany(0), true, c},
		"503":          {mlflowtest.Status(503, "text/plain", "starting"), true, c},
		"page 200":     {mlflowtest.HTML(200), false, c},
		"page 404":     {mlflowtest.HTML(404), false, c},
		"page 500":     {mlflowtest.HTML(500), false, c},
		"redirect":     {mlflowtest.Redirect("http://127.0.0.1:1/"), false, c},
		"slow":         {mlflowtest.Slow(time.Hour), false, hasty},
	} {
		t.Run(fault, func(t *testing.T) {
			if err := direct.SetAlias(ctx, name, "Champion", "1"); err != nil {
				t.Fatal(err)
			}
			proxy.Always(x.fault)
			for what, err := range map[string]error{
				"read": second(x.client.Model(ctx, name)), "set": x.client.SetAlias(ctx, name, "Champion", "2"),
				"delete": x.client.DeleteAlias(ctx, name, "none"), "search": second(x.client.Versions(ctx, name)),
				"fetch": second(x.client.FetchURI(ctx, "mlflow-artifacts:/1/x", filepath.Join(t.TempDir(), "d"))),
			} {
				if !errors.Is(err, mlflow.ErrUnavailable) || errors.Is(err, mlflow.ErrNotFound) {
					t.Errorf("lasting: %s: error is %v", what, err)
				}
			}
			proxy.Always(mlflowtest.Pass())
			if !x.passes {
				return
			}
			if err := direct.SetAlias(ctx, name, "Champion", "1"); err != nil {
				t.Fatal(err)
			}
			proxy.Next(x.fault)
			if err := c.SetAlias(ctx, name, "Champion", "2"); err != nil {
				t.Errorf("passing: %v", err)
			}
			proxy.Next(x.fault, x.fault)
			if v, err := c.Alias(ctx, name, "Champion"); err != nil || v.Version != "2" {
				t.Errorf("passing: version %q (%v)", v.Version, err)
			}
		})
	}
	proxy.Down()
	if err := c.SetAlias(ctx, name, "Champion", "1"); !errors.Is(err, mlflow.ErrUnavailable) {
		t.Errorf("down: %v", err)
	}
	proxy.Up(t)
	if err := c.SetAlias(ctx, name, "Champion", "1"); err != nil {
		t.Errorf("up: %v", err)
	}
}

// TestPublishWithFaults cuts a publication at each of its requests, before and after the server did its work, and
// repeats it until it succeeds: there is one run and one version, with all files.
func TestPublishWithFaults(t *testing.T) {
	proxy := mlflowtest.StartProxy(t, shared.Server(t).URL)
	c, direct, ctx := client(t, proxy.URL, func(o *mlflow.Options) { o.Attempts = 1 }), live(t), t.Context()
	files := map[string][]byte{"model.txt": bytes.Repeat([]byte("tree\n"), 1000), "golden.parquet": []byte("rows")}
	dir, a := writeDir(t, files)
	plan := func(i int) (registry.Publication, string) {
		exp := unique(t, fmt.Sprintf("e%d", i))
		return registry.Publication{
			Name: unique(t, fmt.Sprintf("m%d", i)), Key: "k", Experiment: exp, Dir: dir, Artifact: a, ModelFile: "model.txt",
			Format: "lightgbm-text", Metrics: map[string]float64{"auc": 0.5}, Params: map[string]string{"p": "1"}, Tags: map[string]string{"t": "1"},
		}, exp
	}
	p, _ := plan(0)
	proxy.Requests()
	if _, err := c.Publish(ctx, p); err != nil {
		t.Fatal(err)
	}
	requests := proxy.Requests()
	if len(requests) < 10 {
		t.Fatalf("only %d requests: %v", len(requests), requests)
	}
	for i := range requests {
		for kind, fault := range map[string]mlflowtest.Fault{"dropped": mlflowtest.Drop(), "lost": mlflowtest.LoseReply()} {
			if strings.HasPrefix(requests[i], "GET ") || kind == "dropped" && i%4 != 0 {
				// net/http repeats reads; and where the server did nothing it is as after the request before.
				continue
			}
			p, exp := plan(i)
			faults := make([]mlflowtest.Fault, i, i+1)
			proxy.Next(append(faults, fault)...)
			version, err := c.Publish(ctx, p)
			for tries := 0; err != nil && tries < 3; tries++ {
				if !errors.Is(err, mlflow.ErrUnavailable) {
					t.Fatalf("%s %s: %v", kind, requests[i], err)
				}
				version, err = c.Publish(ctx, p)
			}
			if err != nil || version != "1" {
				t.Fatalf("%s %s: version %q (%v)", kind, requests[i], version, err)
			}
			all, err := direct.Versions(ctx, p.Name)
			if err != nil || len(all) != 1 {
				t.Errorf("%s %s: %d versions (%v)", kind, requests[i], len(all), err)
				continue
			}
			id, err := direct.Experiment(ctx, exp)
			if err != nil {
				t.Fatal(err)
			}
			runs, err := direct.SearchRuns(ctx, []string{id}, "", 5)
			if err != nil || len(runs) != 1 || runs[0].Metrics["auc"] != 0.5 || runs[0].Params["p"] != "1" || runs[0].Tags["t"] != "1" {
				t.Errorf("%s %s: runs %+v (%v)", kind, requests[i], runs, err)
			}
			out := filepath.Join(t.TempDir(), "m")
			if _, err := direct.Fetch(ctx, all[0], out); err != nil {
				t.Errorf("%s %s: %v", kind, requests[i], err)
				continue
			}
			got := readDir(t, out)
			if len(got["MLmodel"]) == 0 {
				t.Errorf("%s %s: no MLmodel", kind, requests[i])
			}
			delete(got, "MLmodel")
			if d := cmp.Diff(files, got); d != "" {
				t.Errorf("%s %s: files\n%s", kind, requests[i], d)
			}
		}
	}
}

// TestCreateVersionLostReply: the version is there once, though nobody heard so, and the create was not repeated.
func TestCreateVersionLostReply(t *testing.T) {
	proxy := mlflowtest.StartProxy(t, shared.Server(t).URL)
	c, ctx := client(t, proxy.URL), t.Context()
	name := unique(t, "m")
	if err := c.EnsureModel(ctx, name); err != nil {
		t.Fatal(err)
	}
	proxy.Next(mlflowtest.LoseReply())
	if _, err := c.CreateVersion(ctx, mlflow.NewVersion{Name: name, Source: "s3://b/k"}); !errors.Is(err, mlflow.ErrUnavailable) {
		t.Errorf("error is %v", err)
	}
	if all, err := c.Versions(ctx, name); err != nil || len(all) != 1 {
		t.Errorf("%d versions, want 1 (%v)", len(all), err)
	}
}

// TestFetchResumes: a download that breaks off goes on where it was, and begins again where the server cannot, or where
// the file changed meanwhile.
func TestFetchResumes(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 40_000)
	for name, x := range map[string]struct {
		etag   func(try int) string
		ranges bool
		want   []string // Range headers
	}{
		"resumes":         {func(int) string { return `"v1"` }, true, []string{"", "bytes=100000-", "bytes=200000-"}},
		"no ranges":       {func(int) string { return `"v1"` }, false, []string{"", "bytes=100000-", "bytes=100000-"}},
		"no tag":          {func(int) string { return "" }, true, []string{"", "", ""}},
		"weak tag":        {func(int) string { return `W/"v1"` }, true, []string{"", "", ""}},
		"file is another": {func(try int) string { return fmt.Sprintf(`"v%d"`, try) }, true, []string{"", "bytes=100000-", "bytes=100000-"}},
	} {
		t.Run(name, func(t *testing.T) {
			var (
				mu   sync.Mutex
				seen []string
			)
			c := client(t, "http://h", func(o *mlflow.Options) {
				o.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
					if r.URL.Query().Get("path") != "" {
						return answers(200, "application/json", fmt.Sprintf(`{"files":[{"path":"f","is_dir":false,"file_size":"%d"}]}`, len(content)))(r)
					}
					mu.Lock()
					defer mu.Unlock()
					seen = append(seen, r.Header.Get("Range"))
					from := 0
					resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Request: r}
					if e := x.etag(len(seen)); e != "" {
						resp.Header.Set("ETag", e)
					}
					if h := r.Header.Get("Range"); x.ranges && h != "" && r.Header.Get("If-Range") == resp.Header.Get("ETag") {
						if _, err := fmt.Sscanf(h, "bytes=%d-", &from); err != nil {
							return nil, err
						}
						resp.StatusCode = http.StatusPartialContent
						resp.Header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(content)-1, len(content)))
					}
					body := io.Reader(bytes.NewReader(content[from:]))
					if len(seen) < 3 {
						body = io.MultiReader(bytes.NewReader(content[from:from+100_000]), broken{})
					}
					resp.Body = io.NopCloser(body)
					return resp, nil
				})
			})
			dir := filepath.Join(t.TempDir(), "d")
			a, err := c.FetchURI(t.Context(), "mlflow-artifacts:/x", dir)
			if err != nil {
				t.Fatal(err)
			}
			if got := readDir(t, dir)["f"]; !bytes.Equal(got, content) || a.Files[0] != file("f", content) {
				t.Errorf("%d bytes, want %d; %+v", len(got), len(content), a.Files)
			}
			if !slices.Equal(seen, x.want) {
				t.Errorf("ranges are %q, want %q", seen, x.want)
			}
		})
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// TestHostileListings: what a server lists and sends is no reason to write anywhere else, or more than allowed.
func TestHostileListings(t *testing.T) {
	one := func(name string) string { return fmt.Sprintf(`{"files":[{"path":%q,"file_size":3}]}`, name) }
	for name, x := range map[string]struct {
		listing, body string
		want          error
	}{
		"up":             {one(".."), "abc", registry.ErrPath},
		"up and over":    {one("../x"), "abc", registry.ErrPath},
		"absolute":       {one("/etc/passwd"), "abc", registry.ErrPath},
		"below":          {one("a/b"), "abc", registry.ErrPath},
		"backslash":      {one(`..\x`), "abc", registry.ErrPath},
		"no name":        {one(""), "abc", registry.ErrPath},
		"NUL":            {`{"files":[{"path":"a\u0000b","file_size":3}]}`, "abc", registry.ErrPath},
		"twice":          {`{"files":[{"path":"a","file_size":3},{"path":"a","file_size":3}]}`, "abc", os.ErrExist},
		"for ever":       {`{"files":[{"path":"d","is_dir":true}]}`, "", registry.ErrTooLarge},
		"two by two":     {`{"files":[{"path":"d","is_dir":true},{"path":"e","is_dir":true}]}`, "", registry.ErrTooLarge},
		"large":          {`{"files":[{"path":"a","file_size":1001}]}`, "", registry.ErrTooLarge},
		"large together": {`{"files":[{"path":"a","file_size":501},{"path":"b","file_size":"500"}]}`, "", registry.ErrTooLarge},
		"overflow":       {`{"files":[{"path":"a","file_size":9223372036854775807},{"path":"b","file_size":9223372036854775807}]}`, "", registry.ErrTooLarge},
		"more than said": {one("a"), "abcd", registry.ErrDigest},
		"less than said": {one("a"), "ab", registry.ErrDigest},
		"size not said":  {`{"files":[{"path":"a"}]}`, strings.Repeat("x", 1001), registry.ErrTooLarge},
		"empty":          {`{}`, "", mlflow.ErrNotFound},
		"only folders":   {`{"files":[]}`, "", mlflow.ErrNotFound},
		"many":           {`{"files":[` + strings.Repeat(`{"path":"a"},`, 60) + `{"path":"b"}]}`, "", registry.ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			top := t.TempDir()
			requests := 0
			c := client(t, "http://h", func(o *mlflow.Options) {
				o.Limits = mlflow.Limits{MaxBytes: 1000, MaxFiles: 50}
				o.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
					requests++
					body := x.body
					if r.URL.Query().Get("path") != "" {
						body = x.listing
					}
					return answers(200, "application/json", body)(r)
				})
			})
			_, err := c.FetchURI(t.Context(), "mlflow-artifacts:/x", filepath.Join(top, "in", "dir"))
			if err == nil || os.IsNotExist(err) {
				t.Errorf("error is %v", err)
			}
			if err := os.Mkdir(filepath.Join(top, "in"), 0o700); err != nil {
				t.Fatal(err)
			}
			_, err = c.FetchURI(t.Context(), "mlflow-artifacts:/x", filepath.Join(top, "in", "dir"))
			if !errors.Is(err, x.want) {
				t.Errorf("error is %v, want %v", err, x.want)
			}
			if left := readDir(t, top); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			if entries, err := os.ReadDir(filepath.Join(top, "in")); err != nil || len(entries) > 0 {
				t.Errorf("left behind: %v (%v)", entries, err)
			}
			if requests > 200 {
				t.Errorf("%d requests", requests)
			}
		})
	}
}

// TestSources: places that are not reached through the server are named, and so is the way out.
func TestSources(t *testing.T) {
	for uri, x := range map[string]struct {
		want  error
		shown string
	}{
		"s3://bucket/key?secret=x":            {mlflow.ErrSource, "--serve-artifacts"},
		"file:///etc/passwd":                  {mlflow.ErrSource, "file:"},
		"nothing":                             {mlflow.ErrSource, "no URI"},
		"mlflow-artifacts:/../../etc":         {registry.ErrPath, ".."},
		"mlflow-artifacts:/a/./b":             {registry.ErrPath, ""},
		"mlflow-artifacts:/a//b":              {registry.ErrPath, ""},
		"mlflow-artifacts:":                   {registry.ErrPath, ""},
		"mlflow-artifacts://other.example/1":  {mlflow.ErrSource, "other.example"},
		"runs:/r":                             {mlflow.ErrSource, "runs:/"},
		"models:/churn/3":                     {mlflow.ErrSource, ""},
		"mlflow-artifacts://mlflow.invalid/x": {mlflow.ErrNotFound, "no files"},
	} {
		c := canned(t, 200, "application/json", "{}")
		_, err := c.FetchURI(t.Context(), uri, filepath.Join(t.TempDir(), "d"))
		if !errors.Is(err, x.want) || !strings.Contains(err.Error(), x.shown) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: error is %v", uri, err)
		}
	}
}
