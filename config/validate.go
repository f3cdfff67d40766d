package config

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// faults collects errors of values, each with the place that the value came from.
type faults struct {
	origin   origins
	fallback string // where absent keys should have been
	errs     []error
}

func (f *faults) add(key, format string, args ...any) {
	where := f.where(key)
	if where != "" {
		where += ": "
	}
	f.errs = append(f.errs, fmt.Errorf("%s%s: %s: %w", where, key, fmt.Sprintf(format, args...), ErrInvalid))
}

// where is the place of a key, or of the nearest section above it.
func (f *faults) where(key string) string {
	for parent := key; ; {
		if place := f.origin[parent]; place != "" {
			return place
		}
		i := strings.LastIndexAny(parent, ".[")
		if i < 0 {
			return f.fallback
		}
		parent = parent[:i]
	}
}

// atLeast is for numbers with a lower bound.
func (f *faults) atLeast(key string, got, want int64) {
	if got < want {
		f.add(key, "is %d, want at least %d", got, want)
	}
}

func (f *faults) oneOf(key, got string, want ...string) {
	if slices.Contains(want, got) {
		return
	}
	if got == "" {
		f.add(key, "is missing, want one of %s", strings.Join(want, ", "))
		return
	}
	hint := ""
	if n := nearest(got, want); n != "" {
		hint = fmt.Sprintf("; did you mean %q?", n)
	}
	f.add(key, "is %q, want one of %s%s", got, strings.Join(want, ", "), hint)
}

// Validate reports every value that the daemon could not run with.
func (c Config) Validate() error {
	f := &faults{origin: c.origin}
	if c.DataDir == "" {
		f.add("data_dir", "is empty")
	}
	f.loopback("listeners.data", c.Listeners.Data)
	f.loopback("listeners.admin", c.Listeners.Admin)
	if c.Listeners.Data == c.Listeners.Admin && !strings.HasSuffix(c.Listeners.Data, ":0") {
		f.add("listeners.admin", "is %s like listeners.data; each needs a port of its own", c.Listeners.Admin)
	}
	f.atLeast("warehouse.memory_limit", int64(c.Warehouse.MemoryLimit), 64<<20)
	f.atLeast("warehouse.threads", int64(c.Warehouse.Threads), 0)
	for i, s := range c.Warehouse.Seed {
		key := "warehouse.seed[" + strconv.Itoa(i) + "]"
		f.table(key+".table", s.Table)
		if s.File == "" {
			f.add(key+".file", "is missing: name a .parquet, .arrow or .csv file")
		}
		if slices.ContainsFunc(c.Warehouse.Seed[:i], func(o Seed) bool { return o.Table == s.Table }) {
			f.add(key+".table", "%s is seeded twice", s.Table)
		}
	}
	f.atLeast("registry.max_artifact_bytes", int64(c.Registry.MaxArtifactBytes), 1)
	for i, m := range c.Models {
		if m == "" {
			f.add("models["+strconv.Itoa(i)+"]", "is empty")
		}
	}
	f.atLeast("scoring.threads", int64(c.Scoring.Threads), 0)
	f.atLeast("scoring.memory_budget", int64(c.Scoring.MemoryBudget), 16<<20)
	f.atLeast("scoring.cached_models", int64(c.Scoring.CachedModels), 1)
	f.oneOf("scoring.row_errors", c.Scoring.RowErrors, "fail", "null")
	f.limits(c)
	if c.Shutdown.DrainDelay < 0 {
		f.add("shutdown.drain_delay", "is negative")
	}
	if c.Shutdown.Timeout <= 0 {
		f.add("shutdown.timeout", "is %v, want more than 0s", c.Shutdown.Timeout)
	}
	f.oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	f.oneOf("log.format", c.Log.Format, "text", "json")
	f.oneOf("telemetry.otlp", c.Telemetry.OTLP, "env", "off")
	f.lifecycle(c)
	return errors.Join(f.errs...)
}

func (f *faults) limits(c Config) {
	const maxMessage = 1 << 30 // gRPC counts message bytes in 32 bits
	for _, one := range []struct {
		key       string
		got, most int64
	}{
		{"grpc.unary_bytes", int64(c.GRPC.UnaryBytes), maxMessage},
		{"grpc.stream_bytes", int64(c.GRPC.StreamBytes), maxMessage},
		{"grpc.upload_bytes", int64(c.GRPC.UploadBytes), 1 << 60},
		{"grpc.score_bytes", int64(c.GRPC.ScoreBytes), 1 << 60},
		{"grpc.max_streams", int64(c.GRPC.MaxStreams), 1 << 31},
		{"arrow.max_message_bytes", int64(c.Arrow.MaxMessageBytes), 1 << 31},
		{"arrow.max_alloc_bytes", int64(c.Arrow.MaxAllocBytes), 1 << 60},
		{"arrow.max_rows", c.Arrow.MaxRows, 1<<31 - 1},
		{"arrow.max_fields", int64(c.Arrow.MaxFields), 1 << 20},
		{"arrow.max_depth", int64(c.Arrow.MaxDepth), 64},
	} {
		f.atLeast(one.key, one.got, 1)
		if one.got > one.most {
			f.add(one.key, "is %d, want at most %d", one.got, one.most)
		}
	}
	if c.GRPC.UnaryTimeout <= 0 {
		f.add("grpc.unary_timeout", "is %v, want more than 0s", c.GRPC.UnaryTimeout)
	}
}

const onlyLoopback = "only loopback addresses (127.0.0.1, ::1, localhost) are accepted because TLS and tokens are not available yet"

// loopback refuses every address that another machine could reach.
func (f *faults) loopback(key, addr string) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		f.add(key, "%q is not host:port", addr)
		return
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		f.add(key, "%q: port %q is not a number from 0 to 65535", addr, port)
		return
	}
	if host == "" {
		f.add(key, "%q listens on every interface; %s", addr, onlyLoopback)
		return
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		if !ip.Unmap().IsLoopback() {
			f.add(key, "%q: %s", addr, onlyLoopback)
		}
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		f.add(key, "%q: host name does not resolve; %s", addr, onlyLoopback)
		return
	}
	for _, ip := range ips {
		if !ip.Unmap().IsLoopback() {
			f.add(key, "%q resolves to %s; %s", addr, ip, onlyLoopback)
			return
		}
	}
}

// table checks a three-level name.
func (f *faults) table(key, name string) {
	parts := strings.Split(name, ".")
	if len(parts) != 3 {
		f.add(key, "%q is not catalog.schema.table", name)
		return
	}
	for _, p := range parts {
		if !identifier(p) {
			f.add(key, "%q: %q is not letters, digits and underscores", name, p)
			return
		}
	}
}

func identifier(s string) bool {
	if s == "" || len(s) > 255 {
		return false
	}
	for i, r := range s {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return true
}
