// Package warehouse is the seam to tables: pin a version of an input, stream it as Arrow, and replace the rows of one
// batch in an output table in a single atomic step.
//
// Implementations live below (duckdb, databricks); warehousetest is the suite that each of them passes.
//
// # Invariants
//
//	W1  Read of one Ref returns the same rows in the same order, whatever happens to the table meanwhile.
//	W2  Before Commit returns nil, no reader of the target sees any row of the batch; after it, all of them.
//	W3  Commit replaces the rows of its batch id: any number of runs of one batch leave exactly one copy of each row.
//	W4  A stream that ended without error has delivered Ref.Rows rows: truncation is an error.
//
// # Concurrency
//
// A Warehouse serves any number of goroutines. A RecordStream and a Writer belong to one goroutine at a time.
//
// # Ownership
//
// Records from RecordStream.Next are the caller's to Release. Writer.Write borrows its record until it returns.
package warehouse

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
)

// Sentinel errors; the server maps them to status codes.
var (
	// ErrTableNotFound: the named table or file does not exist. The caller fixes the name.
	ErrTableNotFound = errors.New("warehouse: table not found")
	// ErrEmptyTable: the input has no rows, so a batch of it would say nothing.
	ErrEmptyTable = errors.New("warehouse: table is empty")
	// ErrTargetMismatch: the output table exists with other columns. The message lists every difference.
	ErrTargetMismatch = errors.New("warehouse: output table has other columns")
	// ErrColumn: a requested column is absent or of a type that cannot be read.
	ErrColumn = errors.New("warehouse: column")
	// ErrSQL: a query is not one SELECT over tables, or does not run. The message says where. The author of the query acts.
	ErrSQL = errors.New("warehouse: query")
	// ErrDuplicateKey: key columns do not identify rows. The message shows examples of the keys' count, not their values.
	ErrDuplicateKey = errors.New("warehouse: duplicate keys")
	// ErrNullKey: key columns hold nulls, so those rows cannot be named. The message shows their number.
	ErrNullKey = errors.New("warehouse: null keys")
	// ErrConflict: another writer committed the same batch concurrently. Run the batch again.
	ErrConflict = errors.New("warehouse: concurrent commit of the same batch")
	// ErrLocked: another process holds the files.
	ErrLocked = errors.New("warehouse: files are in use by another process")
	// ErrSnapshotGone: the pinned snapshot was removed or altered.
	ErrSnapshotGone = errors.New("warehouse: snapshot no longer available")
	// ErrBatchNotFound: the output table has no such batch.
	ErrBatchNotFound = errors.New("warehouse: batch not found in output table")
	// ErrDamaged: stored tables cannot be read: damaged, foreign, or written by a newer release. Restore them from a backup.
	ErrDamaged = errors.New("warehouse: stored tables cannot be read")
	// ErrClosed: the warehouse was closed.
	ErrClosed = errors.New("warehouse: closed")
	// ErrFull: the disk is full. Nothing was committed.
	ErrFull = errors.New("warehouse: no space left")
)

// TableName is a three-level name, catalog.schema.table.
type TableName struct{ Catalog, Schema, Table string }

// ParseTableName splits "catalog.schema.table". Parts are letters, digits and underscores.
func ParseTableName(s string) (TableName, error) {
	parts := strings.Split(s, ".")
	if len(parts) != 3 {
		return TableName{}, fmt.Errorf("table name %q has %d parts, want catalog.schema.table", s, len(parts))
	}
	for _, p := range parts {
		if !validIdentifier(p) {
			return TableName{}, fmt.Errorf("table name %q: part %q is not letters, digits and underscores", s, p)
		}
	}
	return TableName{Catalog: parts[0], Schema: parts[1], Table: parts[2]}, nil
}

func (n TableName) String() string { return n.Catalog + "." + n.Schema + "." + n.Table }

func validIdentifier(s string) bool {
	if s == "" || len(s) > 255 {
		return false
	}
	for i, r := range s {
		switch {
		case r == '_', r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z':
		case r >= '0' && r <= '9' && i > 0:
		default:
			return false
		}
	}
	return true
}

// Input names what a batch reads: a table, or files by path or glob (.parquet, .arrow, .csv).
type Input struct {
	Table TableName
	Files string // path or glob; used when set
	// DateColumn and Date restrict a table or files to one day, DateColumn and Through to the days up to and including one.
	// Rows without a date are left out then. At most one of Date and Through may be set.
	DateColumn string
	Date       string // YYYY-MM-DD
	Through    string // YYYY-MM-DD
	// Columns to read, in this order. Empty means all.
	Columns []string
	// Keys must identify rows; checked when the snapshot is made.
	Keys []string
}

// Source is the table name or path, for messages and lineage.
func (in Input) Source() string {
	if in.Files != "" {
		return in.Files
	}
	return in.Table.String()
}

// Ref is a pinned version of an input.
type Ref struct {
	Source string // table name or path
	// Version identifies the content: equal versions mean equal rows.
	Version string
	Rows    int64
	Schema  *arrow.Schema
	// Location is where the pinned rows are kept, for the implementation's own use.
	Location string
}

// Query reads a pinned version.
type Query struct {
	Ref     Ref
	Columns []string // subset of the schema, in this order; empty means all
	// MaxBytes bounds the decoded bytes that the stream keeps in flight; 0 means the implementation's default.
	MaxBytes int64
	// BatchRows is the wanted number of rows a record; 0 means the implementation's default.
	BatchRows int
	// Threads bounds decoding parallelism; 0 means GOMAXPROCS.
	Threads int
}

// RecordStream delivers records in the input's order.
type RecordStream interface {
	Schema() *arrow.Schema
	// Next returns the next record, or io.EOF after the last. The caller releases it.
	Next(ctx context.Context) (arrow.Record, error)
	Close() error
}

// BatchID identifies a batch: a UUID that is the same for the same model, config and input snapshot.
type BatchID string

// Target is the output and the shape of its rows.
type Target struct {
	Table TableName
	// File is the absolute path of a Parquet file that Commit puts in place of Table: it then holds this batch and nothing
	// else. A file that is there is replaced when it is an output of ours; Begin fails with ErrTargetMismatch when it is not.
	File string
	// Schema is what this batch writes. A missing table is created with these columns.
	Schema *arrow.Schema
	// Required names the columns that an existing table must have; it may lack any other of Schema (they are then not
	// written) and must have no column outside Schema.
	Required []string
	// BatchColumn is the column of Schema that holds the batch id.
	BatchColumn string
	// Keys and OrderColumn define the view <table>_current: one row a key, the newest by OrderColumn among batches that
	// are not superseded.
	Keys        []string
	OrderColumn string
}

// Writer stages the rows of one batch and makes them visible at once.
type Writer interface {
	// Write stages a record with Target.Schema.
	Write(ctx context.Context, rec arrow.Record) error
	// Commit replaces the rows of the batch id by the staged ones in one atomic step and verifies their number.
	Commit(ctx context.Context) (Commit, error)
	// Abort removes everything staged. It is a no-op after Commit.
	Abort(ctx context.Context) error
}

// Commit describes a finished write.
type Commit struct {
	Rows        int64
	Version     string    // the output's version after the commit, where the warehouse has versions
	CommittedAt time.Time // of this batch id's rows
	Replaced    bool      // rows of an earlier run were replaced
}

// Materialisation is a query whose rows are one day of a features table.
type Materialisation struct {
	Table TableName // that the rows are put into; created when missing
	// SQL is one SELECT. It names tables as catalog.schema.table and reads nothing else. :compute_date stands for Date and
	// is bound as a value of type DATE.
	SQL string
	// DateColumn is the column of the result that holds the day; each row must have Date there.
	DateColumn string
	Date       string // YYYY-MM-DD
	// CodeDigest identifies everything that decides the rows besides SQL; another digest computes them again.
	CodeDigest string
}

// Materialised describes the rows of one day of a features table.
type Materialised struct {
	Computed bool   // false: an earlier computation still stands
	Rows     int64  // of the day
	Version  string // identifies their content: equal versions mean equal rows
}

// LabelQuery asks for the scores of a batch beside what became of their rows.
type LabelQuery struct {
	Batch  BatchID
	Table  TableName // the output table of the batch
	Score  string    // its column
	Keys   []string  // columns of both tables that identify a row
	Labels TableName
	Label  string // column of Labels: a number or a boolean; null is not known yet
	// DateColumn and Date restrict Labels to one day. Empty means all of them.
	DateColumn, Date string
	// AvailableColumn is a day or time of Labels; only rows at or before At count. Empty means all of them.
	AvailableColumn string
	At              time.Time
	// Limit bounds the rows of the stream: of more, those whose keys have the lowest hashes are taken. 0 means all.
	Limit int64
}

// Warehouse is implemented by each kind of warehouse.
type Warehouse interface {
	// Describe returns all columns of the input, with the types that Read will deliver, without reading its rows, so that
	// a caller can name every column that does not fit before anything is copied. It ignores Columns, Keys and Date and
	// fails with ErrTableNotFound.
	Describe(ctx context.Context, in Input) (*arrow.Schema, error)
	// Snapshot pins the input's current content and returns a reference to it. It fails with ErrTableNotFound,
	// ErrEmptyTable, ErrColumn, ErrNullKey or ErrDuplicateKey.
	Snapshot(ctx context.Context, in Input) (Ref, error)
	// Read streams a pinned version.
	Read(ctx context.Context, q Query) (RecordStream, error)
	// Materialise replaces the rows of one day of a features table by what the query selects, in one atomic step. When the
	// table still holds what an earlier call with the same SQL, digest and day put there, nothing is computed. Calls for
	// the same table and day take turns, so that of equal ones the first computes. It fails with ErrSQL, ErrTableNotFound
	// (of a table that the query names), ErrEmptyTable (the query gives no rows), ErrColumn (the date column is absent or
	// has another day) or ErrTargetMismatch; the table is then as it was.
	Materialise(ctx context.Context, m Materialisation) (Materialised, error)
	// Begin checks the target (ErrTargetMismatch) and opens a staging area for the batch.
	Begin(ctx context.Context, id BatchID, t Target) (Writer, error)
	// Rows returns up to limit rows of a batch from its output: of a table ordered by the target's keys, of a file its first
	// ones. It fails with ErrBatchNotFound when a file is gone or holds another batch by now.
	Rows(ctx context.Context, id BatchID, from Output, limit int) (RecordStream, error)
	// Labelled joins the rows of a batch that have a score with the labels that are known of them, and returns a stream of
	// (score DOUBLE, label DOUBLE), in any order, and how many rows have both, whatever the limit of the stream. It fails with ErrBatchNotFound (the table holds no
	// batches), ErrTableNotFound, ErrColumn, or ErrDuplicateKey (a row has several labels).
	Labelled(ctx context.Context, q LabelQuery) (RecordStream, int64, error)
	// Supersede marks a batch as replaced by another one, so that the _current view passes over it. A later commit of
	// the same batch id lifts the mark. It fails with ErrBatchNotFound when old was never committed.
	Supersede(ctx context.Context, t TableName, old, by BatchID) error
	// MirrorPromotions inserts audit rows into mlflow.model.promotions; rows already there (by Seq) are left alone.
	MirrorPromotions(ctx context.Context, rows []PromotionRow) error
	// MirrorStatistics replaces what the tables of mlflow.monitoring hold of the subjects, all or none. They are in
	// docs/format/statistics.md.
	MirrorStatistics(ctx context.Context, subjects []Statistics) error
	Close() error
}

// PromotionRow is one row of the user's audit view.
type PromotionRow struct {
	Seq        int64
	Model      string
	Version    int64
	Timestamp  time.Time
	PromotedBy string
	FromStage  string
	ToStage    string
}
