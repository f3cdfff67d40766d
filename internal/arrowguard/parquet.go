package arrowguard

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
)

// parquetDepth is the nesting that Arrow's own reader accepts in a record.
const parquetDepth = 64

// VerifyParquetSchema verifies the value of Parquet's key `ARROW:schema`, a base64 schema message, before Arrow decodes
// it. Nested types are accepted: only the structure is verified, so that decoding ends and needs memory in proportion.
func VerifyParquetSchema(value []byte) error {
	l := DefaultLimits()
	l.MaxDepth = parquetDepth
	if len(value) > maxMetadataBytes/3*4 {
		return overLimit("ARROW:schema of %d bytes, limit %d", len(value), maxMetadataBytes/3*4)
	}
	enc := base64.StdEncoding
	if len(value)%4 != 0 {
		enc = base64.RawStdEncoding
	}
	b, err := enc.DecodeString(string(value))
	if err != nil {
		return fmt.Errorf("ARROW:schema: %w: %w", ErrInvalid, err)
	}
	meta, err := parquetMetadata(b)
	if err != nil {
		return fmt.Errorf("ARROW:schema: %w", err)
	}
	m, err := parseMessage(meta, l)
	if err != nil {
		return fmt.Errorf("ARROW:schema: %w", err)
	}
	if m.kind != headerSchema {
		return invalid("ARROW:schema: message is a %s", headerName(m.kind))
	}
	if _, err := parseSchema(m.header, l, true); err != nil {
		return fmt.Errorf("ARROW:schema: %w", err)
	}
	return nil
}

// parquetMetadata cuts the flatbuffer out of the message, which old writers (before Arrow 0.15) frame without a
// continuation marker. The length must fit, because Arrow allocates it unread.
func parquetMetadata(b []byte) ([]byte, error) {
	rest := bytes.TrimPrefix(b, []byte{0xFF, 0xFF, 0xFF, 0xFF})
	if len(rest) < 4 {
		return nil, invalid("%d bytes are no schema message", len(b))
	}
	n := int32(binary.LittleEndian.Uint32(rest))
	if n <= 0 || int(n) > len(rest)-4 {
		return nil, invalid("metadata of %d bytes in a message of %d", n, len(b))
	}
	return rest[4 : 4+n], nil
}
