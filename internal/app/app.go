// Package app wires the daemon: it is the only place where drivers, domain and server meet. cmd/scorer and the
// whole-server tests import it, nothing else does.
//
//	lock data_dir -> listeners -> store, registry, warehouse (seed tables) -> models -> lifecycle -> scoring
//	              -> interrupted batches marked -> server -> ready ... SIGTERM -> drain -> close in opposite order
//
// # Layout of data_dir
//
//	LOCK         held while the daemon runs; its text is the process id
//	state.db     lifecycle state: versions, champions, audit, batches (SQLite)
//	warehouse/   tables, snapshots and staged rows (DuckDB and Parquet)
//	artifacts/   model files by digest
//	uploads/     files that callers are sending; emptied at start
//
// # Invariants
//
//	A1  One daemon a data_dir.
//	A2  Nothing is served before everything is open, and health says SERVING only then.
//	A3  Whatever was opened is closed in the opposite order, also when opening the next part fails.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"go.opentelemetry.io/otel"

	"github.com/treeline-ml/treeline/config"
	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/internal/buildinfo"
	"github.com/treeline-ml/treeline/internal/service"
	"github.com/treeline-ml/treeline/internal/telemetry"
)

// Options are what Run needs of its process.
type Options struct {
	Stdout io.Writer // one line when the daemon is ready
	Stderr io.Writer // the log
	// Ready, when set, is called with the addresses that the daemon serves.
	Ready func(data, admin net.Addr)
}

// Run runs the daemon until ctx ends, then stops it in an orderly way: health turns NOT_SERVING, calls are accepted for
// the drain delay, running batches end or are interrupted within the timeout, and everything is closed. It returns nil
// after an orderly end.
func Run(ctx context.Context, c config.Config, o Options) (err error) {
	log, err := telemetry.NewLogger(o.Stderr, c.Log.Level, c.Log.Format)
	if err != nil {
		return err
	}
	if _, err := engine.Tier(); err != nil { // before the first batch finds it out
		return err
	}
	var open service.Group
	// Closing must work after ctx has ended.
	life := context.WithoutCancel(ctx)
	defer func() {
		if err = errors.Join(err, open.Stop(life)); err == nil {
			log.Info("stopped")
		}
	}()

	lock, err := lockDataDir(c.DataDir)
	if err != nil {
		return err
	}
	open.Add("data directory", service.StopFunc(func(context.Context) error { return lock.release() }))
	listeners, err := listen(ctx, c.Listeners)
	if err != nil {
		return err
	}
	open.Add("listeners", service.StopFunc(func(context.Context) error { return listeners.close() }))

	info := buildinfo.Read()
	log.Info("starting", "version", info.Version, "revision", info.Revision, "engine", info.Engine, "go", info.Go, "data_dir", c.DataDir)
	traces, err := telemetry.NewTraces(life, c.Telemetry.OTLP == "env", info)
	if err != nil {
		return err
	}
	open.Add("traces", service.StopFunc(traces.Shutdown))
	// otelgrpc reads the caller's trace context through the global propagator only.
	otel.SetTextMapPropagator(traces.Propagator)

	d := &daemon{cfg: c, log: log, traces: traces, open: &open}
	if err := d.assemble(life); err != nil {
		return err
	}
	return d.serve(ctx, listeners, o)
}

// serve answers calls until ctx ends or a listener breaks, then drains.
func (d *daemon) serve(ctx context.Context, l *listeners, o Options) error {
	broken := make(chan error, 2)
	go func() { broken <- d.server.ServeData(l.data) }()
	go func() { broken <- d.server.ServeAdmin(l.admin) }()
	d.server.SetReady(true)
	d.log.Info("ready", "data", l.data.Addr().String(), "admin", l.admin.Addr().String())
	_, err := fmt.Fprintf(o.Stdout, "scorer is ready: data %s, admin %s\n", l.data.Addr(), l.admin.Addr())
	if o.Ready != nil {
		o.Ready(l.data.Addr(), l.admin.Addr())
	}
	running := 2
	if err == nil {
		select {
		case err = <-broken:
			running--
			if err == nil {
				err = errors.New("app: a listener closed by itself")
			}
		case <-ctx.Done():
		}
	}
	err = errors.Join(err, d.drain(context.WithoutCancel(ctx)))
	for range running {
		err = errors.Join(err, <-broken)
	}
	return err
}

// drain ends what is running. Batches that do not end within the timeout are interrupted, which leaves nothing of them
// and is not an error of the daemon.
func (d *daemon) drain(ctx context.Context) error {
	d.server.SetReady(false)
	d.log.Info("draining", "delay", d.cfg.Shutdown.DrainDelay, "timeout", d.cfg.Shutdown.Timeout)
	wait(d.cfg.Shutdown.DrainDelay)

	calls := make(chan error, 1)
	// Calls get a little longer than batches, so that whoever follows a batch still sees how it ended.
	callCtx, cancel := context.WithTimeout(ctx, d.cfg.Shutdown.Timeout+lastWords)
	defer cancel()
	go func() { calls <- d.server.GracefulStop(callCtx) }()
	batchCtx, cancelBatches := context.WithTimeout(ctx, d.cfg.Shutdown.Timeout)
	defer cancelBatches()
	if err := d.batcher.Drain(batchCtx); err != nil {
		d.log.Warn("batches were interrupted; run them again", "error", err)
	}
	if err := <-calls; err != nil {
		d.log.Warn("calls were cut off", "error", err)
	}
	d.models.Wait()
	return nil
}
