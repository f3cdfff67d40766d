package local

import (
	"errors"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// startAndWait starts the process, says so, and waits until it has ended. The thread is kept, because the kernel sends the
// death signal when the thread that started the process ends.
func (c *child) startAndWait(started chan<- error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	err := c.cmd.Start()
	started <- err
	if err != nil {
		return err
	}
	// Not reaped yet, so that its id and its group's cannot be somebody else's when the rest is killed.
	for errors.Is(unix.Waitid(unix.P_PID, c.cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil), unix.EINTR) {
	}
	return c.finish()
}
