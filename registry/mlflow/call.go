package mlflow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"time"
)

const (
	apiPath      = "/api/2.0/mlflow/"
	artifactPath = "/api/2.0/mlflow-artifacts/artifacts"
)

// once and again say whether a request may be repeated when nobody knows whether it arrived (M1).
const (
	once  = false
	again = true
)

func (c *Client) get(ctx context.Context, path string, query url.Values, out any) error {
	return c.call(ctx, http.MethodGet, apiPath+path, query, nil, out, again)
}

func (c *Client) post(ctx context.Context, path string, body, out any, repeat bool) error {
	return c.call(ctx, http.MethodPost, apiPath+path, nil, body, out, repeat)
}

// call sends JSON and decodes JSON. out may be nil.
func (c *Client) call(ctx context.Context, method, path string, query url.Values, body, out any, repeat bool) error {
	var payload []byte
	if body != nil {
		var err error
		if payload, err = json.Marshal(body); err != nil {
			return fmt.Errorf("%w: %s %s: %w", ErrInvalid, method, path, err)
		}
	}
	return c.retry(ctx, repeat, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
		defer cancel()
		req, err := c.request(ctx, method, path, query, bytes.NewReader(payload))
		if err != nil {
			return err
		}
		if method != http.MethodGet {
			req.Header.Set("Content-Type", "application/json")
		}
		resp, err := c.send(req, path)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		answer, err := c.read(req, path, resp)
		if err != nil {
			return err
		}
		return decode(req, path, resp, answer, out)
	})
}

func (c *Client) request(ctx context.Context, method, path string, query url.Values, body io.Reader) (*http.Request, error) {
	u := *c.base
	escaped := u.EscapedPath() + path // path is escaped already
	unescaped, err := url.PathUnescape(escaped)
	if err != nil {
		return nil, fmt.Errorf("%w: path %q: %w", ErrInvalid, path, err)
	}
	u.Path, u.RawPath, u.RawQuery = unescaped, escaped, query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, fmt.Errorf("%w: %s %s: %w", ErrInvalid, method, path, err)
	}
	req.Header.Set("User-Agent", "treeline")
	switch {
	case c.o.Token != "":
		req.Header.Set("Authorization", "Bearer "+c.o.Token)
	case c.o.Username != "" || c.o.Password != "":
		req.SetBasicAuth(c.o.Username, c.o.Password)
	}
	return req, nil
}

// send returns a successful answer with its body open.
func (c *Client) send(req *http.Request, path string) (*http.Response, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err // its text would repeat the URL
		}
		if req.Context().Err() != nil {
			// The time of this attempt is not the caller's; retry looks at that one.
			err = fmt.Errorf("nothing came for %s", c.o.Timeout)
		}
		return nil, fmt.Errorf("%w: %s %s%s: %w", ErrUnavailable, req.Method, place(c.base), path, err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	head, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil && len(head) == 0 {
		head = []byte(err.Error())
	}
	return nil, apiError(req, path, resp, head)
}

// read reads a JSON answer up to the limit.
func (c *Client) read(req *http.Request, path string, resp *http.Response) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(resp.Body, c.o.Limits.MaxAnswer+1))
	switch {
	case req.Context().Err() != nil:
		return nil, fmt.Errorf("%w: %s %s: the answer was not complete after %s", ErrUnavailable, req.Method, path, c.o.Timeout)
	case err != nil:
		return nil, fmt.Errorf("%w: %s %s: the answer broke off after %d bytes: %w", ErrUnavailable, req.Method, path, len(b), err)
	case int64(len(b)) > c.o.Limits.MaxAnswer:
		return nil, fmt.Errorf("%w: %s %s: the answer has more than %d bytes", ErrInvalid, req.Method, path, c.o.Limits.MaxAnswer)
	}
	return b, nil
}

// decode reads an answer that is a success by its status.
func decode(req *http.Request, path string, resp *http.Response, body []byte, out any) error {
	if out == nil {
		out = &struct{}{}
	}
	err := json.Unmarshal(body, out)
	if err == nil {
		return nil
	}
	if isPage(resp, body) {
		return apiError(req, path, resp, body)
	}
	return fmt.Errorf("%w: %s %s: the answer is not what MLflow sends: %w", ErrUnavailable, req.Method, path, err)
}

// retry runs f until it succeeds, fails for good, or was tried often enough.
func (c *Client) retry(ctx context.Context, repeat bool, f func(context.Context) error) error {
	wait := c.o.MinRetry
	for attempt := 1; ; attempt++ {
		err := f(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%w (%w)", ctx.Err(), err)
		}
		pause, ok := c.pause(err, repeat, wait)
		if !ok || attempt >= c.o.Attempts {
			return err
		}
		c.o.Logger.DebugContext(ctx, "request to MLflow repeated", "error", err, "attempt", attempt, "retry_in", pause)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w (%w)", ctx.Err(), err)
		}
		wait = min(2*wait, c.o.MaxRetry)
	}
}

// pause decides whether a failed request is worth repeating, and after which time.
func (c *Client) pause(err error, repeat bool, wait time.Duration) (time.Duration, bool) {
	wait = wait/2 + rand.N(wait/2+1) //nolint:gosec // spreads load
	if e, ok := errors.AsType[*APIError](err); ok {
		switch e.Status {
		case http.StatusTooManyRequests: // was refused before it did anything
		case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			if !repeat {
				return 0, false
			}
		default:
			return 0, false
		}
		if e.RetryAfter > c.o.MaxRetry {
			return 0, false // the caller has a longer breath
		}
		return max(wait, e.RetryAfter), true
	}
	if dial, ok := errors.AsType[*net.OpError](err); ok && dial.Op == "dial" {
		return wait, true // it did not arrive
	}
	return wait, repeat && errors.Is(err, ErrUnavailable)
}
