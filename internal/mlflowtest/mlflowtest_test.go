package mlflowtest_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/treeline-ml/treeline/internal/mlflowtest"
)

var shared mlflowtest.Shared

func TestMain(m *testing.M) { goleak.VerifyTestMain(shared.Main(m)) }

func get(t *testing.T, client *http.Client, url string) (int, string, error) {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

func plain(timeout time.Duration) *http.Client {
	return &http.Client{
		Transport: &http.Transport{DisableKeepAlives: true}, Timeout: timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// TestServer: what is written survives a restart on the same port, and nothing answers in between.
func TestServer(t *testing.T) {
	s := shared.Server(t)
	peer := shared.Peer(t)
	peer.Do(t, nil, `client.create_registered_model("m")`)
	s.Stop()
	s.Stop()
	if _, _, err := get(t, plain(5*time.Second), s.URL+"/health"); err == nil {
		t.Error("a stopped server answers")
	}
	url := s.URL
	s.Restart(t)
	if s.URL != url {
		t.Errorf("the server moved from %s to %s", url, s.URL)
	}
	var names []string
	peer.Do(t, &names, `out = [m.name for m in client.search_registered_models()]`)
	if !slices.Equal(names, []string{"m"}) {
		t.Errorf("models are %v", names)
	}
}

func TestPeer(t *testing.T) {
	peer := shared.Peer(t)
	var out struct {
		URL string `json:"url"`
		Sum int    `json:"sum"`
	}
	peer.Do(t, &out, `
		def add(a, b):
		    print("not an answer")
		    return a + b
		out = {"url": url, "sum": add(*args)}`, 1, 2)
	if out.Sum != 3 || out.URL != shared.Server(t).URL {
		t.Errorf("got %+v", out)
	}
	if err := peer.Try(nil, `client.get_registered_model("nope")`); err == nil || !strings.Contains(err.Error(), "RESOURCE_DOES_NOT_EXIST") {
		t.Errorf("error is %v", err)
	}
}

func TestProxy(t *testing.T) {
	s := shared.Server(t)
	p := mlflowtest.StartProxy(t, s.URL)
	c := plain(30 * time.Second)
	_, want, err := get(t, c, s.URL+"/version")
	if err != nil || want != mlflowtest.Version {
		t.Fatalf("version %q (%v)", want, err)
	}
	type result struct {
		status int
		body   string
		failed bool
	}
	for _, x := range []struct {
		name  string
		fault mlflowtest.Fault
		want  result
	}{
		{"pass", mlflowtest.Pass(), result{200, want, false}},
		{"drop", mlflowtest.Drop(), result{failed: true}},
		{"lost", mlflowtest.LoseReply(), result{failed: true}},
		{"slow", mlflowtest.Slow(time.Millisecond), result{200, want, false}},
		{"truncated", mlflowtest.Truncate(), result{200, want[:len(want)/2], false}},
		{"long", mlflowtest.WrongLength(), result{200, want, true}},
		{"many", mlflowtest.TooMany(7), result{429, "Too many requests\n", false}},
		{"status", mlflowtest.Status(503, "text/plain", "later"), result{503, "later", false}},
	} {
		p.Next(x.fault)
		status, body, err := get(t, c, p.URL+"/version")
		if got := (result{status, body, err != nil}); got != x.want {
			t.Errorf("%s: got %+v (%v), want %+v", x.name, got, err, x.want)
		}
	}
	p.Always(mlflowtest.HTML(200))
	for range 2 {
		if _, body, err := get(t, c, p.URL+"/version"); err != nil || !strings.HasPrefix(body, "<!doctype html>") {
			t.Errorf("got %q (%v)", body, err)
		}
	}
	p.Always(mlflowtest.Redirect("/elsewhere"))
	if status, _, err := get(t, c, p.URL+"/version"); status != 302 || err != nil {
		t.Errorf("got %d (%v)", status, err)
	}
	p.Always(mlflowtest.Slow(time.Hour))
	if _, _, err := get(t, plain(20*time.Millisecond), p.URL+"/version"); err == nil {
		t.Error("a slow server answered")
	}
	p.Always(mlflowtest.Pass())
	p.Down()
	if _, _, err := get(t, c, p.URL+"/version"); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("error is %v", err)
	}
	p.Up(t)
	if _, body, err := get(t, c, p.URL+"/version"); err != nil || body != want {
		t.Errorf("got %q (%v)", body, err)
	}
	if got := p.Requests(); len(got) != 13 || got[0] != "GET /version" {
		t.Errorf("requests are %v", got)
	}
}
