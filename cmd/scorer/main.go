// Command scorer is the daemon: it scores tables and callers' rows, and runs the lifecycle of the models that do it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // columns name time zones that the machine may not know
)

func main() { os.Exit(run()) }

// run lets the first signal drain the daemon; the second one ends the process at once.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	err := newCommand(os.Environ()).ExecuteContext(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "scorer:", err)
	}
	return exitCode(err)
}
