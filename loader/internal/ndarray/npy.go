package ndarray

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/treeline-ml/treeline/loader/internal/fault"
)

// magic begins a .npy file.
const magic = "\x93NUMPY"

// maxHeader bounds the header of a .npy file; NumPy's own bound is 10,000 characters.
const maxHeader = 1 << 16

// ParseNPY reads a .npy file of versions 1 to 3: the magic, the length of the header, the header, which is the literal of
// a Python dict with the keys descr, fortran_order and shape, and the elements.
func ParseNPY(file []byte) (*Array, error) {
	if !bytes.HasPrefix(file, []byte(magic)) || len(file) < 10 {
		return nil, fault.Malformed("an array file that does not begin as .npy")
	}
	var n, at int
	switch file[6] {
	case 1:
		n, at = int(binary.LittleEndian.Uint16(file[8:])), 10
	case 2, 3:
		if len(file) < 12 {
			return nil, fault.Truncated("the header of an array")
		}
		size := binary.LittleEndian.Uint32(file[8:])
		if size > maxHeader {
			return nil, fault.Malformed("the header of an array has %d bytes", size)
		}
		n, at = int(size), 12
	default:
		return nil, fault.NotSupported("version %d of .npy", file[6])
	}
	if n > len(file)-at {
		return nil, fault.Truncated("the header of an array")
	}
	p := literal{text: string(file[at : at+n])}
	h, err := p.header()
	if err != nil {
		return nil, fault.At(".npy header", err)
	}
	return New(h.dtype, h.shape, h.fortran, file[at+n:])
}

type header struct {
	dtype   Dtype
	shape   []int64
	fortran bool
}

// literal parses the few Python literals that NumPy writes in a header.
type literal struct {
	text string
	pos  int
}

func (p *literal) space() {
	for p.pos < len(p.text) && strings.IndexByte(" \n\t", p.text[p.pos]) >= 0 {
		p.pos++
	}
}

// eat consumes a token if it is next.
func (p *literal) eat(token string) bool {
	p.space()
	if !strings.HasPrefix(p.text[p.pos:], token) {
		return false
	}
	p.pos += len(token)
	return true
}

func (p *literal) want(token string) error {
	if !p.eat(token) {
		return fault.Malformed("%q is wanted at character %d", token, p.pos)
	}
	return nil
}

func (p *literal) str() (string, error) {
	p.space()
	if p.pos >= len(p.text) || p.text[p.pos] != '\'' && p.text[p.pos] != '"' {
		return "", fault.Malformed("a string is wanted at character %d", p.pos)
	}
	end := strings.IndexByte(p.text[p.pos+1:], p.text[p.pos])
	if end < 0 {
		return "", fault.Malformed("a string without an end at character %d", p.pos)
	}
	s := p.text[p.pos+1 : p.pos+1+end]
	p.pos += end + 2
	if strings.Contains(s, "\\") {
		return "", fault.NotSupported("escapes in the header of an array")
	}
	return s, nil
}

func (p *literal) integer() (int64, error) {
	p.space()
	end := p.pos
	for end < len(p.text) && p.text[end] >= '0' && p.text[end] <= '9' {
		end++
	}
	n, err := strconv.ParseInt(p.text[p.pos:end], 10, 64)
	if err != nil {
		return 0, fault.Malformed("an integer is wanted at character %d", p.pos)
	}
	p.pos = end
	return n, nil
}

func (p *literal) header() (header, error) {
	var h header
	if err := p.want("{"); err != nil {
		return h, err
	}
	seen := map[string]bool{}
	for !p.eat("}") {
		key, err := p.str()
		if err == nil {
			err = p.want(":")
		}
		if err != nil {
			return h, err
		}
		if seen[key] {
			return h, fault.Malformed("%.40q stands there twice", key)
		}
		seen[key] = true
		switch key {
		case "descr":
			h.dtype, err = p.descr()
		case "fortran_order":
			if h.fortran = p.eat("True"); !h.fortran {
				err = p.want("False")
			}
		case "shape":
			h.shape, err = p.shape()
		default:
			err = fault.Malformed("the key %.40q", key)
		}
		if err != nil {
			return h, err
		}
		if !p.eat(",") {
			if err := p.want("}"); err != nil {
				return h, err
			}
			break
		}
	}
	if len(seen) != 3 {
		return h, fault.Malformed("%d of the keys descr, fortran_order and shape", len(seen))
	}
	p.space()
	if p.pos != len(p.text) {
		return h, fault.Malformed("text after the dict")
	}
	return h, nil
}

func (p *literal) shape() ([]int64, error) {
	if err := p.want("("); err != nil {
		return nil, err
	}
	shape := []int64{}
	for !p.eat(")") {
		n, err := p.integer()
		if err != nil {
			return nil, err
		}
		if shape = append(shape, n); len(shape) > maxDims {
			return nil, fault.Malformed("an array of more than %d dimensions", maxDims)
		}
		if !p.eat(",") {
			return shape, p.want(")")
		}
	}
	return shape, nil
}

// descr reads '<f8', or a list of ('name', '<f8') without names for padding.
func (p *literal) descr() (Dtype, error) {
	if !p.eat("[") {
		s, err := p.str()
		if err != nil {
			return Dtype{}, err
		}
		return ParseDtype(s)
	}
	d := Dtype{Kind: 'V'}
	for !p.eat("]") {
		f, err := p.field()
		if err != nil {
			return d, err
		}
		f.Offset = d.Size
		if d.Size += f.Type.Size; d.Size > maxItem || len(d.Fields) >= maxFields {
			return d, fault.Malformed("a structure of more than %d bytes or %d fields", maxItem, maxFields)
		}
		if f.Name != "" {
			d.Fields = append(d.Fields, f)
		}
		if !p.eat(",") {
			if err := p.want("]"); err != nil {
				return d, err
			}
			break
		}
	}
	return d, d.check()
}

func (p *literal) field() (Field, error) {
	var f Field
	err := p.want("(")
	if err == nil {
		f.Name, err = p.str()
	}
	if err == nil {
		err = p.want(",")
	}
	if err != nil {
		return f, err
	}
	s, err := p.str()
	if err != nil {
		return f, err
	}
	if f.Type, err = ParseDtype(s); err != nil {
		return f, err
	}
	if f.Type.Kind == 'O' {
		return f, fault.NotSupported("objects in a structure")
	}
	p.eat(",")
	return f, p.want(")")
}
