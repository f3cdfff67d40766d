package server

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"github.com/treeline-ml/treeline/client"
	"github.com/treeline-ml/treeline/lifecycle/audit"
	"github.com/treeline-ml/treeline/lifecycle/gate"
	"github.com/treeline-ml/treeline/lifecycle/promotion"
	"github.com/treeline-ml/treeline/lifecycle/version"
	"github.com/treeline-ml/treeline/registry"
	"github.com/treeline-ml/treeline/scoring"
	"github.com/treeline-ml/treeline/warehouse"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture is a server on in-memory listeners and a client of it.
type fixture struct {
	server *Server
	client *client.Client
	spans  *tracetest.SpanRecorder
	log    *lockedBuffer
	dial   func(t *testing.T, o client.Options) *client.Client
}

// lockedBuffer is a log that tests read while handlers write it.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// serveTest serves d, in which missing services are refusals, and stops when the test ends.
func serveTest(t testing.TB, d Deps, o Options) *fixture {
	t.Helper()
	f := &fixture{spans: tracetest.NewSpanRecorder(), log: &lockedBuffer{}}
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(f.spans))
	d.Tracer = provider
	d.Logger = slog.New(slog.NewJSONHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	fillRefusals(&d)
	if o.UploadDir == "" {
		o.UploadDir = t.TempDir()
	}
	s, err := New(d, o)
	if err != nil {
		t.Fatal(err)
	}
	f.server = s
	data, admin := bufconn.Listen(1<<20), bufconn.Listen(1<<20)
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := s.ServeData(data); err != nil {
			t.Errorf("serving data: %v", err)
		}
	})
	serving.Go(func() {
		if err := s.ServeAdmin(admin); err != nil {
			t.Errorf("serving admin: %v", err)
		}
	})
	dialer := grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
		if addr == client.DefaultAddr {
			return data.DialContext(ctx)
		}
		return admin.DialContext(ctx)
	})
	connect := func(t testing.TB, o client.Options) *client.Client {
		t.Helper()
		o.Dial = append(o.Dial, dialer)
		c, err := client.Dial(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := c.Close(); err != nil {
				t.Errorf("closing the client: %v", err)
			}
		})
		return c
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.GracefulStop(ctx); err != nil {
			t.Errorf("stopping: %v", err)
		}
		serving.Wait()
		if err := provider.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	s.SetReady(true)
	f.client = connect(t, client.Options{Actor: "tester"})
	f.dial = func(t *testing.T, o client.Options) *client.Client { return connect(t, o) }
	return f
}

// errNotHere is what services that a test did not provide return: a test that gets it calls what it did not mean to.
var errNotHere = errors.New("test: this service is not part of the test")

func fillRefusals(d *Deps) {
	r := refusals{}
	if d.Online == nil {
		d.Online = r
	}
	if d.Batches == nil {
		d.Batches = r
	}
	if d.Resolver == nil {
		d.Resolver = r
	}
	if d.Models == nil {
		d.Models = r
	}
	if d.Registry == nil {
		d.Registry = r
	}
	if d.Versions == nil {
		d.Versions = versionRefusals{}
	}
	if d.Gates == nil {
		d.Gates = r
	}
	if d.Promotions == nil {
		d.Promotions = r
	}
	if d.Audit == nil {
		d.Audit = auditRefusals{}
	}
}

// fillLifecycle adds services that refuse where serveTest leaves nil, which is a daemon without them.
func fillLifecycle(d Deps) Deps {
	if d.Trainings == nil {
		d.Trainings = trainingRefusals{}
	}
	if d.Triggers == nil {
		d.Triggers = triggerRefusals{}
	}
	if d.Schedules == nil {
		d.Schedules = scheduleRefusals{}
	}
	if d.Runs == nil {
		d.Runs = runRefusals{}
	}
	if d.Deliveries == nil {
		d.Deliveries = deliveryRefusals{}
	}
	if d.Reconciler == nil {
		d.Reconciler = reconcilerRefusals{}
	}
	if d.Monitor == nil {
		d.Monitor = monitorRefusals{}
	}
	return d
}

type refusals struct{ err error }

func (r refusals) cause() error {
	if r.err != nil {
		return r.err
	}
	return errNotHere
}

func (r refusals) Open(context.Context, scoring.OnlineOptions, *arrow.Schema) (*scoring.Session, error) {
	return nil, r.cause()
}

func (r refusals) Start(context.Context, scoring.Request) (*scoring.Watcher, error) {
	return nil, r.cause()
}

func (r refusals) Watch(context.Context, warehouse.BatchID) (*scoring.Watcher, error) {
	return nil, r.cause()
}

func (r refusals) Get(context.Context, warehouse.BatchID) (scoring.Batch, error) {
	return scoring.Batch{}, r.cause()
}

func (r refusals) List(context.Context, string, int, string) ([]scoring.Batch, string, error) {
	return nil, "", r.cause()
}

func (r refusals) Cancel(context.Context, warehouse.BatchID) (scoring.Batch, error) {
	return scoring.Batch{}, r.cause()
}

func (r refusals) Rows(context.Context, warehouse.BatchID, int) (warehouse.RecordStream, error) {
	return nil, r.cause()
}

func (r refusals) Resolve(context.Context, string, int64) (scoring.Pinned, error) {
	return scoring.Pinned{}, r.cause()
}

func (r refusals) Load(context.Context, string) (*scoring.Loaded, error) { return nil, r.cause() }

func (r refusals) NewUpload(context.Context) (registry.Upload, error) { return nil, r.cause() }

func (r refusals) Fetch(context.Context, string) (string, registry.Artifact, error) {
	return "", registry.Artifact{}, r.cause()
}

func (r refusals) Validate(context.Context, gate.Request) (gate.Report, error) {
	return gate.Report{}, r.cause()
}

func (r refusals) Report(context.Context, string, int64) (gate.Report, error) {
	return gate.Report{}, r.cause()
}

func (r refusals) Waive(context.Context, gate.WaiveRequest) (gate.Report, error) {
	return gate.Report{}, r.cause()
}

func (r refusals) Promote(context.Context, promotion.Request) (promotion.Change, error) {
	return promotion.Change{}, r.cause()
}

func (r refusals) Rollback(context.Context, promotion.RollbackRequest) (promotion.Change, []string, error) {
	return promotion.Change{}, nil, r.cause()
}

func (r refusals) History(context.Context, string) ([]promotion.Period, error) { return nil, r.cause() }

type versionRefusals struct{ err error }

func (r versionRefusals) Register(context.Context, version.RegisterRequest) (version.Version, bool, error) {
	return version.Version{}, false, refusals(r).cause()
}

func (r versionRefusals) Versions(context.Context, string) ([]version.Version, error) {
	return nil, refusals(r).cause()
}

func (r versionRefusals) Models(context.Context) ([]version.Model, error) {
	return nil, refusals(r).cause()
}

type auditRefusals struct{ err error }

func (r auditRefusals) List(context.Context, audit.Filter) ([]audit.Entry, string, error) {
	return nil, "", refusals(r).cause()
}

func (r auditRefusals) Verify(context.Context) (audit.Result, error) {
	return audit.Result{}, refusals(r).cause()
}
