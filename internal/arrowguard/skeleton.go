// Package arrowguard is the gate for bytes that claim to be Arrow IPC.
package arrowguard

import (
	"io"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/memory"
)

type Reader struct{}

func NewReader(r io.Reader, l Limits, opts ...Option) (*Reader, error) { return nil, ErrInvalid }
func (r *Reader) Schema() *arrow.Schema                                { return nil }
func (r *Reader) Next() (arrow.Record, error)                          { return nil, io.EOF }
func (r *Reader) Close() error                                         { return nil }

type MessageDecoder struct{}

func NewMessageDecoder(schemaMsg []byte, l Limits, opts ...Option) (*MessageDecoder, error) {
	return nil, ErrInvalid
}
func (d *MessageDecoder) Schema() *arrow.Schema                   { return nil }
func (d *MessageDecoder) Decode(msg []byte) (arrow.Record, error) { return nil, ErrInvalid }
func (d *MessageDecoder) Close() error                            { return nil }

type File struct{}

func OpenFile(f io.ReaderAt, size int64, l Limits, opts ...Option) (*File, error) {
	return nil, ErrInvalid
}
func (f *File) Schema() *arrow.Schema       { return nil }
func (f *File) Next() (arrow.Record, error) { return nil, io.EOF }
func (f *File) CountRows() (int64, error)   { return 0, nil }
func (f *File) Close() error                { return nil }

func VerifyParquetSchema(value []byte) error { return ErrInvalid }

type Encoder struct{}

func NewEncoder(s *arrow.Schema, mem memory.Allocator) (*Encoder, error)  { return nil, ErrInvalid }
func (e *Encoder) SchemaMessage() []byte                                  { return nil }
func (e *Encoder) Encode(rec arrow.Record) (messages [][]byte, err error) { return nil, ErrInvalid }
func (e *Encoder) Close() error                                           { return nil }

type LimitedAllocator struct{}

func NewLimitedAllocator(mem memory.Allocator, max int64) *LimitedAllocator { return nil }
