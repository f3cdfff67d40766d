package mlflowtest

import (
	"errors"
	"os"
	"sync"
	"testing"
)

// Shared is one server, and one peer, for all tests of a test binary. The zero value is ready; use it as a package
// variable of a test file and give Main to goleak or call its Run in TestMain.
type Shared struct {
	mu     sync.Mutex
	dir    string
	server *Server
	peer   *Peer
	err    error // of the first start: the tests after it need not wait for the same
}

// Server returns the server and starts it at the first call.
func (s *Shared) Server(t testing.TB) *Server {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil && s.err == nil {
		s.start()
	}
	if s.err != nil {
		t.Fatal(s.err)
	}
	server := s.server
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("end of the MLflow server's log:\n%s", server.Log())
		}
	})
	return server
}

func (s *Shared) start() {
	python, err := findPython()
	if err == nil {
		s.dir, err = os.MkdirTemp("", "mlflowtest-")
	}
	if err == nil {
		s.server, err = start(python, s.dir)
	}
	s.err = err
}

// Peer returns a Python peer of the server and starts both at the first call.
func (s *Shared) Peer(t testing.TB) *Peer {
	t.Helper()
	server := s.Server(t)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.peer == nil {
		p, err := startPeer(Python(t), server.URL)
		if err != nil {
			t.Fatal(err)
		}
		s.peer = p
	}
	return s.peer
}

// Close ends what was started and removes its directory.
func (s *Shared) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.peer != nil {
		s.peer.stop()
	}
	if s.server != nil {
		s.server.Stop()
	}
	s.peer, s.server, s.err = nil, nil, errors.New("mlflowtest: closed")
	if s.dir == "" {
		return nil
	}
	return os.RemoveAll(s.dir)
}

// Runner is *testing.M.
type Runner interface{ Run() int }

// Main is m whose Run closes s at its end.
func (s *Shared) Main(m Runner) Runner { return runner{m, s} }

type runner struct {
	Runner

	s *Shared
}

// Run implements Runner.
func (r runner) Run() int {
	code := r.Runner.Run()
	if err := r.s.Close(); err != nil && code == 0 {
		code = 1
	}
	return code
}
