// Package skops reads the files of skops.io.dump into pydata.Value, executing nothing.
//
//	zip --members--> schema.json (a tree of nodes), <id>.npy, <uuid>.bin
//	schema.json --nodes, arrays--> pydata.Value
//
// A node is a JSON object with __class__, __module__, __loader__ and content. The loaders that name functions to call
// (FunctionNode, MethodNode, PartialNode, OperatorFuncNode) are refused by the name that they hold; classes are compared
// with the caller's Allow, as names in a pickle are.
//
// # Invariants
//
//	S1  Members are found by their exact names in the archive; no name reaches a file system.
//	S2  What a member becomes is bounded by its stated size, by Limits.Bytes and, where it is compressed, by Limits.Ratio.
//	S3  At most Limits.Objects JSON values, nested at most Limits.NestingDepth deep, and as many Python values are made.
package skops

import (
	"archive/zip"
	"bytes"
	"hash/crc32"
	"io"
	"strings"

	"github.com/treeline-ml/treeline/loader/internal/fault"
	"github.com/treeline-ml/treeline/loader/internal/limit"
	"github.com/treeline-ml/treeline/loader/internal/pydata"
)

// schemaName is the member that describes the object.
const schemaName = "schema.json"

// maxProtocol is the newest protocol that is known, of skops 0.16.
const maxProtocol = 2

// Options of Load.
type Options struct {
	// Allow decides which classes may occur; the error for others names them.
	Allow  func(module, name string) bool
	Limits limit.Limits
}

// Is reports whether a zip archive holds a schema.json.
func Is(data []byte) bool {
	a, err := open(data, limit.Default())
	return err == nil && a.members[schemaName] != nil
}

// Load reads the object of a file. expanded is the number of bytes that the members have.
func Load(data []byte, o Options) (v pydata.Value, expanded int64, err error) {
	a, err := open(data, o.Limits)
	if err != nil {
		return nil, 0, err
	}
	text, err := a.read(schemaName)
	if err != nil {
		return nil, 0, fault.At(schemaName, err)
	}
	root, err := parseJSON(text, o.Limits)
	if err != nil {
		return nil, 0, fault.At(schemaName, err)
	}
	d := decoder{archive: a, o: o, arrays: map[string]pydata.Value{}}
	v, err = d.root(root)
	return v, a.expanded, err
}

// archive is the members of a zip file in memory.
type archive struct {
	data     []byte
	members  map[string]*zip.File
	limits   limit.Limits
	expanded int64
	packed   int64 // bytes that compressed members may still become
}

func open(data []byte, l limit.Limits) (*archive, error) {
	r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, fault.Malformed("the zip archive: %v", err)
	}
	if err := limit.Check("Objects", l.Objects, int64(len(r.File))); err != nil {
		return nil, err
	}
	a := &archive{data: data, members: make(map[string]*zip.File, len(r.File)), limits: l}
	a.packed = min(l.Bytes, max(64<<20, int64(len(data))*min(l.Ratio, l.Bytes/int64(max(len(data), 1)))))
	for _, f := range r.File {
		if a.members[f.Name] != nil {
			return nil, fault.Malformed("the zip archive has two members %.80q", f.Name)
		}
		a.members[f.Name] = f
	}
	return a, nil
}

// read returns the bytes of a member: a view of the file where they are stored as they are.
func (a *archive) read(name string) ([]byte, error) {
	f := a.members[name]
	if f == nil {
		return nil, fault.Malformed("the archive has no member %.80q", name)
	}
	if f.Flags&1 != 0 {
		return nil, fault.NotSupported("encrypted members of a zip archive")
	}
	if f.UncompressedSize64 > uint64(a.limits.Bytes) {
		return nil, fault.Limit("Bytes", a.limits.Bytes, int64(min(f.UncompressedSize64, 1<<62)))
	}
	var out []byte
	switch f.Method {
	case zip.Store:
		at, err := f.DataOffset()
		if err != nil || f.CompressedSize64 != f.UncompressedSize64 || at < 0 || at > int64(len(a.data)) ||
			f.CompressedSize64 > uint64(int64(len(a.data))-at) {
			return nil, fault.Malformed("member %.80q does not lie in the archive", name)
		}
		out = a.data[at : at+int64(f.CompressedSize64)]
	case zip.Deflate:
		if f.UncompressedSize64 > uint64(a.packed) {
			return nil, fault.Limit("Ratio", a.limits.Ratio, int64(f.UncompressedSize64/max(f.CompressedSize64, 1)))
		}
		in, err := f.Open()
		if err != nil {
			return nil, fault.Malformed("member %.80q: %v", name, err)
		}
		defer in.Close()
		var b bytes.Buffer
		if _, err := b.ReadFrom(io.LimitReader(in, int64(f.UncompressedSize64)+1)); err != nil {
			return nil, fault.Malformed("member %.80q: %v", name, err)
		}
		out = b.Bytes()
		a.packed -= int64(len(out))
	default:
		return nil, fault.NotSupported("zip compression method %d", f.Method)
	}
	if uint64(len(out)) != f.UncompressedSize64 || crc32.ChecksumIEEE(out) != f.CRC32 {
		return nil, fault.Malformed("member %.80q is damaged", name)
	}
	a.expanded += int64(len(out))
	return out, nil
}

// memberName accepts the names that skops gives: digits or a UUID, and an extension.
func memberName(name, extension string) bool {
	stem, ok := strings.CutSuffix(name, extension)
	return ok && stem != "" && len(stem) <= 64 && strings.Trim(stem, "0123456789abcdef-") == ""
}
