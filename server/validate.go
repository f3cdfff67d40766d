package server

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
	"github.com/treeline-ml/treeline/lifecycle/version"
	"github.com/treeline-ml/treeline/warehouse"
)

// The longest texts that requests may carry, in bytes.
const (
	maxActorBytes  = 128
	maxReasonBytes = 4096
	maxLabelBytes  = 256 // run ids, git shas, tag keys
	maxTagBytes    = 4096
	maxTags        = 100
	maxGates       = 64
	maxPathBytes   = 4096
	maxTokenBytes  = 1024
	maxPageSize    = 1000
	maxRowsLimit   = 1000
)

// requestError lists everything that is wrong with a request, field by field.
type requestError struct {
	fields []*errdetails.BadRequest_FieldViolation
}

func (e *requestError) Error() string {
	parts := make([]string, len(e.fields))
	for i, f := range e.fields {
		parts[i] = f.GetField() + ": " + f.GetDescription()
	}
	return "invalid request: " + strings.Join(parts, "; ")
}

// check collects the violations of one request.
type check struct {
	fields []*errdetails.BadRequest_FieldViolation
}

func (c *check) failf(field, format string, args ...any) {
	c.fields = append(c.fields, &errdetails.BadRequest_FieldViolation{
		Field: field, Description: fmt.Sprintf(format, args...),
	})
}

func (c *check) err() error {
	if len(c.fields) == 0 {
		return nil
	}
	return &requestError{fields: c.fields}
}

// model wants a name that a version could be registered under.
func (c *check) model(field, name string) {
	if name == "" {
		c.failf(field, "is empty; name a model")
		return
	}
	if err := version.CheckName(name); err != nil {
		c.failf(field, "%v", err)
	}
}

// modelFilter is model where empty means all models.
func (c *check) modelFilter(field, name string) {
	if name != "" {
		c.model(field, name)
	}
}

func (c *check) ref(field string, ref *scoringv1.ModelRef) {
	if ref == nil {
		c.failf(field, "is missing; name a model")
		return
	}
	c.model(field+".name", ref.GetName())
	c.version(field+".version", ref.GetVersion())
}

func (c *check) version(field string, v int64) {
	if v < 0 {
		c.failf(field, "is %d; versions start at 1, and 0 leaves the choice to the server", v)
	}
}

func (c *check) generation(field string, g *int64) {
	if g != nil && *g < 0 {
		c.failf(field, "is %d; generations start at 0", *g)
	}
}

// date wants an empty text or a day as YYYY-MM-DD.
func (c *check) date(field, s string) {
	if s == "" {
		return
	}
	if _, err := time.Parse(time.DateOnly, s); err != nil {
		c.failf(field, "%q is not a day written as YYYY-MM-DD", clip(s))
	}
}

func (c *check) pageSize(field string, n int32) {
	if n < 0 || n > maxPageSize {
		c.failf(field, "is %d; use 1 to %d, or 0 for the default", n, maxPageSize)
	}
}

func (c *check) rowsLimit(field string, n int32) {
	if n < 0 || n > maxRowsLimit {
		c.failf(field, "is %d; use 1 to %d, or 0 for the default", n, maxRowsLimit)
	}
}

func (c *check) table(field, s string) {
	if s == "" {
		return
	}
	if len(s) > maxPathBytes {
		c.failf(field, "has %d bytes, at most %d are accepted", len(s), maxPathBytes)
		return
	}
	if _, err := warehouse.ParseTableName(s); err != nil {
		c.failf(field, "%v", err)
	}
}

func (c *check) outputFile(field, s string) {
	if s == "" {
		return
	}
	if c.line(field, s, maxPathBytes); len(s) > maxPathBytes {
		return
	}
	if _, err := warehouse.OutputFile(s); err != nil {
		c.failf(field, "%v", err)
	}
}

func (c *check) batchID(field, id string) {
	if len(id) != 36 || uuid.Validate(id) != nil {
		c.failf(field, "%q is not a batch id; ids look like 4c9b0f0e-8d0c-5a3e-9f7e-2b8f0d1c6a55", clip(id))
	}
}

// id wants an id that some answer had: printable, without spaces.
func (c *check) id(field, id string) {
	if !saneID(id) {
		c.failf(field, "%q is not an id that an answer had", clip(id))
	}
}

// text wants at most limit bytes of valid UTF-8 without control characters.
func (c *check) text(field, s string, limit int) {
	switch {
	case len(s) > limit:
		c.failf(field, "has %d bytes, at most %d are accepted", len(s), limit)
	case !utf8.ValidString(s):
		c.failf(field, "is not valid UTF-8")
	case strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }):
		c.failf(field, "contains control characters")
	}
}

// line is text on one line.
func (c *check) line(field, s string, limit int) {
	if strings.ContainsAny(s, "\n\t") {
		c.failf(field, "contains line breaks or tabs")
		return
	}
	c.text(field, s, limit)
}

func (c *check) actor(field, s string) { c.line(field, s, maxActorBytes) }

func (c *check) reason(field, s string) {
	if strings.TrimSpace(s) == "" {
		c.failf(field, "is empty; say why, for the audit trail")
		return
	}
	c.text(field, s, maxReasonBytes)
}

// gates wants names of gates, none twice.
func (c *check) gates(field string, names []string) {
	if len(names) > maxGates {
		c.failf(field, "has %d entries, at most %d are accepted", len(names), maxGates)
		return
	}
	for i, n := range names {
		at := fmt.Sprintf("%s[%d]", field, i)
		if n == "" {
			c.failf(at, "is empty")
		}
		c.line(at, n, maxLabelBytes)
	}
}

func (c *check) tags(field string, tags map[string]string) {
	if len(tags) > maxTags {
		c.failf(field, "has %d entries, at most %d are accepted", len(tags), maxTags)
		return
	}
	for k, v := range tags {
		if k == "" {
			c.failf(field, "has an empty key")
			continue
		}
		c.line(field+"["+clip(k)+"]", k, maxLabelBytes)
		c.text(field+"["+clip(k)+"]", v, maxTagBytes)
	}
}

// checkActor checks the actor of the metadata.
func checkActor(field, s string) error {
	var c check
	c.actor(field, s)
	return c.err()
}

// clip shortens a caller's text for a message.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}
