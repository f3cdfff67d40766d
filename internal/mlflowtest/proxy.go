package mlflowtest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Reply is a server's answer.
type Reply struct {
	Status int
	Header http.Header
	Body   []byte
}

// Fault is what a Proxy does with one request. forward asks the real server.
type Fault func(w http.ResponseWriter, r *http.Request, forward func() (Reply, error))

// Pass forwards the request and its answer: no fault.
func Pass() Fault { return nil }

// Drop closes the connection without asking the server.
func Drop() Fault {
	return func(http.ResponseWriter, *http.Request, func() (Reply, error)) {
		panic(http.ErrAbortHandler)
	}
}

// LoseReply lets the server do its work, then closes the connection without an answer.
func LoseReply() Fault {
	return func(_ http.ResponseWriter, _ *http.Request, forward func() (Reply, error)) {
		_, _ = forward()
		panic(http.ErrAbortHandler)
	}
}

// Slow keeps the client waiting for d, or until it gives up, before the server is asked.
func Slow(d time.Duration) Fault {
	return func(w http.ResponseWriter, r *http.Request, forward func() (Reply, error)) {
		// A server hears of a client that gives up only once the body was read.
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			answer(w, forward)
		case <-r.Context().Done():
		}
	}
}

// HTML answers with a page, as a proxy or a login wall does.
func HTML(status int) Fault {
	return Status(status, "text/html", "<!doctype html><html><title>Sign in</title><h1>Sign in to continue</h1></html>")
}

// Status answers with a status and a body.
func Status(status int, contentType, body string) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ func() (Reply, error)) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// TooMany answers 429 and asks to come back after some seconds.
func TooMany(retryAfter int) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ func() (Reply, error)) {
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
		http.Error(w, "Too many requests", http.StatusTooManyRequests)
	}
}

// Redirect answers 302.
func Redirect(to string) Fault {
	return func(w http.ResponseWriter, r *http.Request, _ func() (Reply, error)) {
		http.Redirect(w, r, to, http.StatusFound)
	}
}

// Truncate sends the first half of the real answer as if it were all.
func Truncate() Fault {
	return func(w http.ResponseWriter, _ *http.Request, forward func() (Reply, error)) {
		reply, err := forward()
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Type", reply.Header.Get("Content-Type"))
		w.WriteHeader(reply.Status)
		_, _ = w.Write(reply.Body[:len(reply.Body)/2])
	}
}

// WrongLength announces more bytes than it sends.
func WrongLength() Fault {
	return func(w http.ResponseWriter, _ *http.Request, forward func() (Reply, error)) {
		reply, err := forward()
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Type", reply.Header.Get("Content-Type"))
		w.Header().Set("Content-Length", strconv.Itoa(len(reply.Body)+100))
		w.WriteHeader(reply.Status)
		_, _ = w.Write(reply.Body)
	}
}

// Proxy stands before a server and does to requests what it is told. At first it passes everything on.
type Proxy struct {
	// URL is "http://127.0.0.1:<port>".
	URL string

	target *url.URL
	direct *http.Transport

	mu       sync.Mutex
	server   *http.Server // nil while down
	end      func()       // ends the server and waits for its handlers
	next     []Fault
	always   func(*http.Request) Fault
	requests []string
}

// StartProxy starts a proxy before the server at target; it ends with the test.
func StartProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{target: u, direct: &http.Transport{DisableKeepAlives: true}}
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // returns at once
	if err != nil {
		t.Fatal(err)
	}
	p.URL = "http://" + l.Addr().String()
	p.serve(l)
	t.Cleanup(p.Down)
	return p
}

func (p *Proxy) serve(l net.Listener) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			running.Add(1)
			defer running.Done()
			p.ServeHTTP(w, r)
		}),
		ReadHeaderTimeout: time.Minute, BaseContext: func(net.Listener) context.Context { return ctx },
	}
	served := make(chan struct{})
	p.server = server
	p.end = func() {
		cancel()
		_ = server.Close() // its listener is closed either way
		<-served
		running.Wait()
	}
	go func() {
		defer close(served)
		_ = server.Serve(l) // ends with Close
	}()
}

// Down refuses connections and cuts those that are open, until Up.
func (p *Proxy) Down() {
	p.mu.Lock()
	server, end := p.server, p.end
	p.server = nil
	p.mu.Unlock()
	if server != nil {
		end()
	}
}

// Up serves again on the same port.
func (p *Proxy) Up(t testing.TB) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.server != nil {
		return
	}
	l, err := net.Listen("tcp", p.URL[len("http://"):]) //nolint:noctx // returns at once
	if err != nil {
		t.Fatal(err)
	}
	p.serve(l)
}

// Next sets what happens to the next requests, one each; those after them are as before.
func (p *Proxy) Next(faults ...Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = append(p.next, faults...)
}

// When sets what happens to requests that Next says nothing about; a nil Fault passes the request on.
func (p *Proxy) When(f func(*http.Request) Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.always = f
}

// Always is When for every request. Always(Pass()) ends it.
func (p *Proxy) Always(f Fault) { p.When(func(*http.Request) Fault { return f }) }

// Requests lists the requests since the last call, "METHOD /path", those that met a fault included.
func (p *Proxy) Requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := slices.Clone(p.requests)
	p.requests = nil
	return out
}

func (p *Proxy) fault(r *http.Request) Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = append(p.requests, r.Method+" "+r.URL.Path)
	if len(p.next) > 0 {
		f := p.next[0]
		p.next = p.next[1:]
		return f
	}
	if p.always != nil {
		return p.always(r)
	}
	return nil
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := p.fault(r)
	if f == nil {
		proxy := httputil.ReverseProxy{
			Transport: p.direct,
			Rewrite:   func(pr *httputil.ProxyRequest) { pr.SetURL(p.target) },
			ErrorHandler: func(http.ResponseWriter, *http.Request, error) {
				panic(http.ErrAbortHandler) // the server is down: so is the proxy
			},
		}
		proxy.ServeHTTP(w, r)
		return
	}
	f(w, r, func() (Reply, error) { return p.forward(r) })
}

// forward asks the server on its own time: a client that gives up does not stop what it began.
func (p *Proxy) forward(r *http.Request) (Reply, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return Reply{}, err
	}
	u := *r.URL
	u.Scheme, u.Host = p.target.Scheme, p.target.Host
	req, err := http.NewRequestWithContext(context.WithoutCancel(r.Context()), r.Method, u.String(), bytes.NewReader(body))
	if err != nil {
		return Reply{}, err
	}
	req.Header = r.Header.Clone()
	client := http.Client{Transport: p.direct, Timeout: time.Minute}
	resp, err := client.Do(req)
	if err != nil {
		return Reply{}, fmt.Errorf("mlflowtest: forward: %w", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return Reply{Status: resp.StatusCode, Header: resp.Header, Body: b}, err
}

func answer(w http.ResponseWriter, forward func() (Reply, error)) {
	reply, err := forward()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	for k, v := range reply.Header {
		if k != "Content-Length" {
			w.Header()[k] = v
		}
	}
	w.WriteHeader(reply.Status)
	_, _ = w.Write(reply.Body)
}
