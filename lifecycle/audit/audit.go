package audit

import (
	"context"
	"time"

	"github.com/treeline-ml/treeline/store"
)

// Entry is one audited change.
type Entry struct {
	Seq            int64
	At             time.Time
	Actor          string
	AuthMethod     string // how Actor was established; "none" until tokens exist
	Action         string // "register", "validate", "reject", "promote", "archive", "rollback", "quarantine"
	Model          string
	Version        int64
	FromStage      string
	ToStage        string
	Generation     int64
	Reason         string
	EvidenceDigest string
	RequestID      string
	PrevHash       string // hex
	Hash           string // hex
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

// Result is the outcome of a verification.
type Result struct {
	Valid   bool
	Entries int64  // entries that fit, from the first on
	Head    string // hash of the last entry that fits; 64 zeros for none
	// BrokenSeq is the first entry that does not fit and Problem says why; 0 and empty when valid.
	BrokenSeq int64
	Problem   string
}

// Deps are what a Service needs.
type Deps struct {
	Store store.Store
}

// Service reads and verifies the log. It is safe for concurrent use.
type Service struct{ store store.Store }

// New returns a Service.
func New(d Deps) *Service { return &Service{store: d.Store} }

// List returns entries, newest first, and the token of the next page ("" at the end).
func (s *Service) List(ctx context.Context, f Filter) ([]Entry, string, error) {
	var (
		out  []Entry
		next string
	)
	err := s.store.View(ctx, func(r store.Reader) error {
		rows, token, err := r.Audit(store.AuditQuery(f))
		if err != nil {
			return err
		}
		next = token
		out = make([]Entry, len(rows))
		for i, row := range rows {
			out[i] = Entry(row)
		}
		return nil
	})
	return out, next, err
}
