package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"unsafe"
)

// model is one of the benchmark's models with its rows, as bench/peers/models.py laid them out.
type model struct {
	name, directory string
	meta            meta
}

type meta struct {
	Library     string `json:"library"`
	File        string `json:"file"`
	Ours        string `json:"ours"` // the form that bench/importer reads, where there is no loader
	Input       string `json:"input"`
	Rows        string `json:"rows"`
	Columns     string `json:"columns"`
	Features    int    `json:"features"`
	Categorical []int  `json:"categorical"`
	N           int    `json:"n"`
	Width       int    `json:"width"`
}

func openModel(directory, name string) (*model, error) {
	m := &model{name: name, directory: directory}
	data, err := os.ReadFile(filepath.Join(directory, name, "meta.json"))
	if err != nil {
		return nil, err
	}
	return m, json.Unmarshal(data, &m.meta)
}

func (m *model) path(file string) string { return filepath.Join(m.directory, m.name, file) }

// column holds one feature in the type that the file has it in; the others are nil.
type column struct {
	doubles []float64
	singles []float32
	codes   []int32
}

// columns reads the rows feature by feature.
func (m *model) columns() ([]column, error) {
	data, err := os.ReadFile(filepath.Join(m.directory, m.meta.Columns))
	if err != nil {
		return nil, err
	}
	out := make([]column, m.meta.Features)
	for f := range out {
		var err error
		switch {
		case m.meta.Input == "f32":
			out[f].singles, data, err = take[float32](data, m.meta.N)
		case slices.Contains(m.meta.Categorical, f):
			out[f].codes, data, err = take[int32](data, m.meta.N)
		default:
			out[f].doubles, data, err = take[float64](data, m.meta.N)
		}
		if err != nil {
			return nil, fmt.Errorf("%s, feature %d: %w", m.meta.Columns, f, err)
		}
	}
	return out, nil
}

// matrix reads the rows row-major, as doubles.
func (m *model) matrix() ([]float64, error) {
	data, err := os.ReadFile(filepath.Join(m.directory, m.meta.Rows))
	if err != nil {
		return nil, err
	}
	n := m.meta.N * m.meta.Features
	if m.meta.Input == "f64" {
		v, _, err := take[float64](data, n)
		return v, err
	}
	v, _, err := take[float32](data, n)
	out := make([]float64, len(v))
	for i := range v {
		out[i] = float64(v[i])
	}
	return out, err
}

// take copies n values from the front of data (the machine's byte order is the file's) and returns the rest.
func take[T float32 | float64 | int32](data []byte, n int) ([]T, []byte, error) {
	var z T
	size := n * int(unsafe.Sizeof(z))
	if n <= 0 || n > math.MaxInt32 || len(data) < size {
		return nil, nil, fmt.Errorf("%d bytes for %d values of %T", len(data), n, z)
	}
	out := make([]T, n)
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&out[0])), size), data)
	return out, data[size:], nil
}
