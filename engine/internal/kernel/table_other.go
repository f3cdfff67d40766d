//go:build purego || !amd64

package kernel

func tables() []*Table { return []*Table{newPortable(Portable, 4)} }
