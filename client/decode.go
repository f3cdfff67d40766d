package client

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/treeline-ml/treeline/internal/arrowguard"
)

// DecodeRecords reads an Arrow IPC stream as the daemon sends it. The caller releases the records.
func DecodeRecords(mem memory.Allocator, stream []byte) (*arrow.Schema, []arrow.Record, error) {
	r, err := arrowguard.NewReader(bytes.NewReader(stream), arrowguard.DefaultLimits(), arrowguard.WithAllocator(mem))
	if err != nil {
		return nil, nil, fmt.Errorf("reading the daemon's arrow stream: %w", err)
	}
	defer func() { _ = r.Close() }() // it only holds memory
	var records []arrow.Record
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return r.Schema(), records, nil
		}
		if err != nil {
			(&Scored{Records: records}).Release()
			return nil, nil, fmt.Errorf("reading the daemon's arrow stream: %w", err)
		}
		records = append(records, rec)
	}
}
