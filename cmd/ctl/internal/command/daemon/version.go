package daemon

import (
	"errors"
	"strconv"
	"strings"
)

// Version is a flag value that names a model version as a number or as tables show it: 2 or v2.
type Version int64

// String returns the number.
func (v *Version) String() string { return strconv.FormatInt(int64(*v), 10) }

// Type is the placeholder in help texts.
func (v *Version) Type() string { return "version" }

// Set accepts 2 and v2.
func (v *Version) Set(s string) error {
	n, err := strconv.ParseInt(strings.TrimPrefix(s, "v"), 10, 64)
	if err != nil || n < 1 {
		return errors.New("not a version number; want one such as 2 or v2")
	}
	*v = Version(n)
	return nil
}
