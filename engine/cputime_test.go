package engine

import (
	"syscall"
	"testing"
)

// cpuMeter reports processor time, which other load on the machine disturbs less than wall time.
type cpuMeter struct{ start int64 }

func startCPU() *cpuMeter { return &cpuMeter{start: userTime()} }

func (m *cpuMeter) report(b *testing.B, perOp int, unit string) {
	b.Helper()
	b.ReportMetric(float64(userTime()-m.start)/float64(b.N)/float64(perOp), "cpu-ns/"+unit)
}

func userTime() int64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return u.Utime.Nano()
}
