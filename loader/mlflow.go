package loader

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/loader/internal/fault"
	"github.com/treeline-ml/treeline/loader/mlmodel"
)

// isMLmodel looks at the beginning of a file and returns to it.
func isMLmodel(f *os.File) bool {
	head := make([]byte, sniffBytes)
	n, err := f.ReadAt(head, 0)
	return (err == nil || errors.Is(err, io.EOF)) && detect(head[:n]) == mlflowModel
}

// openDirectory opens an MLflow model directory.
func openDirectory(dir string) (*forest.Model, error) {
	if _, err := os.Lstat(filepath.Join(dir, mlmodel.FileName)); errors.Is(err, fs.ErrNotExist) {
		return nil, &Error{
			Path: dir,
			Hint: "give the path of the model file in it",
			Err:  fault.Unknown("it is a directory without a file %s", mlmodel.FileName),
		}
	}
	return openMLflow(filepath.Join(dir, mlmodel.FileName), dir, mlmodel.FileName)
}

// openMLflow reads the metadata file of a directory and the model file that it names.
func openMLflow(path, dir, name string) (*forest.Model, error) {
	m, err := readMLflow(dir, name)
	return m, at(path, err)
}

func readMLflow(dir, name string) (*forest.Model, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	text, err := readSmall(root, name)
	if err != nil {
		return nil, err
	}
	l := DefaultLimits()
	d, err := mlmodel.Parse(text, l)
	if err != nil {
		return nil, err
	}
	f, size, err := d.Open(root)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if isMLmodel(f) {
		return nil, fault.Complete(mlmodel.Format, fault.At(d.Data, fault.Malformed("it is another MLmodel file")))
	}
	m, err := decode(f, size, l)
	if err != nil {
		return nil, at(filepath.Join(dir, filepath.FromSlash(d.Data)), err)
	}
	if err := d.Apply(m); err != nil {
		return nil, err
	}
	if err := checkNames(m); err != nil {
		return nil, fault.Complete(m.Provenance.Format, err)
	}
	if err := m.Validate(); err != nil {
		return nil, fault.Complete(m.Provenance.Format, fault.Invalid(err))
	}
	sum := sha256.Sum256(text)
	own := "sha256:" + hex.EncodeToString(sum[:])
	m.Provenance.Files = []forest.File{{Name: name, Digest: own}, {Name: d.Data, Digest: m.Provenance.Digest}}
	m.Provenance.Digest = own
	return m, nil
}

// readSmall reads the metadata file, which lies in the directory as the model does.
func readSmall(root *os.Root, name string) ([]byte, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, &Error{Format: mlmodel.Format, Hint: "give the path of an MLflow model directory", Err: err}
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, mlmodel.MaxBytes+1))
	if err != nil {
		return nil, &Error{Format: mlmodel.Format, Hint: "copy the directory again", Err: err}
	}
	return text, nil
}
