package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/treeline-ml/treeline/client"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// TestDaemon runs the verbs that need a daemon against the real scorer: built here, one process and one empty data
// directory a script, on free loopback ports.
func TestDaemon(t *testing.T) {
	scorer := filepath.Join(t.TempDir(), "scorer")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", scorer, "../scorer")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the daemon: %v\n%s", err, out)
	}
	cmds := commands()
	cmds["daemon"] = daemonCommand
	cmds["corrupt"] = corrupt
	mlflow := useMLflow(t)
	testscript.Run(t, testscript.Params{
		Dir:           filepath.Join("testdata", "daemon"),
		UpdateScripts: *update,
		Cmds:          cmds,
		Setup: func(e *testscript.Env) error {
			examples, err := filepath.Abs(filepath.Join("..", "..", "examples"))
			if err != nil {
				return err
			}
			addr, adminAddr, err := freePorts()
			if err != nil {
				return err
			}
			e.Setenv("EXAMPLES", examples)
			e.Setenv("SCORER_ADDR", addr)
			e.Setenv("SCORER_ADMIN_ADDR", adminAddr)
			e.Setenv("SCORER_ACTOR", "tester")
			if err := mlflow(e); err != nil {
				return err
			}
			d := &process{
				path: scorer, dir: e.WorkDir, addr: addr, adminAddr: adminAddr, config: filepath.Join(examples, "scorer.yml"),
			}
			e.Values[processKey{}] = d
			e.Defer(func() {
				if err := d.stop(); err != nil {
					t.Errorf("stopping the daemon: %v", err)
				}
			})
			return d.start()
		},
	})
}

func freePorts() (string, string, error) {
	var out [2]string
	for i := range out {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", "", err
		}
		defer l.Close() // after both: they must differ
		out[i] = l.Addr().String()
	}
	return out[0], out[1], nil
}

type processKey struct{}

// process is one running daemon.
type process struct {
	path, dir, config, addr, adminAddr string

	cmd    *exec.Cmd
	exited chan struct{}
	log    lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start returns once the daemon reports that it serves.
func (p *process) start() error {
	p.cmd = exec.Command(p.path, "--config", p.config, "--data-dir", filepath.Join(p.dir, "data"),
		"--listen", p.addr, "--admin-listen", p.adminAddr)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = p.dir, &p.log, &p.log
	if err := p.cmd.Start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	exited := make(chan struct{})
	go func() {
		_, _ = p.cmd.Process.Wait()
		close(exited)
		cancel()
	}()
	if err := p.ready(ctx); err != nil {
		_ = p.cmd.Process.Kill()
		<-exited
		return fmt.Errorf("the daemon did not start: %w\n%s", err, &p.log)
	}
	p.exited = exited
	return nil
}

func (p *process) ready(ctx context.Context) error {
	cl, err := client.Dial(ctx, client.Options{Addr: p.addr, AdminAddr: p.adminAddr})
	if err != nil {
		return err
	}
	for _, h := range []healthpb.HealthClient{cl.DataHealth, cl.AdminHealth} {
		// Waiting for ready covers the time until the port is open, watching the time until it serves.
		w, err := h.Watch(ctx, &healthpb.HealthCheckRequest{}, grpc.WaitForReady(true))
		for err == nil {
			var answer *healthpb.HealthCheckResponse
			if answer, err = w.Recv(); answer.GetStatus() == healthpb.HealthCheckResponse_SERVING {
				break
			}
		}
		if err != nil {
			return errors.Join(err, cl.Close())
		}
	}
	return cl.Close()
}

// stop ends the daemon as an operator would and waits for it.
func (p *process) stop() error {
	if p.exited == nil {
		return nil
	}
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.exited:
		p.exited = nil
		return nil
	case <-time.After(time.Minute):
		return errors.Join(errors.New("the daemon did not stop within a minute"), p.cmd.Process.Kill())
	}
}

// daemon start|stop|log
func daemonCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: daemon start|stop|log")
	}
	p := ts.Value(processKey{}).(*process)
	switch args[0] {
	case "start":
		ts.Check(p.start())
	case "stop":
		ts.Check(p.stop())
	case "log":
		ts.Logf("%s", &p.log)
	}
}

// corrupt DIR OLD NEW replaces bytes by as many others in every file below DIR that holds them.
func corrupt(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 || len(args[1]) != len(args[2]) {
		ts.Fatalf("usage: corrupt directory old new, both of one length")
	}
	changed := 0
	ts.Check(filepath.WalkDir(ts.MkAbs(args[0]), func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(b, []byte(args[1])) {
			return err
		}
		changed++
		return os.WriteFile(path, bytes.ReplaceAll(b, []byte(args[1]), []byte(args[2])), 0o644)
	}))
	if changed == 0 {
		ts.Fatalf("no file below %s holds %q", args[0], args[1])
	}
}
