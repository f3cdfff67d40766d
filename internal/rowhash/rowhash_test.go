package rowhash

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// Every lane and every length hash as crypto/sha256 does.
func TestSum(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var b Batch
	for round := range 400 {
		var messages [Lanes][]byte
		for lane := range Lanes {
			n := (round + lane*7) % (MaxMessage + 1)
			message := make([]byte, n)
			for i := range message {
				message[i] = byte(rng.Uint32())
			}
			if round%5 == 0 {
				message = bytes.Repeat([]byte{byte(lane * 17)}, n)
			}
			messages[lane] = message
			if !b.Set(lane, append(b.Message(lane), message...)) {
				t.Fatalf("a message of %d bytes is refused", n)
			}
		}
		for name, f := range map[string]func(*Batch){"sum": sum, "each": sumEach} {
			f(&b)
			for lane, message := range messages {
				want := sha256.Sum256(message)
				low, high := b.First(lane)
				if low != binary.LittleEndian.Uint64(want[:]) || high != binary.LittleEndian.Uint64(want[8:]) {
					t.Fatalf("%s, lane %d, %d bytes: %x %x, want %x", name, lane, len(message), low, high, want[:16])
				}
			}
		}
	}
}

func TestLongMessage(t *testing.T) {
	var b Batch
	if b.Set(3, append(b.Message(3), make([]byte, MaxMessage+1)...)) {
		t.Error("a message of two blocks is taken")
	}
	// The neighbours are untouched.
	if !b.Set(4, append(b.Message(4), "abc"...)) {
		t.Fatal("refused")
	}
	if m := b.Message(3); cap(m) != MaxMessage || len(m) != 0 {
		t.Errorf("%d of %d bytes", len(m), cap(m))
	}
	b.Sum()
	want := sha256.Sum256([]byte("abc"))
	if low, _ := b.First(4); low != binary.LittleEndian.Uint64(want[:]) {
		t.Errorf("%x, want %x", low, want[:8])
	}
}

func FuzzSum(f *testing.F) {
	f.Add([]byte("abc"), uint8(3))
	f.Add([]byte{}, uint8(15))
	f.Fuzz(func(t *testing.T, message []byte, lane uint8) {
		var b Batch
		at := int(lane) % Lanes
		if b.Set(at, append(b.Message(at), message...)) != (len(message) <= MaxMessage) {
			t.Fatalf("%d bytes", len(message))
		}
		if len(message) > MaxMessage {
			return
		}
		b.Sum()
		want := sha256.Sum256(message)
		if low, high := b.First(at); low != binary.LittleEndian.Uint64(want[:]) || high != binary.LittleEndian.Uint64(want[8:]) {
			t.Fatalf("%x %x, want %x", low, high, want[:16])
		}
	})
}

// BenchmarkSum hashes 16 messages of 18 bytes, those of a number and a score.
func BenchmarkSum(b *testing.B) {
	for name, f := range map[string]func(*Batch){"sum": sum, "each": sumEach} {
		b.Run(name, func(b *testing.B) {
			var batch Batch
			for lane := range Lanes {
				batch.Set(lane, append(batch.Message(lane), "18 bytes in a row!"...))
			}
			for b.Loop() {
				f(&batch)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/Lanes, "ns/row")
		})
	}
}
