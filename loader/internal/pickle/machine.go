package pickle

import (
	"encoding/binary"
	"math"
	"strings"

	"github.com/treeline-ml/treeline/loader/internal/fault"
	"github.com/treeline-ml/treeline/loader/internal/limit"
	"github.com/treeline-ml/treeline/loader/internal/pydata"
)

// The opcodes of protocols 2 to 5, with those of earlier ones that Python still writes in them.
const (
	opMark       = '('
	opStop       = '.'
	opPop        = '0'
	opPopMark    = '1'
	opDup        = '2'
	opBinFloat   = 'G'
	opBinInt     = 'J'
	opBinInt1    = 'K'
	opBinInt2    = 'M'
	opNone       = 'N'
	opBinPersID  = 'Q'
	opPersID     = 'P'
	opReduce     = 'R'
	opBinString  = 'T'
	opShortStr   = 'U'
	opBinUnicode = 'X'
	opAppend     = 'a'
	opBuild      = 'b'
	opGlobal     = 'c'
	opDict       = 'd'
	opEmptyDict  = '}'
	opAppends    = 'e'
	opBinGet     = 'h'
	opInst       = 'i'
	opLongGet    = 'j'
	opList       = 'l'
	opEmptyList  = ']'
	opObj        = 'o'
	opBinPut     = 'q'
	opLongPut    = 'r'
	opSetItem    = 's'
	opTuple      = 't'
	opEmptyTuple = ')'
	opSetItems   = 'u'

	opProto  = 0x80
	opNewObj = 0x81
	opExt1   = 0x82
	opExt2   = 0x83
	opExt4   = 0x84
	opTuple1 = 0x85
	opTuple2 = 0x86
	opTuple3 = 0x87
	opTrue   = 0x88
	opFalse  = 0x89
	opLong1  = 0x8a
	opLong4  = 0x8b

	opBinBytes   = 'B'
	opShortBytes = 'C'

	opShortUnicode = 0x8c
	opUnicode8     = 0x8d
	opBytes8       = 0x8e
	opEmptySet     = 0x8f
	opAddItems     = 0x90
	opFrozenSet    = 0x91
	opNewObjEx     = 0x92
	opStackGlobal  = 0x93
	opMemoize      = 0x94
	opFrame        = 0x95

	opByteArray8  = 0x96
	opNextBuffer  = 0x97
	opReadOnlyBuf = 0x98
)

// machine is the state of one pickle being read.
type machine struct {
	r     *Reader
	stack []pydata.Value
	marks []int // stack heights
	memo  map[uint32]pydata.Value
}

func (m *machine) push(v pydata.Value) error {
	m.stack = append(m.stack, v)
	return m.r.count()
}

func (m *machine) pushOr(v pydata.Value, err error) error {
	if err != nil {
		return err
	}
	return m.push(v)
}

// floor is the height below which the current mark forbids to pop.
func (m *machine) floor() int {
	if len(m.marks) == 0 {
		return 0
	}
	return m.marks[len(m.marks)-1]
}

func (m *machine) pop() (pydata.Value, error) {
	n := len(m.stack)
	if n <= m.floor() {
		return nil, fault.Malformed("an opcode finds too little on the stack")
	}
	v := m.stack[n-1]
	m.stack = m.stack[:n-1]
	return v, nil
}

func (m *machine) top() (pydata.Value, error) {
	if len(m.stack) <= m.floor() {
		return nil, fault.Malformed("an opcode finds too little on the stack")
	}
	return m.stack[len(m.stack)-1], nil
}

// popMark returns a copy of what lies above the last mark.
func (m *machine) popMark() ([]pydata.Value, error) {
	if len(m.marks) == 0 {
		return nil, fault.Malformed("an opcode finds no mark")
	}
	at := m.floor()
	m.marks = m.marks[:len(m.marks)-1]
	items := append([]pydata.Value(nil), m.stack[at:]...)
	m.stack = m.stack[:at]
	return items, nil
}

func (m *machine) popN(n int) ([]pydata.Value, error) {
	if len(m.stack)-m.floor() < n {
		return nil, fault.Malformed("an opcode finds too little on the stack")
	}
	at := len(m.stack) - n
	items := append([]pydata.Value(nil), m.stack[at:]...)
	m.stack = m.stack[:at]
	return items, nil
}

// step executes one opcode: the whole instruction set in one switch, as the format lists it.
func (m *machine) step(op byte) error {
	switch op {
	case opMark:
		m.marks = append(m.marks, len(m.stack))
		return limit.Check("NestingDepth", m.r.o.Depth, int64(len(m.marks)))
	case opPop:
		if len(m.stack) == m.floor() && len(m.marks) > 0 {
			m.marks = m.marks[:len(m.marks)-1]
			return nil
		}
		_, err := m.pop()
		return err
	case opPopMark:
		_, err := m.popMark()
		return err
	case opDup:
		return m.pushOr(m.top())
	case opFrame:
		n, err := m.r.u64() // frames only tell readers how much to buffer
		if err == nil && n > uint64(m.r.Rest()) {
			err = fault.Truncated("a frame")
		}
		return err
	case opGlobal, opInst, opStackGlobal:
		return m.named(op)
	case opReduce, opNewObj, opNewObjEx, opObj:
		return m.called(op)
	case opBuild:
		return m.build()
	case opBinPut, opLongPut, opMemoize:
		return m.put(op)
	case opBinGet, opLongGet:
		return m.get(op)
	case opAppend, opAppends, opAddItems, opSetItem, opSetItems:
		return m.fill(op)
	case opPersID, opBinPersID:
		return fault.NotSupported("persistent ids, which refer to things outside the pickle")
	case opExt1, opExt2, opExt4:
		return fault.NotSupported("the extension registry of pickle")
	case opNextBuffer, opReadOnlyBuf:
		return fault.NotSupported("out-of-band buffers of pickle")
	}
	if v, err, ok := m.container(op); ok {
		return m.pushOr(v, err)
	}
	if v, err, ok := m.scalar(op); ok {
		return m.pushOr(v, err)
	}
	return fault.Malformed("opcode %#02x is none of pickle protocols 2 to 5", op)
}

// scalar returns the value of opcodes that carry it.
func (m *machine) scalar(op byte) (v pydata.Value, err error, ok bool) {
	r := m.r
	switch op {
	case opNone:
		return nil, nil, true
	case opTrue, opFalse:
		return op == opTrue, nil, true
	case opBinInt:
		n, err := r.u32()
		return int64(int32(n)), err, true
	case opBinInt1:
		n, err := r.u8()
		return int64(n), err, true
	case opBinInt2:
		n, err := r.u16()
		return int64(n), err, true
	case opLong1:
		b, err := r.sized(r.u8, "an integer")
		return long(b), err, true
	case opLong4:
		b, err := r.sized(r.u32, "an integer")
		return long(b), err, true
	case opBinFloat:
		b, err := r.Take(8, "a float")
		if err != nil {
			return nil, err, true
		}
		return math.Float64frombits(binary.BigEndian.Uint64(b)), nil, true
	case opBinUnicode:
		s, err := r.text(r.u32)
		return s, err, true
	case opShortUnicode:
		s, err := r.text(r.u8)
		return s, err, true
	case opUnicode8:
		s, err := r.text(r.u64)
		return s, err, true
	case opBinBytes, opBinString:
		b, err := r.sized(r.u32, "bytes")
		return b, err, true
	case opShortBytes, opShortStr:
		b, err := r.sized(r.u8, "bytes")
		return b, err, true
	case opBytes8, opByteArray8:
		b, err := r.sized(r.u64, "bytes")
		return b, err, true
	}
	return nil, nil, false
}

// container returns the value of opcodes that make a list, tuple, set or dict.
func (m *machine) container(op byte) (v pydata.Value, err error, ok bool) {
	var items []pydata.Value
	switch op {
	case opEmptyDict:
		return &pydata.Dict{}, nil, true
	case opEmptyList, opEmptySet:
		return &pydata.List{}, nil, true
	case opEmptyTuple:
		return &pydata.Tuple{}, nil, true
	case opTuple1, opTuple2, opTuple3:
		items, err = m.popN(int(op) - opTuple1 + 1)
		return &pydata.Tuple{Items: items}, err, true
	case opTuple:
		items, err = m.popMark()
		return &pydata.Tuple{Items: items}, err, true
	case opList, opFrozenSet:
		items, err = m.popMark()
		return &pydata.List{Items: items}, err, true
	case opDict:
		items, err = m.popMark()
		d := &pydata.Dict{}
		if err == nil {
			err = pairs(d, items)
		}
		return d, err, true
	}
	return nil, nil, false
}

// named reads a name, refuses it unless it is allowed, and pushes it as two strings.
func (m *machine) named(op byte) error {
	g := &pydata.Global{}
	var err error
	if op == opStackGlobal {
		var both []pydata.Value
		if both, err = m.popN(2); err != nil {
			return err
		}
		module, isText := both[0].(string)
		name, isText2 := both[1].(string)
		if !isText || !isText2 || len(module) > maxName || len(name) > maxName {
			return fault.Malformed("STACK_GLOBAL of %s and %s", pydata.Kind(both[0]), pydata.Kind(both[1]))
		}
		g.Module, g.Name = module, name
	} else {
		if g.Module, err = m.r.line(); err == nil {
			g.Name, err = m.r.line()
		}
		if err != nil {
			return err
		}
	}
	// Protocol 2 writes the names of Python 2.
	switch g.Module {
	case "__builtin__":
		g.Module = "builtins"
	case "copy_reg":
		g.Module = "copyreg"
	}
	if !m.r.o.Allow(g.Module, g.Name) {
		return Refused(g)
	}
	if op != opInst {
		return m.push(g)
	}
	args, err := m.popMark()
	return m.pushOr(&pydata.Object{Class: g, Args: args}, err)
}

// Refused is the error for a name that is not read.
func Refused(g *pydata.Global) error {
	return fault.NotSupported("%s", strings.ToValidUTF8(g.String(), "?"))
}

// called records what REDUCE, NEWOBJ, NEWOBJ_EX and OBJ would have called.
func (m *machine) called(op byte) error {
	var parts []pydata.Value
	var err error
	switch op {
	case opNewObjEx:
		if parts, err = m.popN(3); err == nil {
			if kw, ok := parts[2].(*pydata.Dict); !ok || len(kw.Keys) > 0 {
				return fault.NotSupported("objects made with keyword arguments")
			}
		}
	case opObj:
		if parts, err = m.popMark(); err == nil {
			if len(parts) == 0 {
				return fault.Malformed("OBJ without a class")
			}
			parts = []pydata.Value{parts[0], &pydata.Tuple{Items: parts[1:]}}
		}
	default:
		parts, err = m.popN(2)
	}
	if err != nil {
		return err
	}
	g, ok := parts[0].(*pydata.Global)
	if !ok {
		return fault.NotSupported("calling %s: only known names may be called", pydata.Kind(parts[0]))
	}
	args, ok := parts[1].(*pydata.Tuple)
	if !ok {
		return fault.Malformed("%s is called with %s, not a tuple", g, pydata.Kind(parts[1]))
	}
	return m.push(&pydata.Object{Class: g, Args: args.Items})
}

// build stores an object's state beside it.
func (m *machine) build() error {
	state, err := m.pop()
	if err != nil {
		return err
	}
	v, err := m.top()
	if err != nil {
		return err
	}
	o, ok := v.(*pydata.Object)
	if !ok {
		return fault.NotSupported("setting the state of %s", pydata.Kind(v))
	}
	if o.State != nil {
		return fault.Malformed("the state of %s is set twice", pydata.Kind(o))
	}
	o.State = state
	if m.r.o.Built == nil {
		return nil
	}
	return m.r.o.Built(m.r, o)
}

func (m *machine) put(op byte) error {
	v, err := m.top()
	if err != nil {
		return err
	}
	n := uint64(len(m.memo))
	switch op {
	case opBinPut:
		n, err = m.r.u8()
	case opLongPut:
		n, err = m.r.u32()
	}
	if err != nil {
		return err
	}
	m.memo[uint32(n)] = v
	return m.r.count()
}

func (m *machine) get(op byte) error {
	read := m.r.u8
	if op == opLongGet {
		read = m.r.u32
	}
	n, err := read()
	if err != nil {
		return err
	}
	v, ok := m.memo[uint32(n)]
	if !ok {
		return fault.Malformed("memo entry %d is not there", n)
	}
	return m.push(v)
}

// fill adds items to the list, set, dict or object below them.
func (m *machine) fill(op byte) error {
	var items []pydata.Value
	var err error
	switch op {
	case opAppend:
		items, err = m.popN(1)
	case opSetItem:
		items, err = m.popN(2)
	default:
		items, err = m.popMark()
	}
	if err != nil {
		return err
	}
	v, err := m.top()
	if err != nil {
		return err
	}
	keyed := op == opSetItem || op == opSetItems
	switch v := v.(type) {
	case *pydata.List:
		if !keyed {
			v.Items = append(v.Items, items...)
			return nil
		}
	case *pydata.Dict:
		if keyed {
			return pairs(v, items)
		}
	case *pydata.Object:
		if keyed {
			return pairs(&v.Pairs, items)
		}
		v.Items = append(v.Items, items...)
		return nil
	}
	return fault.Malformed("items are added to %s", pydata.Kind(v))
}

func pairs(d *pydata.Dict, items []pydata.Value) error {
	if len(items)%2 != 0 {
		return fault.Malformed("a dict of %d keys and values", len(items))
	}
	for i := 0; i < len(items); i += 2 {
		d.Keys = append(d.Keys, items[i])
		d.Values = append(d.Values, items[i+1])
	}
	return nil
}
