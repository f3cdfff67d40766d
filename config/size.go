package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes, written as 512MiB, 1.5GiB or 1000000.
type Size int64

var errSize = errors.New("want bytes such as 512MiB, 2GiB or 1048576")

// units are the accepted suffixes; those of 1000 and of 1024 mean what they say.
func units() []struct {
	suffix string
	bytes  float64
} {
	return []struct {
		suffix string
		bytes  float64
	}{
		{"KiB", 1 << 10},
		{"MiB", 1 << 20},
		{"GiB", 1 << 30},
		{"TiB", 1 << 40},
		{"KB", 1e3},
		{"MB", 1e6},
		{"GB", 1e9},
		{"TB", 1e12},
		{"B", 1},
	}
}

// ParseSize reads a size.
func ParseSize(s string) (Size, error) {
	number, scale := strings.TrimSpace(s), 1.0
	for _, u := range units() {
		if rest, ok := strings.CutSuffix(number, u.suffix); ok {
			number, scale = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	if n, err := strconv.ParseInt(number, 10, 64); err == nil && n >= 0 && float64(n)*scale <= math.MaxInt64/2 {
		return Size(n * int64(scale)), nil
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || !(f >= 0) || f*scale > math.MaxInt64/2 {
		return 0, fmt.Errorf("size %q: %w", s, errSize)
	}
	return Size(f * scale), nil
}

// String is the size in the largest binary unit that divides it.
func (s Size) String() string {
	for i, suffix := range []string{"TiB", "GiB", "MiB", "KiB"} {
		if unit := Size(1) << (40 - 10*i); s != 0 && s%unit == 0 {
			return strconv.FormatInt(int64(s/unit), 10) + suffix
		}
	}
	return strconv.FormatInt(int64(s), 10)
}
