//go:build !amd64 || purego

package rowhash

func sum(b *Batch) { sumEach(b) }
