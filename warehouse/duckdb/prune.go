package duckdb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// PruneSnapshots removes the snapshot files whose Ref.Version keep refuses and returns their number and bytes. Only the
// caller knows which batches may be replayed. Streams that are open stay readable; a Read of a removed version fails with
// warehouse.ErrSnapshotGone until Snapshot makes the same content again.
func (w *Warehouse) PruneSnapshots(keep func(version string) bool) (removed int, freed int64, err error) {
	entries, err := os.ReadDir(w.snapshotDir)
	if err != nil {
		return 0, 0, fmt.Errorf("duckdb: listing snapshots: %w", err)
	}
	for _, e := range entries {
		version, ok := strings.CutSuffix(e.Name(), ".parquet")
		if !ok || !strings.HasPrefix(version, snapshotPrefix) || keep(version) {
			continue
		}
		info, err := e.Info()
		if err == nil {
			err = os.Remove(filepath.Join(w.snapshotDir, e.Name()))
		}
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return removed, freed, fmt.Errorf("duckdb: removing snapshot %s: %w", version, err)
		}
		removed++
		freed += info.Size()
	}
	return removed, freed, nil
}
