package warehouse

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Output is where the predictions of a batch go: rows of a table among those of other batches, or a Parquet file that
// holds this one batch.
type Output struct {
	Table TableName
	File  string // absolute path of a .parquet file; used when set
}

// OutputFile is the output to a Parquet file. The path must be absolute, since daemon and caller have working directories
// of their own.
func OutputFile(path string) (Output, error) {
	switch {
	case !filepath.IsAbs(path):
		return Output{}, fmt.Errorf("output file %q: the path is not absolute", path)
	case strings.ToLower(filepath.Ext(path)) != ".parquet":
		return Output{}, fmt.Errorf("output file %q: the extension is not .parquet", path)
	case strings.ContainsAny(path, "\x00\n\r\t"):
		return Output{}, fmt.Errorf("output file %q: the path has line breaks, tabs or zero bytes", path)
	}
	return Output{File: filepath.Clean(path)}, nil
}

// ParseOutput reads what String writes: catalog.schema.table, or an absolute path.
func ParseOutput(s string) (Output, error) {
	if filepath.IsAbs(s) {
		return OutputFile(s)
	}
	t, err := ParseTableName(s)
	return Output{Table: t}, err
}

// String is the path of a file, and the name of a table otherwise.
func (o Output) String() string {
	if o.File != "" {
		return o.File
	}
	return o.Table.String()
}
