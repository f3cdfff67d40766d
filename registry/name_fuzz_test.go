package registry

import (
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzCheckName: a name that is accepted stays below its directory on any system, and says the same to everyone.
func FuzzCheckName(f *testing.F) {
	for _, s := range []string{"model.txt", "a/b", "../x", "/x", `a\b`, "a\x00", "nul.txt", "ä", "", ".", "a//b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if CheckName(name) != nil {
			return
		}
		if !filepath.IsLocal(name) || filepath.Clean(name) != name || !utf8.ValidString(name) ||
			strings.ContainsAny(name, "\\:\x00\n\r") || len(name) > MaxName {
			t.Fatalf("accepted %q", name)
		}
	})
}
