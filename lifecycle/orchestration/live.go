package orchestration

import (
	"maps"
	"strings"
	"sync"
	"time"
)

// live is what is known of the nodes under way besides the journal. It is kept in memory only: after a restart the nodes
// begin again and fill it.
type live struct {
	mu      sync.Mutex
	nodes   map[string]liveNode // by chain: its node under way
	changed chan struct{}       // closed at the next change
}

type liveNode struct {
	step    Step
	state   State // Pending or Running
	at      time.Time
	message string
	subject string
}

func newLive() *live {
	return &live{nodes: map[string]liveNode{}, changed: make(chan struct{})}
}

// set changes what is known of a chain's node.
func (l *live) set(chain string, change func(n *liveNode)) {
	l.mu.Lock()
	n := l.nodes[chain]
	change(&n)
	l.nodes[chain] = n
	l.mu.Unlock()
	l.notify()
}

// forget drops a chain's node: the journal has it, or nobody works on it any more.
func (l *live) forget(chain string) {
	l.mu.Lock()
	delete(l.nodes, chain)
	l.mu.Unlock()
	l.notify()
}

// notify wakes everyone who watches.
func (l *live) notify() {
	l.mu.Lock()
	close(l.changed)
	l.changed = make(chan struct{})
	l.mu.Unlock()
}

// change returns a channel that is closed at the next change.
func (l *live) change() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}

// snapshot returns the nodes under way.
func (l *live) snapshot() map[string]liveNode {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.nodes)
}

// line makes one line of a text.
func line(text string) string {
	return strings.Join(strings.Fields(text), " ")
}
