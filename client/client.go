// Package client is the Go client of a treeline daemon: the generated service clients over both listeners, and helpers
// for the calls that stream files, events or Arrow records.
//
// Dial connects lazily: a daemon that is down is reported by the first call, not by Dial.
//
// # Concurrency
//
// A Client serves any number of goroutines. A ScoreStream has one sender and one receiver.
//
// # Ownership
//
// Records that helpers return are the caller's to Release; records passed in are borrowed for the call.
package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
	monitoringv1 "github.com/treeline-ml/treeline/gen/treeline/monitoring/v1"
	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
)

// Addresses of a daemon with the default configuration.
const (
	DefaultAddr      = "127.0.0.1:7070"
	DefaultAdminAddr = "127.0.0.1:7071"
)

// maxMessageBytes bounds what one answer may carry: the server's stream limit plus room for its envelope.
const maxMessageBytes = 16<<20 + 64<<10

// actorHeader carries Options.Actor.
const actorHeader = "x-treeline-actor"

// ErrAddress is wrapped by Dial when an address is malformed or not a loopback address. The caller fixes the address.
var ErrAddress = errors.New("client: address not allowed")

// Options say where the daemon is. The zero value is a daemon with the default configuration on this machine.
type Options struct {
	Addr      string // data listener, host:port; "" means DefaultAddr
	AdminAddr string // admin listener, host:port; "" means DefaultAdminAddr
	// Actor names who acts, for the audit trail, where a request's own actor field is empty.
	Actor string
	// Dial is appended to the dial options of both connections, e.g. a context dialer of a test.
	Dial []grpc.DialOption
}

// Client holds one connection to each listener and the service clients on them.
type Client struct {
	// Data listener.
	Scoring    scoringv1.ScoringServiceClient
	Batches    scoringv1.BatchServiceClient
	Catalog    scoringv1.CatalogServiceClient
	DataHealth healthpb.HealthClient
	// Admin listener.
	Registry    lifecyclev1.RegistryServiceClient
	Training    lifecyclev1.TrainingServiceClient
	Validation  lifecyclev1.ValidationServiceClient
	Promotion   lifecyclev1.PromotionServiceClient
	Triggers    lifecyclev1.TriggerServiceClient
	Schedules   lifecyclev1.ScheduleServiceClient
	Runs        lifecyclev1.OrchestrationServiceClient
	Outbox      lifecyclev1.OutboxServiceClient
	Monitoring  monitoringv1.MonitoringServiceClient
	Audit       lifecyclev1.AuditServiceClient
	AdminHealth healthpb.HealthClient

	data, admin *grpc.ClientConn
}

// Dial prepares connections to both listeners. ctx bounds the resolution of "localhost" only. Until TLS and tokens
// exist, addresses must be loopback addresses; anything else is ErrAddress.
func Dial(ctx context.Context, o Options) (*Client, error) {
	data, err := connect(ctx, o, o.Addr, DefaultAddr)
	if err != nil {
		return nil, fmt.Errorf("data address: %w", err)
	}
	admin, err := connect(ctx, o, o.AdminAddr, DefaultAdminAddr)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("admin address: %w", err), data.Close())
	}
	return &Client{
		Scoring:     scoringv1.NewScoringServiceClient(data),
		Batches:     scoringv1.NewBatchServiceClient(data),
		Catalog:     scoringv1.NewCatalogServiceClient(data),
		DataHealth:  healthpb.NewHealthClient(data),
		Registry:    lifecyclev1.NewRegistryServiceClient(admin),
		Training:    lifecyclev1.NewTrainingServiceClient(admin),
		Validation:  lifecyclev1.NewValidationServiceClient(admin),
		Promotion:   lifecyclev1.NewPromotionServiceClient(admin),
		Triggers:    lifecyclev1.NewTriggerServiceClient(admin),
		Schedules:   lifecyclev1.NewScheduleServiceClient(admin),
		Runs:        lifecyclev1.NewOrchestrationServiceClient(admin),
		Outbox:      lifecyclev1.NewOutboxServiceClient(admin),
		Monitoring:  monitoringv1.NewMonitoringServiceClient(admin),
		Audit:       lifecyclev1.NewAuditServiceClient(admin),
		AdminHealth: healthpb.NewHealthClient(admin),
		data:        data,
		admin:       admin,
	}, nil
}

// Conns returns the connections to the data and the admin listener, for services that Client has no field for.
func (c *Client) Conns() (data, admin grpc.ClientConnInterface) { return c.data, c.admin }

// Close drops both connections; calls in flight end as Canceled.
func (c *Client) Close() error { return errors.Join(c.data.Close(), c.admin.Close()) }

func connect(ctx context.Context, o Options, addr, byDefault string) (*grpc.ClientConn, error) {
	if addr == "" {
		addr = byDefault
	}
	target, err := loopback(ctx, addr)
	if err != nil {
		return nil, err
	}
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		// A proxy from the environment must not see what is meant for this machine.
		grpc.WithNoProxy(),
		grpc.WithStatsHandler(otelgrpc.NewClientHandler()),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(maxMessageBytes), grpc.MaxCallSendMsgSize(maxMessageBytes)),
	}
	if o.Actor != "" {
		opts = append(opts,
			grpc.WithChainUnaryInterceptor(actorUnary(o.Actor)), grpc.WithChainStreamInterceptor(actorStream(o.Actor)))
	}
	return grpc.NewClient("passthrough:///"+target, append(opts, o.Dial...)...)
}

// loopback returns addr with its host as a loopback address, or ErrAddress.
func loopback(ctx context.Context, addr string) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("%q is not host:port (%w): %w", addr, err, ErrAddress)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", fmt.Errorf("%q: port %q is not a number from 1 to 65535: %w", addr, port, ErrAddress)
	}
	if host == "localhost" {
		ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", host)
		if err != nil || len(ips) == 0 {
			return "", fmt.Errorf("looking up %q: %w (use 127.0.0.1)", host, errors.Join(err, ErrAddress))
		}
		host = ips[0].Unmap().String()
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return "", fmt.Errorf("%q is not a loopback address: without TLS and tokens only 127.0.0.1, [::1] and localhost "+
			"are accepted; run this command on the daemon's machine or forward the port: %w", addr, ErrAddress)
	}
	return net.JoinHostPort(host, port), nil
}

func actorUnary(actor string) grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, next grpc.UnaryInvoker,
		opts ...grpc.CallOption,
	) error {
		return next(metadata.AppendToOutgoingContext(ctx, actorHeader, actor), method, req, reply, cc, opts...)
	}
}

func actorStream(actor string) grpc.StreamClientInterceptor {
	return func(ctx context.Context, d *grpc.StreamDesc, cc *grpc.ClientConn, method string, next grpc.Streamer,
		opts ...grpc.CallOption,
	) (grpc.ClientStream, error) {
		return next(metadata.AppendToOutgoingContext(ctx, actorHeader, actor), d, cc, method, opts...)
	}
}
