package file

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// maxCSVRecord bounds one record of a CSV file: a quote that is never closed would swallow the rest of the file.
const maxCSVRecord = 16 << 20

// csvReader splits CSV (RFC 4180) into records: commas, fields in double quotes with "" for a quote, LF or CRLF. Lines
// without any character are skipped, a byte order mark is ignored.
type csvReader struct {
	r    *bufio.Reader
	line int // of the last record's first line, from 1
	next int // line that is read next
	buf  []byte
	ends []int
	// quotes says of each field whether it was quoted: a,,b has a null, a,"",b an empty text.
	quotes []bool
}

func newCSVReader(r io.Reader) *csvReader {
	c := &csvReader{r: bufio.NewReaderSize(r, 256<<10), next: 1}
	if b, err := c.r.Peek(3); err == nil && bytes.Equal(b, []byte("\xef\xbb\xbf")) {
		_, _ = c.r.Discard(3) // it was peeked
	}
	return c
}

func (c *csvReader) fail(format string, args ...any) error {
	return fmt.Errorf("line %d: "+format+": %w", append(append([]any{c.next}, args...), ErrInvalid)...)
}

// record reads the next record's fields into memory that is valid until the next call, or returns io.EOF.
func (c *csvReader) record() (fields int, err error) {
	for {
		c.buf, c.ends, c.quotes, c.line = c.buf[:0], c.ends[:0], c.quotes[:0], c.next
		blank, err := c.fields()
		if err != nil {
			return 0, err
		}
		if !blank {
			return len(c.ends), nil
		}
	}
}

// field returns field i of the record.
func (c *csvReader) field(i int) []byte {
	start := 0
	if i > 0 {
		start = c.ends[i-1]
	}
	return c.buf[start:c.ends[i]]
}

// null tells whether field i of the record is missing: empty and without quotes, which pyarrow reads and writes so.
func (c *csvReader) null(i int) bool { return len(c.field(i)) == 0 && !c.quotes[i] }

// fields reads one record, line by line; a quoted field may span several.
func (c *csvReader) fields() (blank bool, err error) {
	line, err := c.readLine()
	if err != nil {
		return false, err
	}
	if len(line) == 0 {
		return true, nil
	}
	for {
		quoted := len(line) > 0 && line[0] == '"'
		if quoted {
			if line, err = c.quoted(line[1:]); err != nil {
				return false, err
			}
		} else {
			n := bytes.IndexByte(line, ',')
			if n < 0 {
				n = len(line)
			}
			if bytes.IndexByte(line[:n], '"') >= 0 {
				return false, fmt.Errorf("line %d: a quote inside a field that does not start with one: %w", c.next-1, ErrInvalid)
			}
			c.buf = append(c.buf, line[:n]...)
			line = line[n:]
		}
		c.ends, c.quotes = append(c.ends, len(c.buf)), append(c.quotes, quoted)
		if len(line) == 0 {
			return false, nil
		}
		if line[0] != ',' {
			return false, fmt.Errorf("line %d: text after a closing quote: %w", c.next-1, ErrInvalid)
		}
		line = line[1:]
	}
}

// quoted appends a field whose opening quote was read and returns what follows its closing one.
func (c *csvReader) quoted(line []byte) (rest []byte, err error) {
	opened := c.next - 1
	for {
		n := bytes.IndexByte(line, '"')
		switch {
		case n < 0: // the field goes on in the next line
			c.buf = append(append(c.buf, line...), '\n')
			if line, err = c.readLine(); errors.Is(err, io.EOF) {
				return nil, fmt.Errorf("line %d: a quote is never closed: %w", opened, ErrInvalid)
			} else if err != nil {
				return nil, err
			}
		case n+1 < len(line) && line[n+1] == '"':
			c.buf = append(c.buf, line[:n+1]...)
			line = line[n+2:]
		default:
			c.buf = append(c.buf, line[:n]...)
			return line[n+1:], nil
		}
		if len(c.buf) > maxCSVRecord {
			return nil, fmt.Errorf("line %d: a record of more than %d bytes: %w", opened, maxCSVRecord, ErrInvalid)
		}
	}
}

// readLine returns a line without its end, in the reader's buffer where it fits.
func (c *csvReader) readLine() ([]byte, error) {
	line, err := c.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		long := bytes.Clone(line)
		for errors.Is(err, bufio.ErrBufferFull) {
			if len(long) > maxCSVRecord {
				return nil, c.fail("longer than %d bytes", maxCSVRecord)
			}
			line, err = c.r.ReadSlice('\n')
			long = append(long, line...)
		}
		line = long
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(line) == 0 {
		return nil, io.EOF
	}
	c.next++
	line = bytes.TrimSuffix(line, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r")), nil
}
