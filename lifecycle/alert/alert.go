// Package alert tells people what needs them: an alert is raised in the transaction of the change that it is about, goes
// through the outbox, and is sent to chat and webhooks.
//
//	Put, in a transaction --> alert row, outbox row --relay--> Sender --POST--> Slack-compatible or signed webhook
//
// # Invariants
//
//	L1  An alert that is raised again before it was resolved is counted and not sent again.
//	L2  What is raised is sent at least once to each receiver; a receiver that took it is not told again by the same
//	    process because another one did not. A webhook knows repetitions by webhook-id.
//	L3  Of a receiver's URL nothing but the host is in errors and logs: with Slack the URL is the credential.
//
// # Concurrency
//
// A Sender serves any number of goroutines.
package alert

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/treeline-ml/treeline/store"
)

// OutboxKind marks the outbox rows of alerts.
const OutboxKind = "alert"

// ErrInvalid: an alert lacks its key or title, has no such severity, or a receiver is configured wrongly.
var ErrInvalid = errors.New("alert: not valid")

// Severity says what is expected of people.
type Severity string

// The severities.
const (
	Page   Severity = "page"   // now
	Ticket Severity = "ticket" // in working hours
	Log    Severity = "log"    // nothing; it is logged and sent to nobody
)

// MaxText is the longest Text in bytes; a longer one is cut.
const MaxText = 8 << 10

// maxLine bounds the other texts.
const maxLine = 512

// Alert is something that people should know.
type Alert struct {
	// Key names the trouble, "churn/train": while it is unresolved, raising it again is the same alert.
	Key      string    `json:"key"`
	Severity Severity  `json:"severity"`
	Model    string    `json:"model,omitempty"`
	Version  int64     `json:"version,omitempty"`
	Title    string    `json:"title"`
	Text     string    `json:"text,omitempty"`
	Owner    string    `json:"owner,omitempty"`   // who is asked
	Command  string    `json:"command,omitempty"` // what to run next
	Link     string    `json:"link,omitempty"`
	At       time.Time `json:"at"`
	Resolved bool      `json:"resolved"` // the trouble is over
}

// Put raises an alert, or resolves it, in the caller's transaction. Resolving what was not raised does nothing. It fails
// with ErrInvalid.
func Put(tx store.Tx, a Alert) error {
	if err := a.tidy(); err != nil {
		return err
	}
	open, err := tx.Alert(a.Key)
	known := err == nil
	if err != nil && !errors.Is(err, store.ErrAlertNotFound) {
		return err
	}
	open.LastAt = a.At
	switch {
	case a.Resolved && !known:
		return nil
	case a.Resolved:
		open.ResolvedAt = a.At
		if err := tx.UpdateAlert(open); err != nil {
			return err
		}
		return enqueue(tx, 2*open.ID+1, a)
	case known:
		open.Count++
		return tx.UpdateAlert(open)
	}
	id, err := tx.InsertAlert(store.AlertRow{
		Key: a.Key, Severity: string(a.Severity), Model: a.Model, Version: a.Version, Title: a.Title, OpenedAt: a.At,
		LastAt: a.At, Count: 1,
	})
	if err != nil {
		return err
	}
	return enqueue(tx, 2*id, a)
}

func enqueue(tx store.Tx, key int64, a Alert) error {
	payload, err := json.Marshal(a)
	if err != nil {
		return err
	}
	_, err = tx.Enqueue(store.OutboxRow{Kind: OutboxKind, Key: key, Payload: payload, CreatedAt: a.At})
	return err
}

// tidy checks an alert and bounds its texts.
func (a *Alert) tidy() error {
	switch {
	case a.Key == "" || len(a.Key) > maxLine:
		return fmt.Errorf("%w: the key has %d bytes, want 1 to %d", ErrInvalid, len(a.Key), maxLine)
	case a.Severity != Page && a.Severity != Ticket && a.Severity != Log:
		return fmt.Errorf("%w: %s has severity %q, want page, ticket or log", ErrInvalid, a.Key, a.Severity)
	case a.Title == "" && !a.Resolved:
		return fmt.Errorf("%w: %s has no title", ErrInvalid, a.Key)
	case a.At.IsZero():
		return fmt.Errorf("%w: %s has no time", ErrInvalid, a.Key)
	}
	a.At = a.At.UTC().Truncate(time.Microsecond)
	a.Text = cut(a.Text, MaxText)
	for _, line := range []*string{&a.Model, &a.Title, &a.Owner, &a.Command, &a.Link} {
		*line = cut(strings.Join(strings.Fields(*line), " "), maxLine)
	}
	return nil
}

// cut makes a text valid UTF-8 of at most n bytes.
func cut(s string, n int) string {
	const more = "..."
	s = strings.ToValidUTF8(s, "?")
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n-len(more)], "") + more
}
