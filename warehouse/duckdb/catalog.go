package duckdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/treeline-ml/treeline/warehouse"
)

// catalog is one attached file.
type catalog struct {
	name, path string
	// turn holds one token: the right to write.
	turn chan struct{}
	// mu is read-locked while statements run and locked while the file is attached or detached.
	mu       sync.RWMutex
	attached bool
}

// reservedCatalogs are names of DuckDB's own catalogs and schemas, and of our own schema. As a catalog's name, one of them
// would make names like "treeline.batch_ledger" or "information_schema.tables" ambiguous.
func reservedCatalogs() []string {
	return []string{"information_schema", "main", "memory", "pg_catalog", "system", "temp", ledgerSchema}
}

// catalog returns the entry for a name. DuckDB compares names without case, files do not, so file names are lower case.
func (w *Warehouse) catalog(name string) (*catalog, error) {
	lower := strings.ToLower(name)
	if slices.Contains(reservedCatalogs(), lower) {
		return nil, fmt.Errorf("duckdb: catalog name %q is reserved, as are %s; use another: %w", name,
			strings.Join(slices.DeleteFunc(reservedCatalogs(), func(r string) bool { return r == lower }), ", "), warehouse.ErrTableNotFound)
	}
	if _, err := warehouse.ParseTableName(name + ".s.t"); err != nil {
		return nil, fmt.Errorf("duckdb: catalog %q is not letters, digits and underscores: %w", name, warehouse.ErrTableNotFound)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, warehouse.ErrClosed
	}
	c := w.catalogs[lower]
	if c == nil {
		c = &catalog{name: lower, path: filepath.Join(w.dir, lower+".duckdb"), turn: make(chan struct{}, 1)}
		w.catalogs[lower] = c
	}
	return c, nil
}

// read runs fn while the catalog is attached. A catalog that a failed checkpoint invalidated is attached again and fn is
// run a second time.
func (w *Warehouse) read(ctx context.Context, name string, fn func(*catalog) error) error {
	c, err := w.catalog(name)
	if err != nil {
		return err
	}
	for attempt := 0; ; attempt++ {
		if err := w.attach(ctx, c, false); err != nil {
			return err
		}
		c.mu.RLock()
		if c.attached {
			err = fn(c)
		} else {
			err = errInvalidated // detached between attach and here
		}
		c.mu.RUnlock()
		if !errors.Is(err, errInvalidated) || attempt == 3 {
			return err
		}
		if err := w.detach(ctx, c); err != nil {
			return err
		}
	}
}

// write runs fn in one transaction while no other write to the catalog runs, then checkpoints (D3). The file is made when
// it is missing. When COMMIT itself fails, happened is asked in a new transaction whether it took effect; nil means that
// fn is idempotent and the error stands.
func (w *Warehouse) write(ctx context.Context, name string, fn func(*catalog, *sql.Tx) error, happened func(context.Context, *sql.Tx) (bool, error)) error {
	c, err := w.catalog(name)
	if err != nil {
		return err
	}
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := w.attach(ctx, c, true); err != nil {
		return err
	}
	const attempts = 5
	for attempt := 1; ; attempt++ {
		var inCommit bool
		inCommit, err = w.transact(ctx, c, fn)
		if err == nil {
			break
		}
		if inCommit && happened != nil && !errors.Is(err, warehouse.ErrConflict) {
			done, herr := w.settle(ctx, c, happened)
			if herr != nil {
				return errors.Join(err, herr)
			}
			if done {
				break
			}
			return err
		}
		again := errors.Is(err, warehouse.ErrConflict) || errors.Is(err, errInvalidated)
		if !again || attempt == attempts || ctx.Err() != nil {
			return err
		}
		if errors.Is(err, errInvalidated) {
			if err := w.reattach(ctx, c); err != nil {
				return err
			}
		}
	}
	w.checkpoint(ctx, c)
	return nil
}

// transact runs fn in one transaction; inCommit says that the error came from COMMIT.
func (w *Warehouse) transact(ctx context.Context, c *catalog, fn func(*catalog, *sql.Tx) error) (inCommit bool, err error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if !c.attached {
		return false, errInvalidated // a reader found it invalidated and is attaching it again
	}
	// The transaction itself does not hang on ctx: database/sql would roll back behind our back, and a COMMIT that has
	// begun must end with a definite answer. The statements of fn do.
	tx, err := w.db.BeginTx(context.WithoutCancel(ctx), nil)
	if err != nil {
		return false, fmt.Errorf("duckdb: beginning a transaction: %w", sqlError(ctx, err))
	}
	err = fn(c, tx)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		// A rollback that fails has nothing to undo: DuckDB ended the transaction with the error.
		_ = tx.Rollback()
		return false, err
	}
	if err := tx.Commit(); err != nil {
		return true, fmt.Errorf("duckdb: committing to catalog %s: %w", c.name, sqlError(context.WithoutCancel(ctx), err))
	}
	return false, nil
}

// settle finds out from the file itself whether a failed COMMIT took effect.
func (w *Warehouse) settle(ctx context.Context, c *catalog, happened func(context.Context, *sql.Tx) (bool, error)) (bool, error) {
	ctx = context.WithoutCancel(ctx)
	if err := w.reattach(ctx, c); err != nil {
		return false, err
	}
	var done bool
	_, err := w.transact(ctx, c, func(_ *catalog, tx *sql.Tx) (err error) {
		done, err = happened(ctx, tx)
		return err
	})
	return done, err
}

// checkpoint moves the log into the file. The commit is durable without it, so its failure is only logged.
func (w *Warehouse) checkpoint(ctx context.Context, c *catalog) {
	ctx = context.WithoutCancel(ctx)
	c.mu.RLock()
	_, err := w.db.ExecContext(ctx, "CHECKPOINT "+ident(c.name))
	c.mu.RUnlock()
	if err == nil {
		return
	}
	w.log.Warn("checkpoint did not finish; the rows stay in the write-ahead log", "catalog", c.name, "error", err)
	if errors.Is(sqlError(ctx, err), errInvalidated) {
		if err := w.reattach(ctx, c); err != nil {
			w.log.Error("attaching a catalog after a failed checkpoint", "catalog", c.name, "error", err)
		}
	}
}

func (w *Warehouse) reattach(ctx context.Context, c *catalog) error {
	if err := w.detach(ctx, c); err != nil {
		return err
	}
	return w.attach(ctx, c, false)
}

func (w *Warehouse) detach(ctx context.Context, c *catalog) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.attached {
		return nil
	}
	if _, err := w.db.ExecContext(ctx, "DETACH "+ident(c.name)); err != nil {
		return fmt.Errorf("duckdb: detaching catalog %s: %w", c.name, sqlError(ctx, err))
	}
	c.attached = false
	return nil
}

// attach attaches the catalog's file, after making it when create is set.
func (w *Warehouse) attach(ctx context.Context, c *catalog, create bool) error {
	c.mu.RLock()
	attached := c.attached
	c.mu.RUnlock()
	if attached {
		return nil // without waiting for statements that run
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.attached {
		return nil
	}
	_, err := os.Stat(c.path)
	switch {
	case err == nil:
	case !errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("duckdb: catalog %s: %w", c.name, err)
	case !create:
		return fmt.Errorf("catalog %q has no file %s; catalogs here: %s: %w", c.name, filepath.Base(c.path), strings.Join(w.catalogNames(), ", "), warehouse.ErrTableNotFound)
	default:
		if err := w.createCatalog(ctx, c); err != nil {
			return fmt.Errorf("duckdb: making catalog %s: %w", c.name, sqlError(ctx, err))
		}
	}
	if _, err := w.db.ExecContext(ctx, "ATTACH "+literal(c.path)+" AS "+ident(c.name)); err != nil {
		return fmt.Errorf("attaching %s: %w", c.path, sqlError(ctx, err))
	}
	c.attached = true
	return nil
}

// createCatalog keeps D4: DuckDB itself leaves an unreadable file when it is killed between creating it and writing its
// header.
func (w *Warehouse) createCatalog(ctx context.Context, c *catalog) error {
	alias := fmt.Sprintf("unfinished_%d", w.serial.Add(1))
	tmp := filepath.Join(w.dir, unfinishedPrefix+alias+".duckdb")
	if _, err := w.db.ExecContext(ctx, "ATTACH "+literal(tmp)+" AS "+ident(alias)); err != nil {
		return errors.Join(err, removeIfThere(tmp))
	}
	// Not ctx: a file that stays attached could not be renamed safely.
	if _, err := w.db.ExecContext(context.WithoutCancel(ctx), "DETACH "+ident(alias)); err != nil {
		return err
	}
	if err := publish(tmp, c.path); err != nil {
		return errors.Join(err, removeIfThere(tmp))
	}
	return nil
}

// catalogNames lists the catalogs on disk.
func (w *Warehouse) catalogNames() []string {
	entries, _ := os.ReadDir(w.dir) // a directory that cannot be listed shows when a catalog is attached
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".duckdb"); ok && !strings.HasPrefix(name, ".") {
			names = append(names, name)
		}
	}
	return names
}
