package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// Metadata of a call.
const (
	requestIDHeader = "x-request-id"
	actorHeader     = "x-treeline-actor"
	// anonymous acts when nobody is named; authMethod says how far to trust the name of an actor.
	anonymous  = "anonymous"
	authMethod = "none"
)

// calls is what every call of a listener passes: it gives the call an id and an actor, holds it to its limits, turns
// panics and errors into statuses, and writes the access log. It is one interceptor, so that their order is in one place.
type calls struct {
	logger  *slog.Logger
	options Options
	drain   *drain
	absent  map[string]error // Deps.absent
}

// call is one RPC in flight.
type call struct {
	method string
	id     string
	actor  string // from the metadata, or anonymous
	start  time.Time
}

type callKey struct{}

// callOf returns the call that ctx belongs to.
func callOf(ctx context.Context) *call {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		return c
	}
	return &call{actor: anonymous}
}

// actor prefers the name in the request over the one in the metadata.
func actor(ctx context.Context, field string) string {
	if field != "" {
		return field
	}
	return callOf(ctx).actor
}

func (c *calls) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	ctx, cl := c.begin(ctx, info.FullMethod)
	// Neither can fail before the handler has run: no header was sent yet.
	_ = grpc.SetHeader(ctx, metadata.Pairs(requestIDHeader, cl.id))
	_ = grpc.SetTrailer(ctx, metadata.Pairs(requestIDHeader, cl.id))
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.options.UnaryTimeout)
		defer cancel()
	}
	var resp any
	err := c.run(ctx, cl, func() (err error) {
		if m, ok := req.(proto.Message); ok {
			if n := proto.Size(m); n > c.options.UnaryBytes {
				return fmt.Errorf("request of %d bytes, at most %d are accepted in one call: send less, or use the "+
					"streaming call: %w", n, c.options.UnaryBytes, errTooLarge)
			}
		}
		resp, err = handler(ctx, req)
		return err
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

func (c *calls) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx, cl := c.begin(ss.Context(), info.FullMethod)
	_ = ss.SetHeader(metadata.Pairs(requestIDHeader, cl.id))
	ss.SetTrailer(metadata.Pairs(requestIDHeader, cl.id))
	if info.FullMethod == healthpb.Health_Watch_FullMethodName {
		// A health watcher never ends by itself and would hold up every graceful stop.
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(c.drain.begun, cancel)()
	}
	return c.run(ctx, cl, func() error { return handler(srv, &serverStream{ServerStream: ss, ctx: ctx}) })
}

// serverStream is a stream whose context knows its call and whose errors are told from those of handlers.
type serverStream struct {
	grpc.ServerStream

	ctx context.Context //nolint:containedctx // grpc asks a stream for its context
}

func (s *serverStream) Context() context.Context { return s.ctx }

// begin takes the id and the actor from the metadata. What it cannot accept it replaces: an id only names the call; an
// actor that is not valid is refused in run.
func (c *calls) begin(ctx context.Context, method string) (context.Context, *call) {
	md, _ := metadata.FromIncomingContext(ctx)
	cl := &call{method: method, id: first(md, requestIDHeader), actor: first(md, actorHeader), start: time.Now()}
	if !saneID(cl.id) {
		cl.id = rand.Text()
	}
	if cl.actor == "" {
		cl.actor = anonymous
	}
	return context.WithValue(ctx, callKey{}, cl), cl
}

func first(md metadata.MD, key string) string {
	if v := md.Get(key); len(v) > 0 {
		return v[0]
	}
	return ""
}

// saneID accepts what can go into a log line and a header as it is.
func saneID(id string) bool {
	if id == "" || len(id) > 64 {
		return false
	}
	for _, r := range id {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_', r == '.':
		default:
			return false
		}
	}
	return true
}

// run calls f and returns its outcome as a status.
func (c *calls) run(ctx context.Context, cl *call, f func() error) error {
	err := checkActor(actorHeader, cl.actor)
	if err == nil {
		err = c.configured(cl.method)
	}
	if err == nil {
		err = contain(f)
	}
	out := statusError(ctx, cl.id, err)
	c.log(ctx, cl, err, out)
	return out
}

// configured refuses calls of services that the daemon runs without.
func (c *calls) configured(method string) error {
	name := strings.TrimPrefix(method, "/")
	if err, ok := c.absent[name]; ok {
		return err
	}
	service, _, _ := strings.Cut(name, "/")
	return c.absent[service+"/"]
}

// panicError is a panic of a handler. It wraps nothing, whatever the value, so its caller sees an Internal error.
type panicError struct {
	value any
	stack []byte
}

func (p *panicError) Error() string { return fmt.Sprintf("panic: %v", p.value) }

func contain(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{value: v, stack: debug.Stack()}
		}
	}()
	return f()
}

// log writes one line a call: the bugs as errors with their cause, probes at debug level.
func (c *calls) log(ctx context.Context, cl *call, cause, out error) {
	code := status.Code(out)
	level := slog.LevelInfo
	switch {
	case code == codes.Internal || code == codes.Unknown || code == codes.DataLoss:
		level = slog.LevelError
	case strings.HasPrefix(cl.method, "/grpc."):
		level = slog.LevelDebug
	}
	if !c.logger.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("method", strings.TrimPrefix(cl.method, "/")),
		slog.String("code", code.String()),
		slog.Duration("duration", time.Since(cl.start)),
		slog.String("request_id", cl.id),
		slog.String("actor", cl.actor),
	}
	if p, ok := peer.FromContext(ctx); ok && p.Addr != nil {
		attrs = append(attrs, slog.String("peer", p.Addr.String()))
	}
	if cause != nil {
		attrs = append(attrs, slog.String("err", cause.Error()))
		if reason := reasonOf(out); reason != "" {
			attrs = append(attrs, slog.String("reason", reason))
		}
		if p, ok := errors.AsType[*panicError](cause); ok {
			attrs = append(attrs, slog.String("stack", string(p.stack)))
		}
	}
	c.logger.LogAttrs(ctx, level, "rpc", attrs...)
}
