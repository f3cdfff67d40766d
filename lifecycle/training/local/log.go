package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/treeline-ml/treeline/lifecycle/training"
)

// maxChunk bounds the bytes of one LogChunk.
const maxChunk = 64 << 10

// hole is control/cut.json: the part of the log that was dropped. Offsets after it stay what they were.
type hole struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

func (w *work) hole() (h hole, err error) {
	err = readJSON(w.control("cut.json"), &h)
	if errors.Is(err, os.ErrNotExist) {
		return hole{}, nil
	}
	return h, err
}

// dropped stands in the log where output was dropped.
const dropped = "\n[output dropped: the log keeps its head and its tail]\n"

// trim drops the middle of a log that is over its size, by giving back its blocks: the trainer goes on appending to the
// same file and knows nothing of it. Renaming the log away would need the trainer's help, a pipe through the daemon would
// end the trainer with it.
func (w *work) trim(l Limits) error {
	info, err := os.Stat(w.logPath())
	if err != nil {
		return err
	}
	h, err := w.hole()
	if err != nil {
		return err
	}
	to := info.Size() - l.LogTail
	if to-max(h.To, l.LogHead) < max(l.LogTail/4, 4096) {
		return nil // not worth it yet
	}
	// Written down first: bytes that are called dropped and are not do no harm.
	if err := writeJSON(w.control("cut.json"), hole{From: l.LogHead, To: to}); err != nil {
		return err
	}
	f, err := os.OpenFile(w.logPath(), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	err = punch(f, l.LogHead, to)
	if err == nil && to-l.LogHead >= int64(len(dropped)) {
		_, err = f.WriteAt([]byte(dropped), l.LogHead)
	}
	return errors.Join(err, f.Close())
}

// Logs returns whole lines of the captured output, at most 64 KiB of it. A line that does not end within that is cut. It
// fails with ErrHandle.
func (t *Trainer) Logs(_ context.Context, h training.Handle, offset int64) (training.LogChunk, error) {
	w, r, err := t.find(h)
	if err != nil {
		return training.LogChunk{}, err
	}
	// Asked before the log is read: when it has ended, the log is complete.
	leader, alive := leaderOf(r)
	ended := !alive || leader.zombie
	cut, err := w.hole()
	if err != nil {
		return training.LogChunk{}, fmt.Errorf("%w: %w", ErrHandle, err)
	}
	f, err := openNoFollow(w.logPath())
	if err != nil {
		return training.LogChunk{}, fmt.Errorf("%w: %w", ErrHandle, err)
	}
	defer f.Close()
	return readChunk(f, offset, cut, ended)
}

func readChunk(f io.ReaderAt, offset int64, cut hole, ended bool) (training.LogChunk, error) {
	c := training.LogChunk{Offset: max(offset, 0)}
	limit := int64(maxChunk)
	if c.Offset < cut.From && cut.To > cut.From {
		limit = min(limit, cut.From-c.Offset)
	}
	if c.Offset >= cut.From && c.Offset < cut.To {
		c.Offset, c.Truncated = cut.To, true
	}
	b := make([]byte, limit)
	n, err := f.ReadAt(b, c.Offset)
	atEnd := errors.Is(err, io.EOF)
	if err != nil && !atEnd {
		return c, fmt.Errorf("reading the log: %w", err)
	}
	b = b[:n]
	beforeHole := c.Offset+int64(n) == cut.From && cut.To > cut.From
	if c.Truncated { // the first line was cut, too
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			c.Offset += int64(i) + 1
			b = b[i+1:]
		}
	}
	last := atEnd && ended || beforeHole // nothing is added to its last line
	switch i := bytes.LastIndexByte(b, '\n'); {
	case last:
	case i >= 0:
		b = b[:i+1]
	case n < maxChunk:
		b = nil // the line goes on
	default:
		b = wholeRunes(b)
	}
	c.Next = c.Offset + int64(len(b))
	c.Text = strings.ReplaceAll(strings.ToValidUTF8(string(b), "\uFFFD"), "\x00", "\uFFFD")
	c.End = ended && atEnd
	return c, nil
}

// wholeRunes leaves the beginning of a character at the end to the next chunk.
func wholeRunes(b []byte) []byte {
	for i := 1; i < utf8.UTFMax && i < len(b); i++ {
		if tail := b[len(b)-i:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRune(tail) {
				return b[:len(b)-i]
			}
			break
		}
	}
	return b
}

// maxError bounds the message of a trainer.
const maxError = 2000

// lastError is the text of the last line "error: ..." at the end of the log.
func (w *work) lastError() string {
	f, err := openNoFollow(w.logPath())
	if err != nil {
		return ""
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	b := make([]byte, min(info.Size(), maxChunk))
	n, err := f.ReadAt(b, info.Size()-int64(len(b)))
	if err != nil && !errors.Is(err, io.EOF) {
		return ""
	}
	return findError(b[:n])
}

func findError(b []byte) string {
	const prefix = "error: "
	at := -1
	if bytes.HasPrefix(b, []byte(prefix)) {
		at = 0
	}
	if i := bytes.LastIndex(b, []byte("\n"+prefix)); i >= 0 {
		at = i + 1
	}
	if at < 0 {
		return ""
	}
	line, _, _ := bytes.Cut(b[at+len(prefix):], []byte("\n"))
	line = line[:min(len(line), maxError)]
	return strings.TrimSpace(strings.ReplaceAll(strings.ToValidUTF8(string(line), "\uFFFD"), "\x00", "\uFFFD"))
}
