package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Message makes a protocol message a value for Document: every field that is not in a oneof is present, in the order of
// its declaration.
func Message(m proto.Message) json.Marshaler { return message{m.ProtoReflect()} }

// Messages does the same for a list.
func Messages[M proto.Message](list []M) []json.Marshaler {
	out := make([]json.Marshaler, len(list))
	for i, m := range list {
		out[i] = Message(m)
	}
	return out
}

type message struct{ protoreflect.Message }

// MarshalJSON implements json.Marshaler. protojson is not used: it writes 64-bit integers as strings and varies its
// white space on purpose.
func (m message) MarshalJSON() ([]byte, error) {
	if !m.IsValid() {
		return []byte("null"), nil
	}
	if t, ok := m.Interface().(*timestamppb.Timestamp); ok {
		return plain(t.AsTime().UTC().Format(time.RFC3339Nano))
	}
	var buf bytes.Buffer
	buf.WriteByte('{')
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		if fd.HasPresence() && fd.Message() == nil && !m.Has(fd) {
			if fd.ContainingOneof() != nil && !fd.HasOptionalKeyword() {
				continue
			}
			writeKey(&buf, string(fd.Name()))
			buf.WriteString("null")
			continue
		}
		v, err := fieldJSON(fd, m.Get(fd))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", fd.FullName(), err)
		}
		writeKey(&buf, string(fd.Name()))
		buf.Write(v)
	}
	buf.WriteByte('}')
	return buf.Bytes(), nil
}

func writeKey(buf *bytes.Buffer, name string) {
	if buf.Len() > 1 {
		buf.WriteByte(',')
	}
	fmt.Fprintf(buf, "%q:", name)
}

func fieldJSON(fd protoreflect.FieldDescriptor, v protoreflect.Value) ([]byte, error) {
	switch {
	case fd.IsMap():
		out := map[string]any{}
		v.Map().Range(func(k protoreflect.MapKey, e protoreflect.Value) bool {
			out[k.String()] = scalar(fd.MapValue(), e)
			return true
		})
		return plain(out)
	case fd.IsList():
		out := make([]any, v.List().Len())
		for i := range out {
			out[i] = scalar(fd, v.List().Get(i))
		}
		return plain(out)
	}
	return plain(scalar(fd, v))
}

func scalar(fd protoreflect.FieldDescriptor, v protoreflect.Value) any {
	switch fd.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return message{v.Message()}
	case protoreflect.EnumKind:
		return enumName(fd.Enum(), v.Enum())
	case protoreflect.DoubleKind, protoreflect.FloatKind:
		if f := v.Float(); math.IsNaN(f) || math.IsInf(f, 0) {
			return strconv.FormatFloat(f, 'g', -1, 64) // JSON has no number for these
		}
	}
	return v.Interface()
}

// Enum returns an enum value's name without its prefix, in lower case: STAGE_CHAMPION is "champion".
func Enum(e protoreflect.Enum) string { return enumName(e.Descriptor(), e.Number()) }

func enumName(d protoreflect.EnumDescriptor, n protoreflect.EnumNumber) string {
	v := d.Values().ByNumber(n)
	if v == nil {
		return fmt.Sprint(n)
	}
	// The zero value is <PREFIX>_UNSPECIFIED in every enum (buf lint checks it).
	zero := string(d.Values().ByNumber(0).Name())
	return strings.ToLower(strings.TrimPrefix(string(v.Name()), strings.TrimSuffix(zero, "UNSPECIFIED")))
}
