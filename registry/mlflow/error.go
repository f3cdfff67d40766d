package mlflow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/treeline-ml/treeline/registry"
)

// Sentinel errors. Errors of a Client match one of them, one of package registry, or the caller's context error.
var (
	// ErrNotFound: the server has no such run, model, version, alias or artifact. It matches registry.ErrNotFound too.
	ErrNotFound error = &sentinel{"mlflow: not there", registry.ErrNotFound}
	// ErrExists: what was to be made is there already.
	ErrExists = errors.New("mlflow: exists already")
	// ErrInvalid: the server refuses the request. The message says what of it.
	ErrInvalid = errors.New("mlflow: request refused")
	// ErrDenied: the credentials are missing, wrong, or not enough.
	ErrDenied = errors.New("mlflow: access denied")
	// ErrUnavailable: the server cannot be reached, is overloaded, or what answers is no MLflow. Try again later; if it
	// stays, look at the tracking URI and at the server. It matches registry.ErrUnavailable too.
	ErrUnavailable error = &sentinel{"mlflow: server not available", registry.ErrUnavailable}
	// ErrSource: the version's files are in a place that is not reached through the server.
	ErrSource = errors.New("mlflow: artifacts not reachable")
)

// sentinel is an error that is also one of package registry, without repeating its text.
type sentinel struct {
	text string
	is   error
}

// Error implements error.
func (s *sentinel) Error() string { return s.text }

// Unwrap returns the error of package registry.
func (s *sentinel) Unwrap() error { return s.is }

// APIError is an answer that is not a success.
type APIError struct {
	Method, Path string // of the request, without query
	Status       int
	Code         string // "RESOURCE_DOES_NOT_EXIST"; empty when the answer was not MLflow's JSON
	// Message is the server's own, at most 4 KiB. It may quote SQL; Error shows it only where it does not.
	Message    string
	RetryAfter time.Duration // that the server asked for
	kind       error
}

// Error says what was asked and what the answer means.
func (e *APIError) Error() string {
	code := strconv.Itoa(e.Status)
	if e.Code != "" {
		code += " " + e.Code
	}
	text := fmt.Sprintf("%v: %s %s: %s", e.kind, e.Method, e.Path, code)
	if m := e.shown(); m != "" {
		text += ": " + m
	}
	return text
}

// shown is the part of the message that people may see: its first line, unless it is an internal error's.
func (e *APIError) shown() string {
	m, _, _ := strings.Cut(e.Message, "\n")
	lower := strings.ToLower(e.Message)
	for _, internal := range []string{"sqlalchemy", "[sql", "sqlite3.", "psycopg", "traceback"} {
		if strings.Contains(lower, internal) {
			return ""
		}
	}
	const most = 300
	if len(m) > most {
		m = strings.ToValidUTF8(m[:most], "") + "..."
	}
	return m
}

// Unwrap returns the sentinel.
func (e *APIError) Unwrap() error { return e.kind }

// apiError makes an error of an answer. body is the beginning of its body.
func apiError(req *http.Request, path string, resp *http.Response, body []byte) *APIError {
	e := &APIError{Method: req.Method, Path: path, Status: resp.StatusCode, RetryAfter: retryAfter(resp.Header.Get("Retry-After"), time.Now())}
	var parsed struct {
		Code    string `json:"error_code"`
		Message string `json:"message"`
	}
	const most = 4 << 10
	switch err := json.Unmarshal(body, &parsed); {
	case err == nil && parsed.Code != "":
		e.Code, e.Message = parsed.Code, parsed.Message
	case resp.StatusCode/100 == 3:
		e.Message = "it redirects elsewhere; set the tracking URI to where it ends"
		if u, err := resp.Location(); err == nil {
			e.Message = "it redirects to " + place(u) + "; set the tracking URI to where it ends"
		}
	case isPage(resp, body):
		e.Message = "the answer is a web page, not MLflow's: look at the tracking URI, and at what stands before the server"
	default:
		e.Message = printable(body)
	}
	e.Message = strings.ToValidUTF8(e.Message[:min(len(e.Message), most)], "")
	e.kind = kind(resp.StatusCode, e.Code, e.Message)
	return e
}

// kind sorts an answer by its error code, and by its status where there is none.
func kind(status int, code, message string) error {
	switch code {
	case "RESOURCE_DOES_NOT_EXIST", "NOT_FOUND", "ENDPOINT_NOT_FOUND":
		return ErrNotFound
	case "RESOURCE_ALREADY_EXISTS":
		return ErrExists
	case "PERMISSION_DENIED", "UNAUTHENTICATED":
		return ErrDenied
	case "INVALID_PARAMETER_VALUE":
		// The one thing that is reported as missing this way.
		if strings.HasPrefix(message, "Registered model alias ") && strings.HasSuffix(message, " not found.") {
			return ErrNotFound
		}
		return ErrInvalid
	case "":
		switch status {
		case http.StatusUnauthorized, http.StatusForbidden:
			return ErrDenied
		case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
			return ErrInvalid
		}
		return ErrUnavailable // a 404 or 405 that is not MLflow's JSON is another server's, or another path
	}
	switch {
	case status == http.StatusTooManyRequests || status >= 500:
		return ErrUnavailable
	case status == http.StatusNotFound:
		return ErrNotFound
	default:
		return ErrInvalid
	}
}

// isPage reports HTML, by header or by look.
func isPage(resp *http.Response, body []byte) bool {
	t, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if t == "text/html" {
		return true
	}
	head := bytes.ToLower(bytes.TrimSpace(body[:min(len(body), 64)]))
	return bytes.HasPrefix(head, []byte("<!doctype html")) || bytes.HasPrefix(head, []byte("<html"))
}

// printable is the first 200 bytes of a text, or what it is instead.
func printable(body []byte) string {
	const most = 200
	if len(body) > most {
		body = bytes.ToValidUTF8(body[:most], nil) // may end inside a character
	}
	body = bytes.TrimSpace(body)
	if !utf8.Valid(body) {
		return "(not text)"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, string(body))
}

// retryAfter reads seconds or a date; 0 when there is neither.
func retryAfter(header string, now time.Time) time.Duration {
	if s, err := strconv.Atoi(header); err == nil && s > 0 {
		return time.Duration(min(s, 24*3600)) * time.Second
	}
	if t, err := http.ParseTime(header); err == nil {
		return max(0, t.Sub(now))
	}
	return 0
}
