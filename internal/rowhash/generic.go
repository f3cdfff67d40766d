package rowhash

import (
	"crypto/sha256"
	"encoding/binary"
)

// sumEach hashes lane by lane.
func sumEach(b *Batch) {
	for lane, n := range b.sizes {
		s := sha256.Sum256(b.blocks[lane*block : lane*block+int(n)])
		for i := range 4 {
			b.words[i*Lanes+lane] = binary.LittleEndian.Uint32(s[4*i:])
		}
	}
}
