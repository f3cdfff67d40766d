package duckdb

import (
	"context"
	"errors"
	"io"
	"math"
	"path/filepath"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/treeline-ml/treeline/warehouse"
	"github.com/treeline-ml/treeline/warehouse/file"
)

// maxKeyBits bounds the bitmap of keys: 32 MiB, one bit a value between the smallest and the largest key.
const maxKeyBits = 1 << 28

// wholeKeys says whether one key column of integers identifies the rows of a file, without grouping them: most files have
// their keys in ascending order, and most of the others have keys that lie close together. It reports false when it cannot
// say so, also when there are nulls or duplicates: whoever groups the keys then counts them for the message.
func wholeKeys(ctx context.Context, files string, key string) (good bool, err error) {
	ascending, low, high := true, int64(math.MaxInt64), int64(math.MinInt64)
	last, first := int64(0), true
	good, err = eachKey(ctx, files, key, func(v int64) bool {
		ascending = ascending && (first || v > last)
		last, first = v, false
		low, high = min(low, v), max(high, v)
		return true
	})
	if !good || err != nil || ascending {
		return good, err
	}
	span := uint64(high) - uint64(low) // exact: it wraps as the difference does
	if span >= maxKeyBits {
		return false, nil
	}
	seen := make([]uint64, span/64+1)
	return eachKey(ctx, files, key, func(v int64) bool {
		at := uint64(v) - uint64(low)
		if at > span { // the file changed
			return false
		}
		bit := uint64(1) << (at % 64)
		fresh := seen[at/64]&bit == 0
		seen[at/64] |= bit
		return fresh
	})
}

// eachKey calls f for each key until it reports false. It reports false itself for nulls, and for types that it does not
// read.
func eachKey(ctx context.Context, files, key string, f func(v int64) bool) (all bool, err error) {
	in, err := file.Open(ctx, files, file.Options{Columns: []string{key}})
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	for {
		rec, err := in.Next(ctx)
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		good := keysOf(rec.Column(0), f)
		rec.Release()
		if !good {
			return false, nil
		}
	}
}

func keysOf(arr arrow.Array, f func(v int64) bool) bool {
	if arr.NullN() > 0 {
		return false
	}
	switch a := arr.(type) {
	case *array.Int64:
		return each(a.Int64Values(), f)
	case *array.Int32:
		return each(a.Int32Values(), f)
	case *array.Uint32:
		return each(a.Uint32Values(), f)
	case *array.Int16:
		return each(a.Int16Values(), f)
	}
	return false
}

func each[T int64 | int32 | uint32 | int16](values []T, f func(v int64) bool) bool {
	for _, v := range values {
		if !f(int64(v)) {
			return false
		}
	}
	return true
}

// checkFile digests the files and checks their keys, which both read all of the file or little of it, at the same time.
func checkFile(ctx context.Context, in warehouse.Input) (info file.Info, whole bool, err error) {
	if in.DateColumn != "" || len(in.Keys) != 1 || !strings.EqualFold(filepath.Ext(in.Files), ".parquet") {
		info, err = file.Stat(ctx, in.Files, file.Options{})
		return info, false, err
	}
	ctx, stop := context.WithCancel(ctx)
	type answer struct {
		whole bool
		err   error
	}
	keys := make(chan answer, 1)
	go func() {
		good, err := wholeKeys(ctx, in.Files, in.Keys[0])
		keys <- answer{good, err}
	}()
	info, err = file.Stat(ctx, in.Files, file.Options{})
	if err != nil {
		stop() // the keys of what cannot be read do not matter
	}
	a := <-keys
	stop()
	if err != nil {
		return info, false, err
	}
	// What is wrong with a key column is found again, and said, by those who look at all columns.
	return info, a.whole && a.err == nil, nil
}
