package duckdb

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	driver "github.com/duckdb/duckdb-go/v2"

	"github.com/treeline-ml/treeline/warehouse"
)

// errInvalidated: a checkpoint failed and DuckDB refuses the catalog until it is attached again (D3).
var errInvalidated = errors.New("duckdb: catalog must be attached again")

// diskError marks errors of a full disk or an exhausted quota.
func diskError(err error) error {
	if err == nil || errors.Is(err, warehouse.ErrFull) {
		return err
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || saysFull(err.Error()) {
		return fmt.Errorf("%w: %w", warehouse.ErrFull, err)
	}
	return err
}

// DuckDB reports the cause of an IO error as text only; these know its words.

func saysFull(text string) bool {
	return containsAny(text, "No space left on device", "Disk quota exceeded", "max_temp_directory_size")
}

func saysInvalidated(text string) bool { return containsAny(text, "has been invalidated") }

func saysCorrupt(text string) bool {
	return containsAny(text, "not a valid DuckDB database file", "Corrupt database file", "Could not read enough bytes",
		"Failed to load", "replaying WAL", "Serialization Error")
}

func saysConflict(text string) bool {
	return containsAny(text, "Conflict on", "write-write conflict", "constraint violation")
}

func containsAny(s string, texts ...string) bool {
	for _, t := range texts {
		if strings.Contains(s, t) {
			return true
		}
	}
	return false
}

// sqlError gives a driver error the sentinel that its reader can act on. A cancelled context wins, because DuckDB then
// only says that it was interrupted.
func sqlError(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	text := err.Error()
	switch {
	case errors.Is(diskError(err), warehouse.ErrFull):
		if saysInvalidated(text) {
			return fmt.Errorf("%w: %w", errInvalidated, diskError(err))
		}
		return diskError(err)
	case saysInvalidated(text):
		return fmt.Errorf("%w: %w", errInvalidated, err)
	case strings.Contains(text, "Could not set lock on file"):
		return fmt.Errorf("%w: %w", warehouse.ErrLocked, err)
	case strings.Contains(text, "with version number"):
		return fmt.Errorf("written by a newer DuckDB; there, copy it into a file attached with (STORAGE_VERSION 'v1.0.0'): %w: %w", warehouse.ErrDamaged, err)
	case saysCorrupt(text):
		return fmt.Errorf("%w: %w", warehouse.ErrDamaged, err)
	case isConflict(err):
		return fmt.Errorf("%w: %w", warehouse.ErrConflict, err)
	}
	return err
}

func isConflict(err error) bool {
	var de *driver.Error
	return errors.As(err, &de) && de.Type == driver.ErrorTypeTransaction && saysConflict(de.Msg)
}
