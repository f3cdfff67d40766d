// Package audit is the append-only, hash-chained record of every change of a model version.
//
//	hash(n) = SHA-256( domain || canonical JSON of entry n || hash(n-1) )
//
// An entry is appended inside the transaction that makes its change, so there is no change without an entry and no entry
// without its change. docs/format/audit.md defines the canonical JSON for readers in other languages; chain_test.go holds
// the code to a vector that a Python script made.
//
// # Invariants
//
//	A1  seq counts 1, 2, 3, ... without a gap, and each entry's prev_hash is the hash of the one before.
//	A2  The store records the end of the chain in the same transaction, so a cut-off tail shows.
//	A3  Each entry that changes a stage has one outbox row of OutboxKind, from the same transaction.
//	A4  An entry never changes; the store's schema refuses it, and Verify finds it if someone did it all the same.
//
// Verify proves that the log is whole as far as its own end record goes. Whoever can write the file can also write a
// whole new chain; to find that, compare Result.Head with one that was noted elsewhere.
//
// # Concurrency
//
// A Service serves any number of goroutines.
package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/treeline-ml/treeline/store"
)

// ErrInvalid means that a text of an entry is not UTF-8, has a NUL in it, or is too long. The caller shortens or cleans it.
var ErrInvalid = errors.New("audit: entry not valid")

// MaxText is the longest text field in bytes.
const MaxText = 4096

// Entry is one audited change.
type Entry struct {
	Seq            int64     // assigned by Append
	At             time.Time // UTC, microseconds
	Actor          string
	AuthMethod     string // how Actor was established; "none" when nobody checked
	Action         string // "register", "validate", "reject", "promote", "archive", "rollback", "quarantine"
	Model          string
	Version        int64
	FromStage      string // empty when the version is new
	ToStage        string
	Generation     int64 // the model's, after the change
	Reason         string
	EvidenceDigest string // "sha256:<hex>" of the validation report that the change rests on, or empty
	RequestID      string
	PrevHash       string // hex, assigned by Append
	Hash           string // hex, assigned by Append
}

// Filter selects entries. Zero fields do not restrict.
type Filter struct {
	Model   string
	Version int64
	Action  string
	// PageSize 0 means 100; at most 1000.
	PageSize  int
	PageToken string
}

// OutboxKind marks the outbox rows of stage changes, for the external registry. Their key is the entry's Seq.
const OutboxKind = "registry"

// StageChange is the payload of an outbox row of OutboxKind.
type StageChange struct {
	Model      string `json:"model"`
	Version    int64  `json:"version"`
	From       string `json:"from"` // empty when the version is new
	To         string `json:"to"`
	Generation int64  `json:"generation"` // the model's, after the change
	Seq        int64  `json:"seq"`
}

// Append adds an entry to the chain inside the caller's transaction and returns it with Seq, PrevHash and Hash. An entry
// that changes a stage goes to the outbox too. An empty Actor is recorded as "unknown" and an empty AuthMethod as "none".
// It fails with ErrInvalid.
func Append(tx store.Tx, e Entry) (Entry, error) {
	if e.Actor == "" {
		e.Actor = "unknown"
	}
	if e.AuthMethod == "" {
		e.AuthMethod = "none"
	}
	if err := e.check(); err != nil {
		return Entry{}, err
	}
	head, err := tx.AuditHead()
	if err != nil {
		return Entry{}, err
	}
	e.At = e.At.UTC().Truncate(time.Microsecond) // what a reader will see and hash
	e.Seq, e.PrevHash = head.Seq+1, head.Hash
	e.Hash = e.digest()
	if err := tx.AppendAudit(store.AuditRow(e)); err != nil || e.FromStage == e.ToStage {
		return e, err
	}
	payload, err := json.Marshal(StageChange{
		Model: e.Model, Version: e.Version, From: e.FromStage, To: e.ToStage, Generation: e.Generation, Seq: e.Seq,
	})
	if err != nil {
		return Entry{}, err
	}
	_, err = tx.Enqueue(store.OutboxRow{Kind: OutboxKind, Key: e.Seq, Payload: payload, CreatedAt: e.At})
	return e, err
}

func (e *Entry) check() error {
	for _, f := range e.texts() {
		switch {
		case len(f.value) > MaxText:
			return fmt.Errorf("%s has %d bytes, at most %d: %w", f.name, len(f.value), MaxText, ErrInvalid)
		case !utf8.ValidString(f.value):
			return fmt.Errorf("%s is not UTF-8: %w", f.name, ErrInvalid)
		case strings.ContainsRune(f.value, 0):
			return fmt.Errorf("%s has a NUL character: %w", f.name, ErrInvalid)
		}
	}
	if y := e.At.UTC().Year(); y < 1 || y > 9999 || e.At.IsZero() {
		return fmt.Errorf("ts is in year %d: %w", y, ErrInvalid)
	}
	return nil
}

type text struct{ name, value string }

func (e *Entry) texts() []text {
	return []text{
		{"actor", e.Actor},
		{"auth_method", e.AuthMethod},
		{"action", e.Action},
		{"model", e.Model},
		{"from_stage", e.FromStage},
		{"to_stage", e.ToStage},
		{"reason", e.Reason},
		{"evidence_digest", e.EvidenceDigest},
		{"request_id", e.RequestID},
	}
}

// Deps are what a Service needs.
type Deps struct {
	Store store.Store
}

// Service reads and verifies the log.
type Service struct{ store store.Store }

// New returns a Service.
func New(d Deps) *Service { return &Service{store: d.Store} }

// List returns entries, newest first, and the token of the next page ("" at the end). It fails with store.ErrPageToken.
func (s *Service) List(ctx context.Context, f Filter) (entries []Entry, next string, err error) {
	err = s.store.View(ctx, func(r store.Reader) error {
		rows, token, err := r.Audit(store.AuditQuery(f))
		if err != nil {
			return err
		}
		next = token
		entries = make([]Entry, len(rows))
		for i, row := range rows {
			entries[i] = Entry(row)
		}
		return nil
	})
	return entries, next, err
}
