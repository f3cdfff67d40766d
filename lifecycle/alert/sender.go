package alert

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/treeline-ml/treeline/lifecycle/outbox"
	"github.com/treeline-ml/treeline/store"
)

// The kinds of receivers.
const (
	Slack   = "slack"   // {"text": ...}, as Slack, Mattermost and others take it
	Webhook = "webhook" // the alert as JSON, signed as Standard Webhooks says
)

// sendTimeout bounds one call of a receiver.
const sendTimeout = 10 * time.Second

// maxAnswer is how much of a receiver's answer is read, so that its connection can be used again, in bytes.
const maxAnswer = 64 << 10

// maxTold bounds the memory of what was sent to whom.
const maxTold = 4096

// Receiver is where alerts go.
type Receiver struct {
	Name string // for errors and logs, unique
	URL  string // http or https; its path and credentials stay secret
	Kind string // Slack or Webhook
	// Secret signs what a Webhook gets: "whsec_" and base64; several separated by spaces. Unsigned when empty.
	Secret string
}

// Options are the settings of a Sender.
type Options struct {
	Receivers []Receiver       // none: alerts are logged
	Client    *http.Client     // its transport is used; http.DefaultTransport when nil
	Logger    *slog.Logger     // discards when nil
	Now       func() time.Time // time.Now when nil
}

// Sender sends alerts to all receivers. It is the outbox's handler of OutboxKind.
type Sender struct {
	receivers []receiver
	client    *http.Client
	log       *slog.Logger
	now       func() time.Time

	mu   sync.Mutex
	told map[int64]map[string]bool // row -> receivers that took it while others did not
}

var _ outbox.Handler = (*Sender)(nil)

type receiver struct {
	Receiver

	url  *url.URL
	keys [][]byte
}

// NewSender returns a Sender. It fails with ErrInvalid, without showing more than the receiver's name.
func NewSender(o Options) (*Sender, error) {
	s := &Sender{client: &http.Client{}, log: o.Logger, now: o.Now, told: map[int64]map[string]bool{}}
	if o.Client != nil {
		s.client.Transport = o.Client.Transport
	}
	s.client.Timeout = sendTimeout
	// A redirected POST may arrive as a GET without a body, or somewhere else with what is secret.
	s.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	names := map[string]bool{}
	for i, r := range o.Receivers {
		if r.Name == "" || names[r.Name] {
			return nil, fmt.Errorf("%w: receiver %d has no name, or that of another: %q", ErrInvalid, i+1, r.Name)
		}
		names[r.Name] = true
		if r.Kind != Slack && r.Kind != Webhook {
			return nil, fmt.Errorf("%w: receiver %s is a %q, want slack or webhook", ErrInvalid, r.Name, r.Kind)
		}
		u, err := url.Parse(r.URL)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			return nil, fmt.Errorf("%w: receiver %s has no http or https URL with a host", ErrInvalid, r.Name)
		}
		keys, err := secretKeys(r.Secret)
		if err != nil {
			return nil, fmt.Errorf("receiver %s: %w", r.Name, err)
		}
		s.receivers = append(s.receivers, receiver{r, u, keys})
	}
	return s, nil
}

// Deliver sends alerts. A receiver that fails is not asked again for the rows behind in the same call.
func (s *Sender) Deliver(ctx context.Context, rows []store.OutboxRow) error {
	failed := map[int64]error{}
	down := map[string]error{}
	for i := range rows {
		var a Alert
		if err := json.Unmarshal(rows[i].Payload, &a); err != nil {
			failed[rows[i].ID] = outbox.Permanent(fmt.Errorf("outbox row %d: %w", rows[i].ID, err))
			continue
		}
		if err := s.tell(ctx, &rows[i], &a, down); err != nil {
			failed[rows[i].ID] = err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return &outbox.Partial{Failed: failed}
}

// tell sends an alert to the receivers that do not have it. The error is permanent when each of them refuses it for good.
func (s *Sender) tell(ctx context.Context, row *store.OutboxRow, a *Alert, down map[string]error) error {
	if a.Severity == Log || len(s.receivers) == 0 {
		s.log.WarnContext(ctx, "alert", "key", a.Key, "severity", a.Severity, "resolved", a.Resolved, "model", a.Model,
			"version", a.Version, "title", a.Title, "text", a.Text, "command", a.Command)
		return nil
	}
	var errs []error
	lasting := true
	for i := range s.receivers {
		r := &s.receivers[i]
		if s.has(row.ID, r.Name) {
			continue
		}
		err := down[r.Name]
		if err == nil {
			err = s.post(ctx, r, a, row.Payload)
		}
		switch {
		case err == nil:
			s.note(row.ID, r.Name)
			continue
		case !outbox.IsPermanent(err):
			down[r.Name] = err
			lasting = false
		}
		errs = append(errs, fmt.Errorf("%s: %w", r.Name, err))
	}
	if len(errs) == 0 {
		s.forget(row.ID)
		return nil
	}
	if err := errors.Join(errs...); lasting {
		return err
	}
	return errors.New(strings.ReplaceAll(errors.Join(errs...).Error(), "\n", "; ")) // sheds the marks of the permanent ones
}

// post sends an alert to a receiver.
func (s *Sender) post(ctx context.Context, r *receiver, a *Alert, payload []byte) error {
	encode := webhookBody
	if r.Kind == Slack {
		encode = slackBody
	}
	body, err := encode(a)
	if err != nil {
		return outbox.Permanent(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.URL, bytes.NewReader(body))
	if err != nil {
		return outbox.Permanent(r.scrub(err))
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "treeline")
	if r.Kind == Webhook {
		sign(req.Header, r.keys, messageID(payload), s.now(), body)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return r.scrub(err)
	}
	defer resp.Body.Close()
	// Nothing of the answer is shown: it may repeat the URL.
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer))
	switch code := resp.StatusCode; {
	case code >= 200 && code < 300:
		return nil
	case code == http.StatusRequestTimeout || code == http.StatusTooManyRequests || code >= 500:
		return fmt.Errorf("%s answered %d %s", r.url.Host, code, http.StatusText(code))
	case code >= 300 && code < 400:
		return outbox.Permanent(fmt.Errorf("%s answered %d, a redirect, which is not followed; configure where it leads to", r.url.Host, code))
	default:
		return outbox.Permanent(fmt.Errorf("%s answered %d %s; check the receiver's URL", r.url.Host, code, http.StatusText(code)))
	}
}

// scrub takes everything but the host of the receiver's URL out of an error's text.
func (r *receiver) scrub(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // the outer one has the URL
	}
	text := err.Error()
	password, _ := r.url.User.Password()
	for _, secret := range []string{r.URL, r.url.RequestURI(), r.url.Path, r.url.EscapedPath(), r.url.RawQuery, r.url.Fragment, r.url.User.String(), password} {
		if len(secret) > 1 {
			text = strings.ReplaceAll(text, secret, "***")
		}
	}
	return fmt.Errorf("POST to %s: %s", r.url.Host, text)
}

func (s *Sender) has(row int64, name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.told[row][name]
}

func (s *Sender) note(row int64, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.told[row] == nil {
		if len(s.told) >= maxTold {
			clear(s.told) // telling twice is better than growing
		}
		s.told[row] = map[string]bool{}
	}
	s.told[row][name] = true
}

func (s *Sender) forget(row int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.told, row)
}
