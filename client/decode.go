package client

import (
	"bytes"
	"fmt"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/apache/arrow/go/v17/arrow/memory"
)

// DecodeRecords reads an Arrow IPC stream as the daemon sends it. The caller releases the records.
func DecodeRecords(mem memory.Allocator, stream []byte) (*arrow.Schema, []arrow.Record, error) {
	r, err := ipc.NewReader(bytes.NewReader(stream), ipc.WithAllocator(mem))
	if err != nil {
		return nil, nil, fmt.Errorf("reading the daemon's arrow stream: %w", err)
	}
	defer r.Release()
	var records []arrow.Record
	for r.Next() {
		rec := r.Record()
		rec.Retain()
		records = append(records, rec)
	}
	if err := r.Err(); err != nil {
		(&Scored{Records: records}).Release()
		return nil, nil, fmt.Errorf("reading the daemon's arrow stream: %w", err)
	}
	return r.Schema(), records, nil
}
