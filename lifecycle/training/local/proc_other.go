//go:build !linux

package local

import (
	"errors"
	"os"
	"syscall"
	"time"

	"github.com/treeline-ml/treeline/lifecycle/training"
)

var errLinux = errors.New("trainers run as processes on Linux only")

func supported() error { return errLinux }

type process struct {
	pid       int
	zombie    bool
	group     int
	user, sys time.Duration
	start     uint64
}

func processOf(int) (process, error)              { return process{}, errLinux }
func bootID() (string, error)                     { return "", errLinux }
func marked(int, string) bool                     { return false }
func members(string) ([]process, error)           { return nil, errLinux }
func signalProcess(process, syscall.Signal) error { return errLinux }
func reap(int) (training.Usage, bool)             { return training.Usage{}, false }
func peakMemory(int) int64                        { return 0 }
func takeLock(string) (*os.File, error)           { return nil, errLinux }
func openNoFollow(path string) (*os.File, error)  { return os.Open(path) }
func diskBytes(info os.FileInfo) int64            { return info.Size() }
func punch(*os.File, int64, int64) error          { return errLinux }

func startProcess(string, []string, string, []string, []*os.File) (int, error) { return 0, errLinux }
