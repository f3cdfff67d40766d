// Package server serves the domain over gRPC: scoring on the data listener, the lifecycle on the admin listener.
//
//	request -> otel span -> call (id, actor, limits, panics, access log) -> handler: validate, convert -> domain
//	answer  <- status (the table in table.go)                            <- convert                    <- domain
//
// Handlers hold no rules of their own: they check the shape of a request, translate it, and translate the answer back.
//
// # Invariants
//
//	V1  An error leaves this package only through statusError: one table decides about its code, and whatever is not in
//	    the table is Internal, of which the caller sees nothing but a request id.
//	V2  Bytes that claim to be Arrow pass internal/arrowguard before anything else reads them.
//	V3  What one call holds is bounded: by the message limits, the upload limit and the Arrow limits.
//	V4  A handler returns only when everything that it started has ended.
//	V5  Domain types carry no protobuf; conversion lives in convert*.go.
//
// # Concurrency
//
// A Server serves any number of calls at once; so must the services in Deps.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
	monitoringv1 "github.com/treeline-ml/treeline/gen/treeline/monitoring/v1"
	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
	"github.com/treeline-ml/treeline/internal/arrowguard"
)

// Defaults of Options.
const (
	DefaultUnaryBytes   = 4 << 20
	DefaultStreamBytes  = 16 << 20
	DefaultUploadBytes  = 16 << 30
	DefaultMaxStreams   = 256
	DefaultUnaryTimeout = 10 * time.Minute
	DefaultScoreBytes   = 512 << 20
)

// ErrListener is returned by ServeData and ServeAdmin for an address that is not a loopback address: until TLS and tokens
// exist, nothing else is served. The operator changes the configured address.
var ErrListener = errors.New("server: listener is not on a loopback address")

// Options bound what callers may do. Zero fields take the defaults above.
type Options struct {
	// UnaryBytes bounds the request of a unary call, StreamBytes each message of a stream and every answer.
	UnaryBytes, StreamBytes int
	// UploadBytes bounds a file sent by UploadBatch, and all files together of one Register.
	UploadBytes int64
	// UploadDir receives files sent by UploadBatch, and must exist; New removes uploads that an earlier process left in
	// it. "" means the system's directory for temporary files, where nothing is removed.
	UploadDir string
	// MaxStreams bounds the concurrent calls on one connection.
	MaxStreams uint32
	// UnaryTimeout ends unary calls whose caller set no deadline.
	UnaryTimeout time.Duration
	// ScoreBytes bounds the memory of all scoring calls together, by estimate; calls over it are told to retry.
	ScoreBytes int64
	// Arrow bounds Arrow data from callers. Zero fields take arrowguard.DefaultLimits; a message is never larger than
	// StreamBytes.
	Arrow arrowguard.Limits
}

func (o Options) withDefaults() Options {
	if o.UnaryBytes <= 0 {
		o.UnaryBytes = DefaultUnaryBytes
	}
	if o.StreamBytes <= 0 {
		o.StreamBytes = DefaultStreamBytes
	}
	if o.UploadBytes <= 0 {
		o.UploadBytes = DefaultUploadBytes
	}
	if o.MaxStreams == 0 {
		o.MaxStreams = DefaultMaxStreams
	}
	if o.UnaryTimeout <= 0 {
		o.UnaryTimeout = DefaultUnaryTimeout
	}
	if o.ScoreBytes <= 0 {
		o.ScoreBytes = DefaultScoreBytes
	}
	return o
}

// Server is the two gRPC servers of a daemon. Make it with New, hand it listeners, stop it with GracefulStop.
type Server struct {
	data, admin listener
	drain       *drain
}

// listener is one gRPC server with its health service.
type listener struct {
	grpc   *grpc.Server
	health *health.Server
}

// drain tells long calls that the server is stopping: streams of scores at once, watchers when patience ends.
type drain struct {
	begun, ended context.Context //nolint:containedctx // two signals of a Server's life, not scopes of calls
	begin, end   context.CancelFunc
}

func newDrain() *drain {
	d := &drain{}
	d.begun, d.begin = context.WithCancel(context.Background())
	d.ended, d.end = context.WithCancel(context.Background())
	return d
}

// bind returns a context that ends with the call, and with errDraining when watchers have to go.
func (d *drain) bind(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	release := context.AfterFunc(d.ended, func() { cancel(errDraining) })
	return ctx, func(cause error) {
		release()
		cancel(cause)
	}
}

// drainCause is why a bound context ended, where err only says that it did.
func drainCause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); ctx.Err() != nil && cause != nil && errors.Is(err, context.Canceled) {
		return cause
	}
	return err
}

// New registers the services of d on two gRPC servers. It reports NOT_SERVING until SetReady(true).
func New(d Deps, o Options) (*Server, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	o = o.withDefaults()
	if err := clearUploads(o.UploadDir); err != nil {
		return nil, fmt.Errorf("removing unfinished uploads: %w", err)
	}
	s := &Server{drain: newDrain()}
	s.data = newListener(d, o, s.drain)
	s.admin = newListener(d, o, s.drain)

	scoringv1.RegisterScoringServiceServer(s.data.grpc, newScoringService(d, o, s.drain))
	scoringv1.RegisterBatchServiceServer(s.data.grpc, &batchService{batches: d.Batches, options: o, drain: s.drain})
	scoringv1.RegisterCatalogServiceServer(s.data.grpc, &catalogService{
		versions: d.Versions, resolver: d.Resolver, models: d.Models,
	})
	lifecyclev1.RegisterRegistryServiceServer(s.admin.grpc, &registryService{
		registry: d.Registry, versions: d.Versions, models: d.Models, gates: d.Gates, limit: o.UploadBytes,
	})
	lifecyclev1.RegisterValidationServiceServer(s.admin.grpc, &validationService{gates: d.Gates, drain: s.drain})
	lifecyclev1.RegisterPromotionServiceServer(s.admin.grpc, &promotionService{promotions: d.Promotions, gates: d.Gates})
	lifecyclev1.RegisterAuditServiceServer(s.admin.grpc, &auditService{audit: d.Audit})
	lifecyclev1.RegisterTrainingServiceServer(s.admin.grpc, &trainingService{trainings: d.Trainings, drain: s.drain})
	lifecyclev1.RegisterTriggerServiceServer(s.admin.grpc, &triggerService{triggers: d.Triggers})
	lifecyclev1.RegisterScheduleServiceServer(s.admin.grpc, &scheduleService{schedules: d.Schedules})
	lifecyclev1.RegisterOrchestrationServiceServer(s.admin.grpc, &orchestrationService{runs: d.Runs, drain: s.drain})
	lifecyclev1.RegisterOutboxServiceServer(s.admin.grpc, &outboxService{deliveries: d.Deliveries, reconciler: d.Reconciler})
	monitoringv1.RegisterMonitoringServiceServer(s.admin.grpc, &monitoringService{monitor: d.Monitor})
	reflection.Register(s.admin.grpc)
	s.SetReady(false)
	return s, nil
}

func newListener(d Deps, o Options, dr *drain) listener {
	c := &calls{logger: d.Logger, options: o, drain: dr, absent: d.absent()}
	g := grpc.NewServer(
		grpc.StatsHandler(otelgrpc.NewServerHandler(telemetry(d.Tracer, d.Meter)...)),
		grpc.ChainUnaryInterceptor(c.unary),
		grpc.ChainStreamInterceptor(c.stream),
		// One limit for the transport; the interceptor holds unary calls to theirs. 64 KiB are for the envelope.
		grpc.MaxRecvMsgSize(o.StreamBytes+64<<10),
		grpc.MaxSendMsgSize(o.StreamBytes+64<<10),
		grpc.MaxConcurrentStreams(o.MaxStreams),
		grpc.MaxHeaderListSize(16<<10),
		grpc.ConnectionTimeout(10*time.Second),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 20 * time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute, Timeout: 20 * time.Second}),
		grpc.WaitForHandlers(true),
	)
	h := health.NewServer()
	healthpb.RegisterHealthServer(g, h)
	return listener{grpc: g, health: h}
}

func telemetry(t trace.TracerProvider, m metric.MeterProvider) []otelgrpc.Option {
	var opts []otelgrpc.Option
	if t != nil {
		opts = append(opts, otelgrpc.WithTracerProvider(t))
	}
	if m != nil {
		opts = append(opts, otelgrpc.WithMeterProvider(m))
	}
	return opts
}

// ServeData serves scoring on l until GracefulStop. It fails with ErrListener.
func (s *Server) ServeData(l net.Listener) error { return serve(s.data.grpc, l) }

// ServeAdmin serves the lifecycle on l until GracefulStop. It fails with ErrListener.
func (s *Server) ServeAdmin(l net.Listener) error { return serve(s.admin.grpc, l) }

func serve(g *grpc.Server, l net.Listener) error {
	if a, ok := l.Addr().(*net.TCPAddr); ok && !a.IP.IsLoopback() {
		return errors.Join(fmt.Errorf("%s: use a loopback address such as 127.0.0.1 (TLS and tokens are not there yet): %w",
			a, ErrListener), l.Close())
	}
	if err := g.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return err
	}
	return nil
}

// SetReady sets what the health services of both listeners report, for the server and for each of its services.
func (s *Server) SetReady(ready bool) {
	status := healthpb.HealthCheckResponse_NOT_SERVING
	if ready {
		status = healthpb.HealthCheckResponse_SERVING
	}
	for _, l := range []listener{s.data, s.admin} {
		l.health.SetServingStatus("", status)
		for name := range l.grpc.GetServiceInfo() {
			l.health.SetServingStatus(name, status)
		}
	}
}

// GracefulStop reports NOT_SERVING, refuses new calls, asks score streams to end after the record at hand, and waits for
// the calls in flight. When ctx ends first, watchers are told Unavailable and what is still open is cut off. It returns
// when every handler has returned; ctx's error says that calls were cut off.
func (s *Server) GracefulStop(ctx context.Context) error {
	s.SetReady(false)
	s.drain.begin()
	var graceful, all sync.WaitGroup
	for _, l := range []listener{s.data, s.admin} {
		graceful.Go(l.grpc.GracefulStop)
	}
	done := make(chan struct{})
	go func() {
		graceful.Wait()
		close(done)
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = context.Cause(ctx)
		s.drain.end()
		for _, l := range []listener{s.data, s.admin} {
			all.Go(l.grpc.Stop)
		}
		all.Wait()
		<-done
	}
	s.drain.end()
	return err
}
