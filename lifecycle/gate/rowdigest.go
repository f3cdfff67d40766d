package gate

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	mathbits "math/bits"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
)

// rowDigest identifies a set of rows, whatever their order: the sum modulo 2^128 of the first 16 bytes of SHA-256 over each
// row's values, and the number of rows. It is of the key columns and the label, where the policy names keys, otherwise of
// all columns but the predictions, so that two versions with the same holdout rows have the same digest though their files
// differ.
type rowDigest struct {
	columns []int
	hi, lo  uint64
	rows    int64
	buf     []byte
}

func newRowDigest(schema *arrow.Schema, keys []string, label string) (*rowDigest, error) {
	d := &rowDigest{}
	if len(keys) > 0 {
		for _, k := range append(slices.Clone(keys), label) {
			at := schema.FieldIndices(k)
			if len(at) != 1 {
				return nil, fmt.Errorf("%w: %d columns are named %q, want the key there", errHoldout, len(at), k)
			}
			d.columns = append(d.columns, at[0])
		}
		return d, nil
	}
	for i, f := range schema.Fields() {
		if !isPrediction(f.Name) {
			d.columns = append(d.columns, i)
		}
	}
	slices.SortFunc(d.columns, func(a, b int) int { return strings.Compare(schema.Field(a).Name, schema.Field(b).Name) })
	return d, nil
}

// isPrediction knows raw, raw_0, ..., pred, pred_0, ...
func isPrediction(name string) bool {
	for _, p := range []string{"raw", "pred"} {
		rest, ok := strings.CutPrefix(name, p)
		if ok && (rest == "" || rest[0] == '_' && len(rest) > 1 && strings.Trim(rest[1:], "0123456789") == "") {
			return true
		}
	}
	return false
}

func (d *rowDigest) add(rec arrow.Record) {
	for row := range int(rec.NumRows()) {
		d.buf = d.buf[:0]
		for _, c := range d.columns {
			col := rec.Column(c)
			if col.IsNull(row) {
				d.buf = append(d.buf, 0)
				continue
			}
			v := col.ValueStr(row)
			d.buf = append(d.buf, 1)
			d.buf = binary.AppendUvarint(d.buf, uint64(len(v)))
			d.buf = append(d.buf, v...)
		}
		h := sha256.Sum256(d.buf)
		var carry uint64
		d.lo, carry = mathbits.Add64(d.lo, binary.BigEndian.Uint64(h[8:]), 0)
		d.hi, _ = mathbits.Add64(d.hi, binary.BigEndian.Uint64(h[:]), carry)
	}
	d.rows += rec.NumRows()
}

// sum is "rows:<number>:<32 hex digits>".
func (d *rowDigest) sum() string { return fmt.Sprintf("rows:%d:%016x%016x", d.rows, d.hi, d.lo) }
