// Command ctl is Treeline's command line: it inspects and scores model files without a daemon, and drives a daemon.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // columns name time zones that the machine may not know

	"github.com/treeline-ml/treeline/cmd/ctl/internal/command"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/console"
)

func main() { os.Exit(run()) }

// run lets the first interrupt cancel the command, so that it can remove what it has half written; the second one ends
// the process at once.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return command.Execute(ctx, console.Process(), os.Args[1:])
}
