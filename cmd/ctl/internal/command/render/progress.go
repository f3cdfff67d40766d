package render

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Progress reports how far long work has come: a bar that is redrawn on a terminal, otherwise a line now and then.
// Set may be called from any goroutine; the rest belongs to one.
type Progress struct {
	w     io.Writer
	tty   bool
	unit  string
	done  atomic.Int64
	total atomic.Int64
	label atomic.Pointer[string]
	begun time.Time
	write sync.Mutex // one report at a time

	stop, stopped chan struct{}
}

// Intervals between reports.
const (
	redraw  = 100 * time.Millisecond
	newLine = 5 * time.Second
)

// NewProgress starts reporting to w. Stop must be called.
func NewProgress(w io.Writer, tty bool, unit string) *Progress {
	p := &Progress{w: w, tty: tty, unit: unit, begun: time.Now(), stop: make(chan struct{}), stopped: make(chan struct{})}
	go p.run()
	return p
}

// Total sets the amount of work; 0 or less means that it is not known.
func (p *Progress) Total(n int64) { p.total.Store(n) }

// Set tells how much is done.
func (p *Progress) Set(n int64) { p.done.Store(n) }

// Label names the step that the work is in.
func (p *Progress) Label(s string) { p.label.Store(&s) }

// Step names the next step; off a terminal it is reported at once.
func (p *Progress) Step(s string) {
	p.Label(s)
	if !p.tty {
		p.report()
	}
}

// Stop ends the reports, wipes the bar and waits until nothing is written any more.
func (p *Progress) Stop() {
	close(p.stop)
	<-p.stopped
}

func (p *Progress) run() {
	defer close(p.stopped)
	every := newLine
	if p.tty {
		every = redraw
	}
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-p.stop:
			if p.tty {
				fmt.Fprint(p.w, "\r\x1b[K")
			}
			return
		case <-t.C:
			p.report()
		}
	}
}

func (p *Progress) report() {
	p.write.Lock()
	defer p.write.Unlock()
	if p.tty {
		fmt.Fprint(p.w, "\r\x1b[K"+p.line())
	} else {
		fmt.Fprintln(p.w, p.line())
	}
}

const barWidth = 30

func (p *Progress) line() string {
	done, total := p.done.Load(), p.total.Load()
	var b strings.Builder
	if l := p.label.Load(); l != nil {
		b.WriteString(*l + " ")
	}
	if total > 0 {
		share := min(float64(done)/float64(total), 1)
		if p.tty {
			full := int(share * barWidth)
			b.WriteString("[" + strings.Repeat("=", full) + strings.Repeat(" ", barWidth-full) + "] ")
		}
		fmt.Fprintf(&b, "%3.0f%% %s of %s %s", share*100, Count(done), Count(total), p.unit)
	} else {
		fmt.Fprintf(&b, "%s %s", Count(done), p.unit)
	}
	fmt.Fprintf(&b, " %s", time.Since(p.begun).Round(time.Second))
	return b.String()
}
