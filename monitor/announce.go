package monitor

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/treeline-ml/treeline/store"
)

// OutboxKind marks the outbox rows that say that statistics changed. Package table delivers them to the warehouse.
const OutboxKind = "statistics"

// Announcement is the payload of such a row: whose statistics. What they are is read when it is delivered.
type Announcement struct {
	Model   string `json:"model"`
	Kind    string `json:"kind"` // store.ProfileOfBatch or store.ProfileOfTraining
	Subject string `json:"subject"`
}

// Announce puts into the outbox that something about a subject changed, in the transaction that changes it.
func Announce(tx store.Tx, s Subject) error {
	a := Announcement{Model: s.Model, Kind: s.Kind, Subject: s.Subject}
	payload, err := json.Marshal(a)
	if err != nil {
		return err
	}
	// A key identifies an outbox row for ever, and the same subject may change twice at the same instant.
	const tries = 16
	for i := range tries {
		sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %d %d", a.Model, a.Kind, a.Subject, s.At.UnixNano(), i))
		key := int64(binary.LittleEndian.Uint64(sum[:]) >> 1)
		_, err = tx.Enqueue(store.OutboxRow{Kind: OutboxKind, Key: key, Payload: payload, CreatedAt: s.At})
		if !errors.Is(err, store.ErrConflict) {
			break
		}
	}
	return err
}
