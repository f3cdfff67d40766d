package store

import "time"

// AuditRow is one entry of the audit log as stored; docs/format/audit.md has the meaning of each field.
type AuditRow struct {
	Seq            int64
	At             time.Time
	Actor          string
	AuthMethod     string
	Action         string
	Model          string
	Version        int64
	FromStage      string
	ToStage        string
	Generation     int64
	Reason         string
	EvidenceDigest string
	RequestID      string
	PrevHash       string // 64 lower-case hex digits
	Hash           string // 64 lower-case hex digits
}

// AuditHead is the recorded end of the chain: the number of rows ever appended and the last hash.
type AuditHead struct {
	Seq  int64
	Hash string
}

// AuditQuery selects audit rows. Zero fields do not restrict.
type AuditQuery struct {
	Model   string
	Version int64
	Action  string
	// PageSize 0 means DefaultPageSize; more than MaxPageSize is cut to it.
	PageSize  int
	PageToken string
}

// The sizes of listings.
const (
	DefaultPageSize = 100
	MaxPageSize     = 1000
)
