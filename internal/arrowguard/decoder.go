package arrowguard

import (
	"fmt"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
)

// decoder turns framed messages into records. It is what Reader, MessageDecoder and File share.
type decoder struct {
	lim    Limits
	mem    *LimitedAllocator
	parsed *parsedSchema
	dicts  map[int64]*dictionary
}

// dictionary is the current content of one dictionary id. Deltas wait in pending until a record needs them, so that
// many deltas in a row cost one concatenation.
type dictionary struct {
	data    *array.Data
	pending []*array.Data
	entries int64
}

func (d *dictionary) release() {
	if d.data != nil {
		d.data.Release()
	}
	for _, p := range d.pending {
		p.Release()
	}
	*d = dictionary{}
}

func newDecoder(l Limits, opts []Option) *decoder {
	l = l.withDefaults()
	return &decoder{
		lim:   l,
		mem:   NewLimitedAllocator(newOptions(opts).mem, l.MaxAllocBytes),
		dicts: map[int64]*dictionary{},
	}
}

func (d *decoder) close() {
	for id, dict := range d.dicts {
		dict.release()
		delete(d.dicts, id)
	}
}

func (d *decoder) setSchema(m *message) (err error) {
	if m.kind != headerSchema {
		return invalid("the first message is a %s, want a schema", headerName(m.kind))
	}
	d.parsed, err = parseSchema(m.header, d.lim, false)
	return err
}

// decode consumes a message after the schema; the record is nil for a dictionary. It releases the message's body.
func (d *decoder) decode(m *message) (rec arrow.Record, err error) {
	defer m.release()
	defer recovered(&err)
	switch m.kind {
	case headerDictionary:
		return nil, d.dictionary(m, true)
	case headerRecord:
		return d.record(m)
	}
	return nil, invalid("a second %s message", headerName(m.kind))
}

// dictionary reads a DictionaryBatch: id | data RecordBatch | is delta.
func (d *decoder) dictionary(m *message, replace bool) error {
	id, delta := m.header.int64At(0, 0), m.header.flag(2)
	t, ok := m.header.child(1)
	if m.header.f.err != nil {
		return m.header.f.err
	}
	value, known := d.parsed.dicts[id]
	switch {
	case !ok:
		return invalid("dictionary %d has no data", id)
	case !known:
		return invalid("dictionary %d is not in the schema", id)
	}
	b, err := newBatch(t, m.body, d.lim, d.mem)
	if err != nil {
		return fmt.Errorf("dictionary %d: %w", id, err)
	}
	defer b.close()
	if err := b.check([]column{{typ: value}}); err != nil {
		return fmt.Errorf("dictionary %d: %w", id, err)
	}
	old := d.dicts[id]
	switch {
	case delta && old == nil:
		return invalid("dictionary %d: a delta before the dictionary itself", id)
	case delta && old.entries > d.lim.MaxRows-b.rows:
		return overLimit("dictionary %d of %d entries and %d more, limit %d", id, old.entries, b.rows, d.lim.MaxRows)
	case !delta && old != nil && !replace:
		return invalid("dictionary %d is replaced, which Arrow files do not allow", id)
	}
	data, err := b.data(value, nil)
	if err != nil {
		return fmt.Errorf("dictionary %d: %w", id, err)
	}
	if delta {
		old.pending = append(old.pending, data)
		old.entries += b.rows
		return nil
	}
	if old != nil {
		old.release()
	}
	d.dicts[id] = &dictionary{data: data, entries: b.rows}
	return nil
}

// current returns the dictionary's data with its deltas.
func (d *decoder) current(id int64) (*array.Data, error) {
	dict := d.dicts[id]
	if dict == nil || len(dict.pending) == 0 {
		if dict == nil {
			return nil, nil
		}
		return dict.data, nil
	}
	parts := make([]arrow.Array, 0, 1+len(dict.pending))
	defer func() {
		for _, a := range parts {
			a.Release()
		}
	}()
	for _, p := range append([]*array.Data{dict.data}, dict.pending...) {
		parts = append(parts, array.MakeFromData(p))
	}
	whole, err := array.Concatenate(parts, d.mem)
	if err != nil {
		return nil, fmt.Errorf("dictionary %d: joining its deltas: %w", id, err)
	}
	defer whole.Release()
	data := whole.Data().(*array.Data)
	data.Retain()
	dict.release()
	*dict = dictionary{data: data, entries: int64(data.Len())}
	return data, nil
}

func (d *decoder) record(m *message) (arrow.Record, error) {
	b, err := newBatch(m.header, m.body, d.lim, d.mem)
	if err != nil {
		return nil, err
	}
	defer b.close()
	if err := b.check(d.parsed.cols); err != nil {
		return nil, err
	}
	arrays := make([]arrow.Array, 0, len(d.parsed.cols))
	defer func() {
		for _, a := range arrays {
			a.Release()
		}
	}()
	for i := range d.parsed.cols {
		c := &d.parsed.cols[i]
		data, err := d.column(b, c)
		if err != nil {
			return nil, fmt.Errorf("column %q: %w", c.name, err)
		}
		arrays = append(arrays, array.MakeFromData(data))
		data.Release()
	}
	return array.NewRecord(d.parsed.schema, arrays, b.rows), nil
}

func (d *decoder) column(b *batch, c *column) (*array.Data, error) {
	dt, ok := c.typ.(*arrow.DictionaryType)
	if !ok {
		return b.data(c.typ, nil)
	}
	dict, err := d.current(c.dictID)
	if err != nil {
		return nil, err
	}
	if dict == nil {
		// A column of nulls may come before its dictionary; anything else is refused by checkIndices against no entries.
		dict = emptyData(dt.ValueType)
		defer dict.Release()
	}
	return b.data(c.typ, dict)
}

func emptyData(t arrow.DataType) *array.Data {
	_, n := counts(t)
	return array.NewData(t, 0, make([]*memory.Buffer, max(n, 1)), nil, 0, 0)
}
