package run

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/console"
	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
)

// display shows a run as it goes on: on a terminal a tree that is redrawn in place, elsewhere a line a change. update and
// stop belong to one goroutine.
type display struct {
	w      io.Writer
	tty    bool
	width  int
	height int // lines of the terminal, 0 when not known

	mu    sync.Mutex
	run   *lifecyclev1.Run
	drawn int // lines on the screen that belong to the tree

	quit, done chan struct{}
}

// tick is how often running times move.
const tick = time.Second

func newDisplay(c *console.Console) *display {
	d := &display{w: c.Err, tty: c.ErrTTY, width: c.ErrWidth, height: c.ErrHeight, quit: make(chan struct{}), done: make(chan struct{})}
	if !d.tty {
		close(d.done)
		return d
	}
	go d.clock()
	return d
}

func (d *display) clock() {
	defer close(d.done)
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case <-d.quit:
			return
		case <-t.C:
			d.mu.Lock()
			d.draw()
			d.mu.Unlock()
		}
	}
}

// update shows the run as it is now.
func (d *display) update(r *lifecyclev1.Run) {
	d.mu.Lock()
	defer d.mu.Unlock()
	before := d.run
	d.run = proto.Clone(r).(*lifecyclev1.Run)
	if d.tty {
		d.draw()
		return
	}
	plain(d.w, before, r)
}

// draw replaces the tree on the screen. A tree that is higher than the terminal shows its last lines: what has scrolled
// away cannot be redrawn.
func (d *display) draw() {
	if d.run == nil {
		return
	}
	lines := tree(d.run, d.width)
	if most := d.height - 1; d.height > 1 && len(lines) > most {
		lines = lines[len(lines)-most:]
	}
	var b strings.Builder
	if d.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", d.drawn)
	}
	for _, l := range lines {
		b.WriteString("\r\x1b[K" + l + "\n")
	}
	b.WriteString("\x1b[J")
	d.drawn = len(lines)
	fmt.Fprint(d.w, b.String())
}

// stop ends the redrawing and wipes the tree: the result is shown instead.
func (d *display) stop() {
	close(d.quit)
	<-d.done
	if d.tty && d.drawn > 0 {
		fmt.Fprintf(d.w, "\x1b[%dA\r\x1b[J", d.drawn)
	}
}
