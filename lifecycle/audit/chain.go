package audit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/treeline-ml/treeline/store"
)

// domain separates these hashes from any other use of SHA-256.
const domain = "treeline-audit-v1\n"

const timeLayout = "2006-01-02T15:04:05.000000Z"

// genesis is the prev_hash of the first entry.
func genesis() string { return strings.Repeat("0", 2*sha256.Size) }

// Canonical is the canonical JSON of an entry: the fields in this order, no spaces, text escaped as by canonicalText.
// PrevHash and Hash are not part of it.
func (e *Entry) Canonical() []byte {
	b := make([]byte, 0, 512)
	b = append(b, `{"seq":`...)
	b = strconv.AppendInt(b, e.Seq, 10)
	b = append(b, `,"ts":"`...)
	b = e.At.UTC().AppendFormat(b, timeLayout)
	b = append(b, `","actor":`...)
	b = appendText(b, e.Actor)
	b = append(b, `,"auth_method":`...)
	b = appendText(b, e.AuthMethod)
	b = append(b, `,"action":`...)
	b = appendText(b, e.Action)
	b = append(b, `,"model":`...)
	b = appendText(b, e.Model)
	b = append(b, `,"version":`...)
	b = strconv.AppendInt(b, e.Version, 10)
	b = append(b, `,"from_stage":`...)
	b = appendText(b, e.FromStage)
	b = append(b, `,"to_stage":`...)
	b = appendText(b, e.ToStage)
	b = append(b, `,"generation":`...)
	b = strconv.AppendInt(b, e.Generation, 10)
	b = append(b, `,"reason":`...)
	b = appendText(b, e.Reason)
	b = append(b, `,"evidence_digest":`...)
	b = appendText(b, e.EvidenceDigest)
	b = append(b, `,"request_id":`...)
	b = appendText(b, e.RequestID)
	return append(b, '}')
}

// appendText writes a JSON string with the fewest escapes: \" \\ \b \f \n \r \t, \u00xx for the other characters below
// U+0020, everything else as UTF-8. encoding/json escapes more (<, >, &, U+2028), which other languages do not.
func appendText(b []byte, s string) []byte {
	const hexDigits = "0123456789abcdef"
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c >= 0x20:
			b = append(b, c)
		case c == '\b':
			b = append(b, '\\', 'b')
		case c == '\f':
			b = append(b, '\\', 'f')
		case c == '\n':
			b = append(b, '\\', 'n')
		case c == '\r':
			b = append(b, '\\', 'r')
		case c == '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(b, '"')
}

// digest computes the entry's hash from its fields and PrevHash.
func (e *Entry) digest() string {
	h := sha256.New()
	h.Write([]byte(domain))
	h.Write(e.Canonical())
	h.Write([]byte(e.PrevHash))
	return hex.EncodeToString(h.Sum(nil))
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

// broken ends a walk at the first entry that does not fit.
type broken struct {
	seq     int64
	problem string
}

func (b *broken) Error() string { return fmt.Sprintf("audit: seq %d: %s", b.seq, b.problem) }

// Verify recomputes the chain from the first entry on and compares its end with the recorded one, on one snapshot of the
// store. A chain that does not fit is a Result, not an error.
func (s *Service) Verify(ctx context.Context) (Result, error) {
	var r Result
	err := s.store.View(ctx, func(reader store.Reader) error {
		var err error
		r, err = verify(reader)
		return err
	})
	return r, err
}

func verify(reader store.Reader) (Result, error) {
	r := Result{Head: genesis()}
	err := reader.WalkAudit(func(row store.AuditRow) error {
		if b := r.fits(Entry(row)); b != nil {
			return b
		}
		r.Entries, r.Head = row.Seq, row.Hash
		return nil
	})
	if err == nil {
		err = r.ends(reader)
	}
	var b *broken
	switch {
	case errors.As(err, &b):
		r.BrokenSeq, r.Problem = b.seq, b.problem
		return r, nil
	case errors.Is(err, store.ErrCorrupt):
		r.BrokenSeq, r.Problem = r.Entries+1, "the entry or the end record cannot be read: "+err.Error()
		return r, nil
	case err != nil:
		return Result{}, err
	}
	r.Valid = true
	return r, nil
}

// fits checks the next entry against the chain so far.
func (r *Result) fits(e Entry) *broken {
	want := r.Entries + 1
	switch {
	case e.Seq > want:
		return &broken{want, fmt.Sprintf("missing row: the entry after %d is %d", r.Entries, e.Seq)}
	case e.Seq < want:
		return &broken{want, fmt.Sprintf("unexpected row: seq is %d, want %d", e.Seq, want)}
	case e.PrevHash != r.Head:
		return &broken{e.Seq, fmt.Sprintf("altered row: prev_hash is %.16s..., the hash of entry %d is %.16s...",
			e.PrevHash, r.Entries, r.Head)}
	}
	if h := e.digest(); h != e.Hash {
		return &broken{e.Seq, fmt.Sprintf("altered row: its fields hash to %.16s..., the row has %.16s...", h, e.Hash)}
	}
	return nil
}

// ends compares the last entry with the recorded end.
func (r *Result) ends(reader store.Reader) error {
	head, err := reader.AuditHead()
	switch {
	case err != nil:
		return err
	case head.Seq > r.Entries:
		return &broken{r.Entries + 1, fmt.Sprintf("missing row: the log ends at %d, its end record says %d", r.Entries, head.Seq)}
	case head.Seq < r.Entries:
		return &broken{head.Seq + 1, fmt.Sprintf("head mismatch: the log ends at %d, its end record says %d", r.Entries, head.Seq)}
	case head.Hash != r.Head:
		return &broken{r.Entries, fmt.Sprintf("head mismatch: the last hash is %.16s..., its end record says %.16s...", r.Head, head.Hash)}
	}
	return nil
}
