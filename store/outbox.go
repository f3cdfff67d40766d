package store

import "time"

// The states of an outbox row.
const (
	DeliveryPending   = "pending"
	DeliveryDelivered = "delivered"
	DeliveryDead      = "dead" // given up; kept for replay
)

// OutboxRow is a fact to be told to another system, written in the transaction that made it true.
type OutboxRow struct {
	ID   int64 // assigned by the store, ascending in commit order
	Kind string
	// Key is the row's identity for the receiver, so that telling twice is telling once.
	Key           int64
	Payload       []byte // JSON
	CreatedAt     time.Time
	DeliveredAt   time.Time // zero while undelivered
	Attempts      int
	LastError     string    // of a delivered row: why it was delivered to nobody
	NextAttemptAt time.Time // zero: at once
	DeadAt        time.Time // zero unless it was given up
}

// State is one of DeliveryPending, DeliveryDelivered and DeliveryDead.
func (r *OutboxRow) State() string {
	switch {
	case !r.DeliveredAt.IsZero():
		return DeliveryDelivered
	case !r.DeadAt.IsZero():
		return DeliveryDead
	default:
		return DeliveryPending
	}
}

// DeliveryQuery selects outbox rows. Zero fields do not restrict.
type DeliveryQuery struct {
	Kind  string
	State string
	// PageSize 0 means DefaultPageSize; more than MaxPageSize is cut to it.
	PageSize  int
	PageToken string
}

// AlertRow is an alert that was raised once and, while it is unresolved, counted when it is raised again.
type AlertRow struct {
	ID       int64 // assigned by the store, ascending
	Key      string
	Severity string
	Model    string
	Version  int64
	Title    string
	OpenedAt time.Time
	// LastAt is when it was raised last, Count how often.
	LastAt     time.Time
	Count      int
	ResolvedAt time.Time // zero while unresolved
}

// OutboxReader is the part of Reader about the outbox and the alerts that go through it.
type OutboxReader interface {
	// Outbox lists the due rows of a kind, oldest first: not delivered, not dead, NextAttemptAt not after now. A zero now
	// lists all undelivered rows of the kind, dead ones included.
	Outbox(kind string, now time.Time, limit int) ([]OutboxRow, error)
	// OutboxNext returns when the first pending row of a kind is due, zero for at once; pending is false when it has none.
	OutboxNext(kind string) (next time.Time, pending bool, err error)
	// OutboxKinds lists the kinds that have pending rows, by name.
	OutboxKinds() ([]string, error)
	// OutboxAll lists all rows, delivered ones included, oldest first.
	OutboxAll() ([]OutboxRow, error)
	// Deliveries lists rows, newest first, and the token of the next page ("" at the end).
	Deliveries(q DeliveryQuery) ([]OutboxRow, string, error)
	// Delivery fails with ErrDeliveryNotFound.
	Delivery(id int64) (OutboxRow, error)

	// Alert returns the unresolved alert with this key, or ErrAlertNotFound.
	Alert(key string) (AlertRow, error)
}

// OutboxTx is the part of Tx about the outbox and the alerts that go through it.
type OutboxTx interface {
	// Enqueue adds a pending outbox row that is due at once and returns its id. Kind, Key, Payload and CreatedAt count;
	// ErrConflict when the kind has the key already.
	Enqueue(r OutboxRow) (int64, error)
	// Delivered marks rows as delivered.
	Delivered(ids []int64, at time.Time) error
	// Discard marks rows as delivered to nobody, with the reason as their LastError.
	Discard(ids []int64, at time.Time, reason string) error
	// Undelivered counts a failed attempt for rows and keeps its message. They are due again at next or, when dead, are
	// given up since then.
	Undelivered(ids []int64, message string, next time.Time, dead bool) error
	// Replay makes dead rows pending and due at once, with no attempts so far; ErrConflict when one is not dead,
	// ErrDeliveryNotFound.
	Replay(ids []int64) error

	// InsertAlert adds an unresolved alert and returns its id; ErrConflict when there is one with this key.
	InsertAlert(a AlertRow) (int64, error)
	// UpdateAlert stores LastAt, Count and ResolvedAt of an unresolved alert, or fails with ErrAlertNotFound.
	UpdateAlert(a AlertRow) error
}
