package alert_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/treeline-ml/treeline/lifecycle/alert"
	"github.com/treeline-ml/treeline/lifecycle/outbox"
	"github.com/treeline-ml/treeline/store"
)

const (
	secretPath = "/services/T000/B000/verysecret"
	secretKey  = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
)

// endpoint is a receiver's server.
type endpoint struct {
	*httptest.Server

	mu     sync.Mutex
	answer func(w http.ResponseWriter, r *http.Request)
	got    []request
}

type request struct {
	path   string
	header http.Header
	body   []byte
}

func serve(t *testing.T) *endpoint {
	t.Helper()
	e := &endpoint{}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		e.mu.Lock()
		e.got = append(e.got, request{r.RequestURI, r.Header, body})
		answer := e.answer
		e.mu.Unlock()
		if answer != nil {
			answer(w, r)
		}
	}))
	t.Cleanup(e.Close)
	return e
}

func (e *endpoint) requests() []request {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.got)
}

func code(n int) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(n)
		fmt.Fprintf(w, "Cannot POST %s", r.RequestURI) // as some servers answer
	}
}

func sender(t *testing.T, o alert.Options) *alert.Sender {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	o.Client = &http.Client{Transport: transport}
	s, err := alert.NewSender(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func raised(t *testing.T, n int) []store.OutboxRow {
	t.Helper()
	s := open(t)
	for i := range n {
		put(t, s, alert.Alert{
			Key: fmt.Sprint("k", i), Severity: alert.Page, Model: "churn", Version: 3, Title: "Worse & <blocked>", Text: "AUC .7",
			Owner: "growth", Command: "ctl validate churn", Link: "https://wiki/x", At: at,
		})
	}
	return rows(t, s)
}

func TestSlack(t *testing.T) {
	e := serve(t)
	s := sender(t, alert.Options{Receivers: []alert.Receiver{{Name: "chat", Kind: alert.Slack, URL: e.URL + secretPath}}})
	if err := s.Deliver(t.Context(), raised(t, 1)); err != nil {
		t.Fatal(err)
	}
	got := e.requests()
	var body map[string]string
	if len(got) != 1 || got[0].path != secretPath || got[0].header.Get("Content-Type") != "application/json" {
		t.Fatalf("requests %+v", got)
	}
	if err := json.Unmarshal(got[0].body, &body); err != nil {
		t.Fatal(err)
	}
	want := "*[page]* Worse &amp; &lt;blocked&gt;\nmodel churn version 3\nAUC .7\n`ctl validate churn`\nhttps://wiki/x\nfor growth"
	if len(body) != 1 || body["text"] != want {
		t.Errorf("text is %q, want %q", body["text"], want)
	}
}

// python finds the project's interpreter.
func python(t *testing.T) string {
	t.Helper()
	if p := os.Getenv("TREELINE_PYTHON"); p != "" {
		return p
	}
	return filepath.Join("..", "..", ".venv", "bin", "python")
}

// The signature is what Python's hmac makes of the headers and the body, as Standard Webhooks defines it.
func TestWebhookSignature(t *testing.T) {
	e := serve(t)
	now := at.Add(time.Minute)
	s := sender(t, alert.Options{
		Now:       func() time.Time { return now },
		Receivers: []alert.Receiver{{Name: "hook", Kind: alert.Webhook, URL: e.URL, Secret: secretKey + " " + "c2Vjb25kIGtleQ=="}},
	})
	alerts := raised(t, 2)
	if err := s.Deliver(t.Context(), alerts); err != nil {
		t.Fatal(err)
	}
	got := e.requests()
	if len(got) != 2 {
		t.Fatalf("%d requests, want 2", len(got))
	}
	h := got[0].header
	if h.Get("Webhook-Timestamp") != fmt.Sprint(now.Unix()) || h.Get("Webhook-Id") == got[1].header.Get("Webhook-Id") {
		t.Errorf("headers %v", h)
	}
	var body struct {
		Type      string      `json:"type"`
		Timestamp time.Time   `json:"timestamp"`
		Data      alert.Alert `json:"data"`
	}
	if err := json.Unmarshal(got[0].body, &body); err != nil || body.Type != "alert.raised" || body.Data.Title != "Worse & <blocked>" || body.Timestamp != body.Data.At {
		t.Errorf("body %s (%v)", got[0].body, err)
	}
	const script = `
import base64, hashlib, hmac, sys
ident, seconds, secrets = sys.argv[1:]
body = sys.stdin.buffer.read()
print(" ".join("v1," + base64.b64encode(hmac.digest(base64.b64decode(s.removeprefix("whsec_")),
      f"{ident}.{seconds}.".encode() + body, hashlib.sha256)).decode() for s in secrets.split()))`
	cmd := exec.Command(python(t), "-c", script, h.Get("Webhook-Id"), h.Get("Webhook-Timestamp"), secretKey+" c2Vjb25kIGtleQ==")
	cmd.Stdin = bytes.NewReader(got[0].body)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.TrimSpace(string(out)); h.Get("Webhook-Signature") != want || len(want) != 2*47+1 {
		t.Errorf("signature %q, Python says %q", h.Get("Webhook-Signature"), want)
	}
	// Sent again, it is the same message.
	if err := s.Deliver(t.Context(), alerts[:1]); err != nil {
		t.Fatal(err)
	}
	if again := e.requests()[2]; again.header.Get("Webhook-Id") != h.Get("Webhook-Id") || !bytes.Equal(again.body, got[0].body) {
		t.Errorf("sent again as %v %s", again.header, again.body)
	}
}

// Which answers are tried again, and that nothing secret is in any error or log line.
func TestAnswers(t *testing.T) {
	elsewhere := serve(t)
	for name, c := range map[string]struct {
		answer    func(http.ResponseWriter, *http.Request)
		permanent bool
		has       string
	}{
		"bad request": {code(400), true, "400 Bad Request"},
		"gone":        {code(404), true, "404 Not Found"},
		"timeout":     {code(408), false, "408"},
		"too many":    {code(429), false, "429"},
		"broken":      {code(500), false, "500"},
		"unavailable": {code(503), false, "503"},
		"moved":       {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) }, true, "302, a redirect"},
		"moved, keep": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusPermanentRedirect)
		}, true, "308"},
		"bad location": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "http://%zz"+r.RequestURI)
			w.WriteHeader(http.StatusFound)
		}, false, "Location"},
		"hangs up": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, false, "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			e := serve(t)
			e.answer = c.answer
			u, err := url.Parse(e.URL)
			if err != nil {
				t.Fatal(err)
			}
			var logged bytes.Buffer
			s := sender(t, alert.Options{
				Logger: slog.New(slog.NewTextHandler(&logged, nil)),
				Receivers: []alert.Receiver{{
					Name: "chat", Kind: alert.Slack, URL: "http://user:hunter2@" + u.Host + secretPath + "?token=tok123",
				}},
			})
			err = s.Deliver(t.Context(), raised(t, 1))
			if err == nil || outbox.IsPermanent(err) != c.permanent || !strings.Contains(err.Error(), c.has) || !strings.Contains(err.Error(), u.Host) {
				t.Errorf("error is %v, permanent %v; want %q, %v", err, outbox.IsPermanent(err), c.has, c.permanent)
			}
			for _, secret := range []string{"verysecret", "hunter2", "tok123", "T000"} {
				if strings.Contains(fmt.Sprintf("%v %+v %s", err, err, logged.String()), secret) {
					t.Errorf("%q shows in %v %s", secret, err, logged.String())
				}
			}
			if auth := e.requests()[0].header.Get("Authorization"); auth != "Basic dXNlcjpodW50ZXIy" {
				t.Errorf("authorization %q", auth)
			}
		})
	}
	if n := len(elsewhere.requests()); n != 0 {
		t.Errorf("%d redirects were followed", n)
	}
}

// A server that answers without end, or never, is left after a bounded time and amount.
func TestBounds(t *testing.T) {
	e := serve(t)
	wrote := make(chan int, 1)
	e.answer = func(w http.ResponseWriter, _ *http.Request) {
		n := 0
		defer func() { wrote <- n }()
		for chunk := make([]byte, 64<<10); n < 1<<30; n += len(chunk) {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}
	s := sender(t, alert.Options{Receivers: []alert.Receiver{{Name: "chat", Kind: alert.Slack, URL: e.URL}}})
	if err := s.Deliver(t.Context(), raised(t, 1)); err != nil {
		t.Fatal(err)
	}
	if n := <-wrote; n > 32<<20 {
		t.Errorf("%d bytes of the answer were taken", n)
	}
}

// A receiver that has an alert does not get it again because another one failed, and one that is down is asked once.
func TestReceiversApart(t *testing.T) {
	good, bad, gone := serve(t), serve(t), serve(t)
	bad.answer, gone.answer = code(503), code(404)
	s := sender(t, alert.Options{Receivers: []alert.Receiver{
		{Name: "gone", Kind: alert.Slack, URL: gone.URL}, {Name: "bad", Kind: alert.Slack, URL: bad.URL}, {Name: "good", Kind: alert.Webhook, URL: good.URL},
	}})
	alerts := raised(t, 3)
	err := s.Deliver(t.Context(), alerts)
	var part *outbox.Partial
	if !errors.As(err, &part) || len(part.Failed) != 3 || outbox.IsPermanent(err) {
		t.Fatalf("error is %v", err)
	}
	if g, b := len(good.requests()), len(bad.requests()); g != 3 || b != 1 {
		t.Errorf("good got %d, bad %d; want 3 and 1", g, b)
	}
	bad.mu.Lock()
	bad.answer = nil
	bad.mu.Unlock()
	err = s.Deliver(t.Context(), alerts)
	if g, b := len(good.requests()), len(bad.requests()); g != 3 || b != 4 {
		t.Errorf("after recovery good got %d, bad %d; want 3 and 4", g, b)
	}
	if !errors.As(err, &part) || len(part.Failed) != 3 || !outbox.IsPermanent(part.Failed[alerts[0].ID]) {
		t.Errorf("with only refusals left the error is %v", err)
	}
	if h := good.requests()[0].header; h.Get("Webhook-Signature") != "" || h.Get("Webhook-Id") == "" {
		t.Errorf("headers without a secret: %v", h)
	}
}

// Alerts that nobody is told of are logged, as are those that ask nothing of people.
func TestLogged(t *testing.T) {
	var logged bytes.Buffer
	log := slog.New(slog.NewTextHandler(&logged, nil))
	if err := sender(t, alert.Options{Logger: log}).Deliver(t.Context(), raised(t, 1)); err != nil {
		t.Fatal(err)
	}
	e := serve(t)
	s := open(t)
	put(t, s, alert.Alert{Key: "quiet", Severity: alert.Log, Title: "Kept the champion", At: at})
	with := sender(t, alert.Options{Logger: log, Receivers: []alert.Receiver{{Name: "chat", Kind: alert.Slack, URL: e.URL}}})
	if err := with.Deliver(t.Context(), rows(t, s)); err != nil {
		t.Fatal(err)
	}
	if n := len(e.requests()); n != 0 {
		t.Errorf("%d requests for an alert that is only logged", n)
	}
	for _, want := range []string{"key=k0", "severity=page", "key=quiet", "Kept the champion"} {
		if !strings.Contains(logged.String(), want) {
			t.Errorf("log lacks %q:\n%s", want, logged.String())
		}
	}
}

func TestSenderRefuses(t *testing.T) {
	for name, r := range map[string][]alert.Receiver{
		"no name":      {{Kind: alert.Slack, URL: "https://x" + secretPath}},
		"same name":    {{Name: "a", Kind: alert.Slack, URL: "https://x"}, {Name: "a", Kind: alert.Slack, URL: "https://x" + secretPath}},
		"unknown kind": {{Name: "a", Kind: "mail", URL: "https://x" + secretPath}},
		"no host":      {{Name: "a", Kind: alert.Slack, URL: "https:" + secretPath}},
		"other scheme": {{Name: "a", Kind: alert.Slack, URL: "ftp://x" + secretPath}},
		"not a URL":    {{Name: "a", Kind: alert.Slack, URL: "https://x:port" + secretPath}},
		"bad secret":   {{Name: "a", Kind: alert.Webhook, URL: "https://x", Secret: "whsec_!verysecret"}},
	} {
		_, err := alert.NewSender(alert.Options{Receivers: r})
		if !errors.Is(err, alert.ErrInvalid) || strings.Contains(err.Error(), "verysecret") {
			t.Errorf("%s: error is %v", name, err)
		}
	}
	err := sender(t, alert.Options{}).Deliver(t.Context(), []store.OutboxRow{{ID: 1, Payload: []byte("no JSON")}})
	if !outbox.IsPermanent(err) {
		t.Errorf("payload that cannot be read: %v", err)
	}
}
