// Package mlflow is a client of an MLflow tracking server and model registry, over its REST API (written against
// MLflow 3.17.2; the calls and their oddities are in docs/design/0007-registry-projection.md).
//
//	Resolve(name, "Champion" | "3") --> Version --Fetch--> directory, digests of its files
//	Publish(files of a version trained elsewhere) --> run + artifacts + MLmodel + version
//
// # What is asked of the server
//
// Little. Answers are read up to a limit and decoded tolerantly: int64 may be a number or a string, unknown fields are
// ignored, an error body may be JSON, text or a page of some proxy. MLflow keeps no checksums and its "READY" proves
// nothing, so Fetch compares sizes and returns SHA-256 digests of what it got.
//
// # Invariants
//
//	M1  A request is repeated only where repeating it changes nothing: reads, and writes that set a value. A request
//	    that creates something is sent once unless it surely did not arrive; what it would have made is looked for by
//	    a tag before it is made again.
//	M2  Nothing of a server's answer names a place outside the directory that Fetch was given, and that directory
//	    appears complete or not at all.
//	M3  Credentials are in no error, no log and no String of this package. Redirects are not followed, so that they go to
//	    nobody else either.
//
// # Concurrency
//
// A Client serves any number of goroutines.
package mlflow

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// Limits bound what a server can make the client hold or write. Zero fields are the defaults.
type Limits struct {
	MaxAnswer int64 // bytes of a JSON answer; 32 MiB
	MaxBytes  int64 // bytes of one artifact; 4 GiB
	MaxFiles  int   // files of one artifact, and directories; 10,000
	MaxItems  int   // runs, models or versions of one listing; 100,000
}

// Options say where the server is and how to talk to it.
type Options struct {
	// TrackingURI is http:// or https://, with the path prefix if the server has one. A user and password in it are
	// used like Username and Password.
	TrackingURI string
	// Username and Password, or Token, identify the client. None of them is ever shown.
	Username, Password, Token string
	// CAFile holds certificates in PEM that are trusted beside the system's.
	CAFile string
	// Transport carries the requests; one of its own when nil.
	Transport http.RoundTripper
	// Experiment holds the runs that Publish makes when a publication names none; "treeline" when empty.
	Experiment string
	Limits     Limits
	// Timeout bounds one JSON request, and how long a transfer of a file may stand still; 30 s when 0.
	Timeout time.Duration
	// Attempts is how often a request that may be repeated is sent in all; 3 when 0.
	Attempts int
	// MinRetry and MaxRetry bound the wait before a repetition, which doubles; 200 ms and 5 s when 0.
	MinRetry, MaxRetry time.Duration
	Logger             *slog.Logger // discards when nil
}

// FromEnv fills what is empty from the variables that MLflow's own client reads: MLFLOW_TRACKING_URI, _USERNAME,
// _PASSWORD, _TOKEN and _SERVER_CERT_PATH. Credentials are taken only when there are none yet.
func (o Options) FromEnv(getenv func(string) string) Options {
	if o.TrackingURI == "" {
		o.TrackingURI = getenv("MLFLOW_TRACKING_URI")
	}
	if o.CAFile == "" {
		o.CAFile = getenv("MLFLOW_TRACKING_SERVER_CERT_PATH")
	}
	if o.Username == "" && o.Password == "" && o.Token == "" {
		o.Username, o.Password = getenv("MLFLOW_TRACKING_USERNAME"), getenv("MLFLOW_TRACKING_PASSWORD")
		if o.Username == "" && o.Password == "" {
			o.Token = getenv("MLFLOW_TRACKING_TOKEN")
		}
	}
	return o
}

// String leaves the credentials out.
func (o Options) String() string {
	auth := "no credentials"
	switch {
	case o.Token != "":
		auth = "a token"
	case o.Username != "" || o.Password != "":
		auth = "user and password"
	}
	u, err := url.Parse(o.TrackingURI)
	if err != nil {
		return "mlflow options with " + auth
	}
	return place(u) + " with " + auth
}

// GoString is String.
func (o Options) GoString() string { return o.String() }

// LogValue is String.
func (o Options) LogValue() slog.Value { return slog.StringValue(o.String()) }

// place is where a URL leads, without the user, query and fragment, any of which may hold a secret.
func place(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// ErrOptions: the tracking URI, the credentials or the certificate file cannot be used. The message says why.
var ErrOptions = errors.New("mlflow: options not valid")

// Client talks to one server.
type Client struct {
	o    Options
	base *url.URL
	http *http.Client
	own  *http.Transport // nil when the transport is the caller's
}

// New returns a Client; it does not talk to the server. It fails with ErrOptions.
func New(o Options) (*Client, error) {
	base, err := url.Parse(o.TrackingURI)
	if err != nil {
		return nil, fmt.Errorf("%w: the tracking URI is not a URL", ErrOptions) // its text may hold a password
	}
	if (base.Scheme != "http" && base.Scheme != "https") || base.Host == "" {
		return nil, fmt.Errorf("%w: the tracking URI has to begin with http:// or https:// and name a host, not %q", ErrOptions, place(base))
	}
	if base.User != nil {
		if o.Username != "" || o.Password != "" {
			return nil, fmt.Errorf("%w: a user is given in the tracking URI and beside it", ErrOptions)
		}
		o.Username = base.User.Username()
		o.Password, _ = base.User.Password()
	}
	if o.Token != "" && (o.Username != "" || o.Password != "") {
		return nil, fmt.Errorf("%w: both a token and a user are given", ErrOptions)
	}
	c := &Client{base: &url.URL{Scheme: base.Scheme, Host: base.Host, Path: strings.TrimRight(base.Path, "/")}}
	if o.Transport == nil {
		if c.own, err = transport(o); err != nil {
			return nil, err
		}
		o.Transport = c.own
	}
	c.o = o.withDefaults()
	c.http = &http.Client{
		Transport:     c.o.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// Close closes idle connections. The Client can be used after it.
func (c *Client) Close() {
	if c.own != nil {
		c.own.CloseIdleConnections()
	}
}

func (o Options) withDefaults() Options {
	orElse(&o.Limits.MaxAnswer, 32<<20)
	orElse(&o.Limits.MaxBytes, 4<<30)
	orElse(&o.Limits.MaxFiles, 10_000)
	orElse(&o.Limits.MaxItems, 100_000)
	orElse(&o.Timeout, 30*time.Second)
	orElse(&o.Attempts, 3)
	orElse(&o.MinRetry, 200*time.Millisecond)
	orElse(&o.MaxRetry, 5*time.Second)
	if o.Experiment == "" {
		o.Experiment = "treeline"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func orElse[T int | int64 | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

func transport(o Options) (*http.Transport, error) {
	t := &http.Transport{
		Proxy:       http.ProxyFromEnvironment,
		DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		// The server is one process: more connections only queue there.
		MaxConnsPerHost: 8, MaxIdleConnsPerHost: 4, IdleConnTimeout: 30 * time.Second,
		TLSHandshakeTimeout: 10 * time.Second, ForceAttemptHTTP2: true,
		MaxResponseHeaderBytes: 256 << 10,
	}
	if o.CAFile == "" {
		return t, nil
	}
	pem, err := os.ReadFile(o.CAFile)
	if err != nil {
		return nil, fmt.Errorf("%w: certificates: %w", ErrOptions, err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%w: %s holds no certificate in PEM", ErrOptions, o.CAFile)
	}
	t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return t, nil
}
