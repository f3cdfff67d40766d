package registry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The limits of a file name in bytes.
const (
	MaxName     = 1024
	maxNamePart = 255
)

// manifest is the form of Manifest.
type manifest struct {
	Format int             `json:"format"` // 1
	Files  []manifestEntry `json:"files"`
}

type manifestEntry struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	Digest string `json:"digest"`
}

// Manifest is the canonical form of an artifact, whose SHA-256 is the artifact's digest: encoding/json without HTML
// escapes, no spaces, a line feed at the end. The caller has sorted the files by name.
func Manifest(files []File) ([]byte, error) {
	m := manifest{Format: 1, Files: make([]manifestEntry, len(files))}
	for i, f := range files {
		m.Files[i] = manifestEntry(f)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(m)
	return b.Bytes(), err
}

// CheckName refuses with ErrPath every file name that could mean another place on some system, or that people could not
// tell apart: absolute, with "." or ".." or empty parts, backslashes, colons, control characters, a trailing dot or
// space, names that Windows reserves, and bytes that are not UTF-8.
func CheckName(name string) error {
	bad := func(why string) error { return fmt.Errorf("%q: %s: %w", name, why, ErrPath) }
	switch {
	case name == "":
		return bad("empty")
	case len(name) > MaxName:
		return fmt.Errorf("name of %d bytes, at most %d: %w", len(name), MaxName, ErrPath)
	case !utf8.ValidString(name):
		return bad("not UTF-8")
	case strings.HasPrefix(name, "/"):
		return bad("absolute")
	case strings.ContainsAny(name, `\:*?"<>|`):
		return bad(`has one of \:*?"<>|`)
	case strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsGraphic(r) }):
		return bad("has a control or invisible character")
	}
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "" || part == "." || part == "..":
			return bad(`has an empty, "." or ".." part`)
		case len(part) > maxNamePart:
			return bad(fmt.Sprintf("has a part of %d bytes, at most %d", len(part), maxNamePart))
		case strings.HasSuffix(part, ".") || strings.HasSuffix(part, " ") || strings.HasPrefix(part, " "):
			return bad("a part begins or ends with a space, or ends with a dot")
		case reserved(part):
			return bad("is a reserved name")
		}
	}
	return nil
}

// reserved reports names that are devices on Windows, with any extension.
func reserved(part string) bool {
	stem, _, _ := strings.Cut(strings.ToUpper(part), ".")
	switch stem {
	case "CON", "PRN", "AUX", "NUL":
		return true
	}
	return len(stem) == 4 && (strings.HasPrefix(stem, "COM") || strings.HasPrefix(stem, "LPT")) &&
		stem[3] >= '0' && stem[3] <= '9'
}
