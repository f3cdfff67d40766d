package kernel

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

func BenchmarkWalkBlocks(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	const rows = MaxItems
	for _, width := range []int{32, 64} {
		codes := Aligned[uint16](rows * width)
		for i := range codes {
			codes[i] = uint16(rng.IntN(4000))
		}
		const trees = 100
		nodes := Aligned[uint16](trees * (1 + BlockSlots) * 2 * BlockSlots)
		for i := range nodes {
			nodes[i] = uint16(rng.IntN(4000))
			if i/BlockSlots%2 == 0 {
				nodes[i] = uint16(rng.IntN(width - 4))
			}
		}
		leaves := make([]float64, trees*BlockSlots*BlockSlots)
		exits := Aligned[uint32](trees * (1 + BlockSlots) * BlockSlots)
		for i := range exits {
			t, e := i/((1+BlockSlots)*BlockSlots), i%((1+BlockSlots)*BlockSlots)
			if e < BlockSlots {
				exits[i] = ItemBlock | uint32(1+e)<<ItemShift
			} else {
				exits[i] = uint32(e-BlockSlots) << ItemShift
			}
			_ = t
		}
		acc := make([]float64, rows)
		w := &Walk{}
		for _, t := range Tables() {
			run := func(name string, f func()) {
				b.Run(fmt.Sprintf("%s/%d/%s", name, width, t.Tier), func(b *testing.B) {
					for b.Loop() {
						f()
					}
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows/trees*100, "ns/row/100trees")
				})
			}
			const per = (1 + BlockSlots)
			run("pair", func() {
				for i := range trees {
					t.WalkPair(w, rows, nodes[i*per*2*BlockSlots:(i+1)*per*2*BlockSlots], codes, width)
				}
			})
			run("pair+add", func() {
				for i := range trees {
					t.WalkPair(w, rows, nodes[i*per*2*BlockSlots:(i+1)*per*2*BlockSlots], codes, width)
					t.AddLeaves64(acc, w.Numbers[:], leaves[i*1024:])
				}
			})
			run("blocks", func() {
				for i := range trees {
					t.WalkBlocks(w, rows, &Blocks{nodes[i*per*2*BlockSlots : (i+1)*per*2*BlockSlots], exits[i*per*BlockSlots:]}, codes, width)
				}
			})
			run("blocks+add", func() {
				for i := range trees {
					t.WalkBlocks(w, rows, &Blocks{nodes[i*per*2*BlockSlots : (i+1)*per*2*BlockSlots], exits[i*per*BlockSlots:]}, codes, width)
					t.AddItems64(acc, w.Items[:rows], leaves[i*1024:])
				}
			})
		}
		dst := Aligned[uint16](rows * width)
		for _, t := range Tables() {
			b.Run(fmt.Sprintf("rowmajor/%d/%s", width, t.Tier), func(b *testing.B) {
				for b.Loop() {
					t.RowMajor(dst, codes, rows, width, width, rows)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
			})
		}
	}
}
