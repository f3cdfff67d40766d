// Package console is what a command may use of the process it runs in: streams, environment, terminal.
//
// Data goes to Out; progress, logs and errors go to Err. A Console belongs to one command at a time.
package console

import (
	"io"
	"os"
	"os/user"

	"golang.org/x/term"
)

// Console is the process as a command sees it.
type Console struct {
	Out, Err io.Writer
	Getenv   func(string) string
	// OutTTY and ErrTTY say whether the streams are terminals: only those get colour and progress bars.
	OutTTY, ErrTTY bool
	// Width is the number of columns of the terminal that Out is, or 0 when it is none: a pipe must get everything.
	Width int
	// ErrWidth and ErrHeight are the size of the terminal that Err is, 0 when it is none.
	ErrWidth, ErrHeight int
}

// defaultWidth is the width of a terminal that does not tell.
const defaultWidth = 80

// Process returns the console of this process.
func Process() *Console {
	c := &Console{
		Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv,
		OutTTY: term.IsTerminal(int(os.Stdout.Fd())),
		ErrTTY: term.IsTerminal(int(os.Stderr.Fd())),
	}
	if c.OutTTY {
		c.Width = defaultWidth
		if w, _, err := term.GetSize(int(os.Stdout.Fd())); err == nil && w > 0 {
			c.Width = w
		}
	}
	if c.ErrTTY {
		c.ErrWidth = defaultWidth
		if w, h, err := term.GetSize(int(os.Stderr.Fd())); err == nil && w > 0 {
			c.ErrWidth, c.ErrHeight = w, h
		}
	}
	return c
}

// pageWidth is the width of a report that goes into a file or a pipe.
const pageWidth = 100

// Page is the width for reports about one thing, whose sentences are broken into lines wherever they go. Lists use Width:
// in a pipe they have one record a line.
func (c *Console) Page() int {
	if c.Width > 0 {
		return c.Width
	}
	return pageWidth
}

// Setting returns a flag's value, else that of an environment variable, else a default.
func (c *Console) Setting(flag, variable, otherwise string) string {
	if flag != "" {
		return flag
	}
	if v := c.Getenv(variable); v != "" {
		return v
	}
	return otherwise
}

// UserName is the name of the operating system's user, for the audit trail.
func (c *Console) UserName() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return c.Setting("", "USER", "unknown")
}
