// Package rowhash hashes short messages with SHA-256, sixteen at a time: a row of a batch is hashed on its own, and its few
// dozen bytes fill no more than one block, whose rounds depend on each other. With AVX-512 sixteen rows go through the
// rounds together, in a fifth of the time of SHA instructions, row by row (BenchmarkSum).
package rowhash

// Lanes is the number of messages of a Batch.
const Lanes = 16

// MaxMessage is the length of the longest message: what one block has room for.
const MaxMessage = 55

const block = 64

// Batch holds up to Lanes messages. The zero value is ready; it belongs to one goroutine at a time.
type Batch struct {
	blocks [Lanes * block]byte // padded
	sizes  [Lanes]uint8
	words  [4 * Lanes]uint32
}

// Message returns the memory of a lane, empty and of capacity MaxMessage, to append its message to and pass it to Set.
func (b *Batch) Message(lane int) []byte {
	at := b.blocks[lane*block : (lane+1)*block]
	clear(at)
	return at[:0:MaxMessage]
}

// Set takes the message of a lane, made from what Message returned. It reports false, and leaves the lane undefined, if the
// message is too long.
func (b *Batch) Set(lane int, message []byte) bool {
	if len(message) > MaxMessage {
		return false
	}
	at := b.blocks[lane*block : (lane+1)*block]
	n := len(message)
	at[n] = 0x80
	at[block-2], at[block-1] = byte(n>>5), byte(n<<3) // in bits
	b.sizes[lane] = uint8(n)
	return true
}

// Sum hashes all lanes. Those that were not set since the Batch was made hash to anything.
func (b *Batch) Sum() { sum(b) }

// First is the first 16 bytes of a lane's SHA-256 after Sum, as two little-endian numbers.
func (b *Batch) First(lane int) (low, high uint64) {
	w := &b.words
	return uint64(w[lane]) | uint64(w[Lanes+lane])<<32, uint64(w[2*Lanes+lane]) | uint64(w[3*Lanes+lane])<<32
}
