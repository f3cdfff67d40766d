package duckdb

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"syscall"
	"time"
)

// identity is a fingerprint of files that changes with any write, rename or truncation.
type identity struct {
	contents string    // names, inodes, sizes, modification and change times
	newest   time.Time // latest change time
}

// freshness is how long before it was pinned a file must have been quiet, so that a later write shows in its times:
// file systems stamp them from a clock that ticks every few milliseconds.
const freshness = 100 * time.Millisecond

func (id identity) fresh(now time.Time) bool { return now.Sub(id.newest) < freshness }

func identify(paths []string) (identity, error) {
	h := sha256.New()
	var id identity
	for _, p := range paths {
		fi, err := os.Stat(p)
		if err != nil {
			return identity{}, fmt.Errorf("duckdb: looking at an input file: %w", err)
		}
		changed, inode := fi.ModTime(), uint64(0)
		if st, ok := fi.Sys().(*syscall.Stat_t); ok {
			inode = st.Ino
			if c := changeTime(st); c.After(changed) {
				changed = c
			}
		}
		fmt.Fprintf(h, "%q %d %d %d %d\n", p, inode, fi.Size(), fi.ModTime().UnixNano(), changed.UnixNano())
		if changed.After(id.newest) {
			id.newest = changed
		}
	}
	id.contents = hex.EncodeToString(h.Sum(nil)[:16])
	return id, nil
}
