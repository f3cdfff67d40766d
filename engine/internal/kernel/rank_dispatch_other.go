//go:build purego || !amd64

package kernel

// layOutVectors does nothing: there are no vector tiers.
func (*Cuts) layOutVectors() {}
