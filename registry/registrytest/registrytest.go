// Package registrytest is the suite that every registry.Registry passes.
package registrytest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/treeline-ml/treeline/registry"
)

// Open opens the registry that belongs to dir with a cap on an artifact's size. Opening the same dir again shows the
// same artifacts.
type Open func(t testing.TB, dir string, maxBytes int64) registry.Registry

// Run runs the suite.
func Run(t *testing.T, open Open) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, Open){
		"round trip":          testRoundTrip,
		"digest is content":   testDigest,
		"commit twice":        testTwice,
		"concurrent commits":  testConcurrent,
		"not found":           testNotFound,
		"names":               testNames,
		"duplicate names":     testDuplicates,
		"size cap":            testSize,
		"abort":               testAbort,
		"out of order":        testOrder,
		"cancelled":           testCancelled,
		"reopen":              testReopen,
		"unfinished uploads":  testUnfinished,
		"empty and odd files": testOdd,
	} {
		t.Run(name, func(t *testing.T) { test(t, open) })
	}
}

// Names that the suite uses often.
const (
	tree   = "model.txt"
	golden = "data/golden.parquet"
	notes  = "data/deep/notes.md"
	nested = "d/x"
)

// Files are the names and contents of an artifact.
type Files map[string][]byte

// Put uploads files in the order of names, a few bytes at a time.
func Put(ctx context.Context, r registry.Registry, names []string, files Files) (registry.Artifact, error) {
	u, err := r.NewUpload(ctx)
	if err != nil {
		return registry.Artifact{}, err
	}
	defer u.Abort() //nolint:errcheck // a no-op after Commit; before it, the error returned matters more
	for _, name := range names {
		w, err := u.Create(name)
		if err != nil {
			return registry.Artifact{}, err
		}
		for chunk := range slices.Chunk(files[name], 1000) {
			if n, err := w.Write(chunk); err != nil || n != len(chunk) {
				return registry.Artifact{}, fmt.Errorf("wrote %d of %d: %w", n, len(chunk), err)
			}
		}
		if err := w.Close(); err != nil {
			return registry.Artifact{}, err
		}
	}
	return u.Commit(ctx)
}

func put(t *testing.T, r registry.Registry, files Files) registry.Artifact {
	t.Helper()
	names := make([]string, 0, len(files))
	for n := range files {
		names = append(names, n)
	}
	slices.Sort(names)
	a, err := Put(t.Context(), r, names, files)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func fetch(t *testing.T, r registry.Registry, a registry.Artifact, want Files) {
	t.Helper()
	dir, got, err := r.Fetch(t.Context(), a.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(a, got); d != "" {
		t.Fatalf("artifact (-committed +fetched)\n%s", d)
	}
	seen := Files{}
	err = filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(p)
		seen[filepath.ToSlash(name)] = b
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, seen); d != "" {
		t.Fatalf("files (-put +fetched)\n%s", d)
	}
}

func sample() Files {
	big := make([]byte, 100_000)
	rng := rand.NewChaCha8([32]byte{1})
	_, _ = rng.Read(big)
	return Files{tree: []byte("tree\n"), golden: big, notes: []byte("ü")}
}

func testRoundTrip(t *testing.T, open Open) {
	r := open(t, t.TempDir(), 0)
	files := sample()
	a := put(t, r, files)
	if !regexp.MustCompile(`^sha256:[0-9a-f]{64}$`).MatchString(a.Digest) {
		t.Errorf("digest is %q", a.Digest)
	}
	var want []registry.File
	for _, name := range []string{notes, golden, tree} {
		h := sha256.Sum256(files[name])
		want = append(want, registry.File{
			Name: name, Size: int64(len(files[name])), Digest: "sha256:" + hex.EncodeToString(h[:]),
		})
	}
	if d := cmp.Diff(want, a.Files); d != "" {
		t.Errorf("files (-want +got)\n%s", d)
	}
	fetch(t, r, a, files)
}

func testDigest(t *testing.T, open Open) {
	ctx := t.Context()
	files := Files{"a": []byte("1"), "b": []byte("2")}
	one, err := Put(ctx, open(t, t.TempDir(), 0), []string{"a", "b"}, files)
	if err != nil {
		t.Fatal(err)
	}
	two, err := Put(ctx, open(t, t.TempDir(), 0), []string{"b", "a"}, files)
	if err != nil {
		t.Fatal(err)
	}
	if one.Digest != two.Digest {
		t.Error("the digest depends on the order of upload or on the registry")
	}
	seen := map[string]bool{one.Digest: true}
	for _, other := range []Files{
		{"a": []byte("1")},
		{"a": []byte("1"), "b": []byte("3")},
		{"a": []byte("1"), "c": []byte("2")},
		{"a": []byte("12"), "b": nil},
		{"a": []byte("2"), "b": []byte("1")},
	} {
		d := put(t, open(t, t.TempDir(), 0), other).Digest
		if seen[d] {
			t.Errorf("%v has the digest of other files", other)
		}
		seen[d] = true
	}
}

func testTwice(t *testing.T, open Open) {
	r := open(t, t.TempDir(), 0)
	a, b := put(t, r, sample()), put(t, r, sample())
	if d := cmp.Diff(a, b); d != "" {
		t.Errorf("second commit differs\n%s", d)
	}
	fetch(t, r, a, sample())
}

func testConcurrent(t *testing.T, open Open) {
	r := open(t, t.TempDir(), 0)
	files := sample()
	errs := make(chan error, 8)
	for range cap(errs) {
		go func() {
			_, err := Put(context.Background(), r, []string{tree, golden, notes}, files)
			errs <- err
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	fetch(t, r, put(t, r, files), files)
}

func testNotFound(t *testing.T, open Open) {
	r := open(t, t.TempDir(), 0)
	for _, digest := range []string{
		"", "sha256:", "sha256:" + strings.Repeat("0", 64), "sha256:../../../../etc", "md5:00", strings.Repeat("0", 64),
		"sha256:" + strings.Repeat("A", 64), "sha256:" + strings.Repeat("0", 63) + "/",
	} {
		if _, _, err := r.Fetch(t.Context(), digest); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("%q: error is %v, want %v", digest, err, registry.ErrNotFound)
		}
	}
}

func testNames(t *testing.T, open Open) {
	r := open(t, t.TempDir(), 0)
	for _, name := range []string{
		"", ".", "..", "../x", "a/../b", "a/..", "/etc/passwd", "a//b", "a/", "/", "./a", "a/./b", `a\b`, `..\x`,
		"C:x", "a\x00b", "a\nb", "a\x7f", "con", "a/NUL.txt", "com1", "lpt9.log", "x.", "x ", " x", "a\xff", "a\u200bb",
		"a\u202eb", strings.Repeat("x", 256), strings.Repeat("x/", 600) + "x", "a*", "a?", `a"`, "a|b", "a<", "a>",
	} {
		u, err := r.NewUpload(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := u.Create(name); !errors.Is(err, registry.ErrPath) {
			t.Errorf("%q: error is %v, want %v", name, err, registry.ErrPath)
		}
		if err := u.Abort(); err != nil {
			t.Error(err)
		}
	}
	good := Files{}
	for _, name := range []string{
		tree, ".hidden", "a b", "...a", "ärger/ñ.ubj", "console", "com", "manifest.json", "files/x", "comx",
		strings.Repeat("x", 255), "a-b_c+d=e,f@g%20#", "com10",
	} {
		good[name] = []byte(name)
	}
	fetch(t, r, put(t, r, good), good)
}

func testDuplicates(t *testing.T, open Open) {
	r := open(t, t.TempDir(), 0)
	for _, names := range [][]string{
		{"a", "a"}, {"a", "A"}, {nested, "D/X"}, {"d", nested}, {nested, "d"}, {"a/b/c", "a/b"}, {"a/b", "a/b/c/d"},
	} {
		_, err := Put(t.Context(), r, names, Files{})
		if !errors.Is(err, registry.ErrPath) {
			t.Errorf("%q: error is %v, want %v", names, err, registry.ErrPath)
		}
	}
}

func testSize(t *testing.T, open Open) {
	r := open(t, t.TempDir(), 3000)
	ctx := t.Context()
	fits := Files{"a": make([]byte, 1500), "b": make([]byte, 1500)}
	fetch(t, r, put(t, r, fits), fits)
	_, err := Put(ctx, r, []string{"a", "b"}, Files{"a": make([]byte, 1500), "b": make([]byte, 1501)})
	if !errors.Is(err, registry.ErrTooLarge) {
		t.Errorf("error is %v, want %v", err, registry.ErrTooLarge)
	}
	// The refusal sticks: what was written so far is not an artifact.
	u, err := r.NewUpload(ctx)
	if err != nil {
		t.Fatal(err)
	}
	w, err := u.Create("a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(w, bytes.NewReader(make([]byte, 5000))); !errors.Is(err, registry.ErrTooLarge) {
		t.Errorf("copy: error is %v, want %v", err, registry.ErrTooLarge)
	}
	if err := w.Close(); !errors.Is(err, registry.ErrTooLarge) {
		t.Errorf("close: error is %v, want %v", err, registry.ErrTooLarge)
	}
	if _, err := u.Commit(ctx); !errors.Is(err, registry.ErrTooLarge) {
		t.Errorf("commit: error is %v, want %v", err, registry.ErrTooLarge)
	}
	if err := u.Abort(); err != nil {
		t.Error(err)
	}
}

func testAbort(t *testing.T, open Open) {
	r := open(t, t.TempDir(), 0)
	ctx := t.Context()
	u, err := r.NewUpload(ctx)
	if err != nil {
		t.Fatal(err)
	}
	w, err := u.Create("a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := u.Abort(); err != nil {
			t.Error(err)
		}
	}
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("wrote after Abort")
	}
	if _, err := u.Commit(ctx); err == nil {
		t.Error("committed after Abort")
	}
	a := put(t, r, sample())
	u, err = r.NewUpload(ctx)
	if err != nil {
		t.Fatal(err)
	}
	w, err = u.Create("z")
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	b, err := u.Commit(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := u.Abort(); err != nil {
		t.Error(err)
	}
	fetch(t, r, a, sample())
	fetch(t, r, b, Files{"z": {}})
}

func testOrder(t *testing.T, open Open) {
	r := open(t, t.TempDir(), 0)
	ctx := t.Context()
	u, err := r.NewUpload(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Commit(ctx); err == nil {
		t.Error("committed no files")
	}
	w, err := u.Create("a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Create("b"); err == nil {
		t.Error("two files are open")
	}
	if _, err := u.Commit(ctx); err == nil {
		t.Error("committed with a file open")
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("wrote to a closed file")
	}
	a, err := u.Commit(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Create("c"); err == nil {
		t.Error("created after Commit")
	}
	fetch(t, r, a, Files{"a": {}})
}

func testCancelled(t *testing.T, open Open) {
	r := open(t, t.TempDir(), 0)
	a := put(t, r, sample())
	ctx, cancel := context.WithCancel(t.Context())
	u, err := r.NewUpload(ctx)
	if err != nil {
		t.Fatal(err)
	}
	w, err := u.Create("a")
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := w.Write([]byte("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("write: error is %v", err)
	}
	if err := u.Abort(); err != nil {
		t.Error(err)
	}
	if _, err := r.NewUpload(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("new upload: error is %v", err)
	}
	if _, _, err := r.Fetch(ctx, a.Digest); !errors.Is(err, context.Canceled) {
		t.Errorf("fetch: error is %v", err)
	}
}

func testReopen(t *testing.T, open Open) {
	dir := t.TempDir()
	a := put(t, open(t, dir, 0), sample())
	r := open(t, dir, 0)
	fetch(t, r, a, sample())
	if b := put(t, r, sample()); b.Digest != a.Digest {
		t.Errorf("digest is %s, was %s", b.Digest, a.Digest)
	}
}

func testUnfinished(t *testing.T, open Open) {
	dir := t.TempDir()
	u, err := open(t, dir, 0).NewUpload(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w, err := u.Create("half")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(bytes.Repeat([]byte("needle"), 1000)); err != nil {
		t.Fatal(err)
	}
	r := open(t, dir, 0) // the first one died
	err = filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			t.Errorf("%s was left behind", p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	fetch(t, r, put(t, r, sample()), sample())
}

func testOdd(t *testing.T, open Open) {
	r := open(t, t.TempDir(), 0)
	for _, files := range []Files{
		{"empty": {}}, {"a": {}, "b": {}}, {"x": []byte{0}}, {"n": bytes.Repeat([]byte("\r\n"), 50_000)},
	} {
		fetch(t, r, put(t, r, files), files)
	}
}
