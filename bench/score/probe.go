package main

import (
	"bytes"
	"runtime"
	"time"
)

// probe measures what one core can do: bytes a second from memory, bytes compared a second in its first cache, cycles a
// second. Each is the best of a few runs, since a neighbour can only slow it down.
func probe() map[string]any {
	const tries = 5
	total := 0 // keeps the compiler from dropping what is measured
	large, small := make([]byte, 512<<20), make([]byte, 16<<10)
	for i := range large {
		large[i] = 1 // pages of zeros share one frame
	}
	stream := best(tries, func() { total += bytes.Count(large, []byte{0}) })
	const passes = 20_000
	cache := best(tries, func() {
		for range passes {
			total += bytes.Count(small, []byte{1})
		}
	})
	const steps = 50_000_000
	chain := best(tries, func() { total += cycles(steps) })
	runtime.KeepAlive(total)
	return map[string]any{
		"bytes_per_second":    float64(len(large)) / stream,
		"compares_per_second": float64(passes*len(small)) / cache,
		"cycles_per_second":   steps * cyclesPerStep / chain,
	}
}

// cyclesPerStep is the latency of a step of cycles: a shift and an exclusive or, a cycle each, each waiting for the last.
const cyclesPerStep = 4

func cycles(n int) int {
	x := uint64(n) | 1
	for range n {
		x ^= x << 13
		x ^= x >> 7
	}
	return int(x)
}

func best(tries int, f func()) float64 {
	least := 0.0
	for i := range tries {
		start := time.Now()
		f()
		if took := time.Since(start).Seconds(); i == 0 || took < least {
			least = took
		}
	}
	return least
}
