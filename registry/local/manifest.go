package local

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/treeline-ml/treeline/registry"
)

// Limits of names and of the number of files; a manifest is read into memory whole.
const (
	maxFiles        = 10_000
	maxName         = 1024
	maxNamePart     = 255
	maxManifestSize = maxFiles * (6*maxName + 256)
)

// manifest is the content of manifest.json.
type manifest struct {
	Format int             `json:"format"` // 1
	Files  []manifestEntry `json:"files"`  // sorted by name
}

type manifestEntry struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	Digest string `json:"digest"`
}

// manifestBytes is the canonical form that is hashed and stored: encoding/json without HTML escapes, no spaces, files
// sorted by name, a line feed at the end.
func manifestBytes(files []registry.File) ([]byte, error) {
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

func digestOf(b []byte) string {
	h := sha256.New()
	h.Write(b)
	return sum(h)
}

// readManifest reads and checks the manifest of an artifact directory.
func readManifest(root *os.Root, digest string) (registry.Artifact, error) {
	f, err := root.Open(manifestName)
	if errors.Is(err, fs.ErrNotExist) {
		return registry.Artifact{}, fmt.Errorf("manifest is gone: %w", registry.ErrDigest)
	}
	if err != nil {
		return registry.Artifact{}, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxManifestSize+1))
	if err != nil {
		return registry.Artifact{}, err
	}
	if got := digestOf(b); got != digest {
		return registry.Artifact{}, fmt.Errorf("manifest has %s: %w", got, registry.ErrDigest)
	}
	var m manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return registry.Artifact{}, fmt.Errorf("manifest: %w: %w", err, registry.ErrDigest)
	}
	a := registry.Artifact{Digest: digest}
	for _, e := range m.Files {
		if err := checkName(e.Name); err != nil { // its digest is right, so we wrote it; still nothing leaves the directory
			return registry.Artifact{}, err
		}
		a.Files = append(a.Files, registry.File(e))
	}
	return a, nil
}

func sortFiles(files []registry.File) {
	slices.SortFunc(files, func(a, b registry.File) int { return cmp.Compare(a.Name, b.Name) })
}

// checkName refuses every name that could mean another place on some system, or that people could not tell apart:
// absolute, with "." or ".." or empty parts, backslashes, colons, control characters, a trailing dot or space, names
// that Windows reserves, and bytes that are not UTF-8.
func checkName(name string) error {
	bad := func(why string) error { return fmt.Errorf("%q: %s: %w", name, why, registry.ErrPath) }
	switch {
	case name == "":
		return bad("empty")
	case len(name) > maxName:
		return fmt.Errorf("name of %d bytes, at most %d: %w", len(name), maxName, registry.ErrPath)
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
