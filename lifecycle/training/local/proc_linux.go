package local

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/treeline-ml/treeline/lifecycle/training"
)

func supported() error { return nil }

// clockTick is the unit of times in /proc: USER_HZ is 100 on every architecture that Go runs on.
const clockTick = 10 * time.Millisecond

// process is what /proc/<pid>/stat says.
type process struct {
	pid       int
	zombie    bool
	group     int
	user, sys time.Duration
	start     uint64 // ticks since boot
}

// processOf fails with os.ErrNotExist when there is no such process.
func processOf(pid int) (process, error) {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if errors.Is(err, syscall.ESRCH) {
		err = os.ErrNotExist
	}
	if err != nil {
		return process{}, err
	}
	return parseStat(b)
}

// parseStat reads a stat line: "pid (name) state ppid pgrp ...". The name may hold anything, also ") ".
func parseStat(b []byte) (process, error) {
	head, _, ok := bytes.Cut(b, []byte(" ("))
	end := bytes.LastIndex(b, []byte(") "))
	if !ok || end < 0 {
		return process{}, fmt.Errorf("stat line %.40q has no name", b)
	}
	fields := strings.Fields(string(b[end+2:]))
	if len(fields) < 20 {
		return process{}, fmt.Errorf("stat line has %d fields after the name, want 20", len(fields))
	}
	var firstErr error
	number := func(s string) uint64 {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil && firstErr == nil {
			firstErr = err
		}
		return n
	}
	p := process{
		pid: int(number(string(head))), zombie: fields[0] == "Z" || fields[0] == "X", group: int(number(fields[2])),
		user: time.Duration(number(fields[11])) * clockTick, sys: time.Duration(number(fields[12])) * clockTick,
		start: number(fields[19]),
	}
	return p, firstErr
}

func bootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b)), err
}

// marked says whether a process carries the mark of the work in dir.
func marked(pid int, dir string) bool {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
	if err != nil {
		return false // gone, or somebody else's
	}
	want := []byte(WorkVariable + "=" + dir)
	for kv := range bytes.SplitSeq(b, []byte{0}) {
		if bytes.Equal(kv, want) {
			return true
		}
	}
	return false
}

// members lists the living processes that carry the mark of the work in dir, whatever group they moved to.
func members(dir string) ([]process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var out []process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || !marked(pid, dir) {
			continue
		}
		if p, err := processOf(pid); err == nil && !p.zombie {
			out = append(out, p)
		}
	}
	return out, nil
}

// signalProcess signals a process if it still is the one that was looked at (T2).
func signalProcess(p process, s syscall.Signal) error {
	if now, err := processOf(p.pid); err != nil || now.start != p.start {
		return nil //nolint:nilerr // it is gone
	}
	if err := syscall.Kill(p.pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}

// reap collects a child that has ended. It reports false when the process is not our child.
func reap(pid int) (training.Usage, bool) {
	var ru syscall.Rusage
	got, err := syscall.Wait4(pid, nil, syscall.WNOHANG, &ru)
	if err != nil || got != pid {
		return training.Usage{}, false
	}
	return usageOf(&ru), true
}

func usageOf(ru *syscall.Rusage) training.Usage {
	return training.Usage{User: time.Duration(ru.Utime.Nano()), System: time.Duration(ru.Stime.Nano()), MaxRSS: ru.Maxrss << 10}
}

// peakMemory is the highest resident size of a process, 0 when it is gone.
func peakMemory(pid int) int64 {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(value, "kB")), 10, 64)
			if err == nil {
				return kb << 10
			}
		}
	}
	return 0
}

// startProcess starts a process in a group of its own; files are its descriptors from 0 on. It becomes a zombie of ours
// when it ends, which Poll reaps.
func startProcess(path string, argv []string, dir string, env []string, files []*os.File) (int, error) {
	p, err := os.StartProcess(path, argv, &os.ProcAttr{Dir: dir, Env: env, Files: files, Sys: &syscall.SysProcAttr{Setpgid: true}})
	if err != nil {
		return 0, err
	}
	pid := p.Pid
	return pid, p.Release()
}

// takeLock returns nil when a living process holds the lock. The lock belongs to the open file, so it is inherited by who
// is started with it and ends with the last of them.
func takeLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, f.Close()
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// openNoFollow opens a regular file for reading; a link or anything else at the end of the path is an error.
func openNoFollow(path string) (*os.File, error) {
	// Not blocking: opening a pipe would wait for a writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", filepath.Base(path))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// diskBytes is the room that a file takes.
func diskBytes(info os.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * 512
	}
	return info.Size()
}

// punch gives back the blocks of a part of a file that others write to; the part reads as zeros then.
func punch(f *os.File, from, to int64) error {
	const keepSize, punchHole = 1, 2
	return syscall.Fallocate(int(f.Fd()), keepSize|punchHole, from, to-from)
}
