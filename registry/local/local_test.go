package local

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/treeline-ml/treeline/registry"
	"github.com/treeline-ml/treeline/registry/registrytest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("TREELINE_TEST_UPLOAD_DIR"); dir != "" {
		uploadForever(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

func open(t testing.TB, dir string, maxBytes int64) registry.Registry {
	t.Helper()
	r, err := Open(filepath.Join(dir, "registry"), Options{MaxBytes: maxBytes})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRegistry(t *testing.T) { registrytest.Run(t, open) }

func seeded(t *testing.T) (registry.Registry, registry.Artifact, string) {
	t.Helper()
	r := open(t, t.TempDir(), 0)
	a, err := registrytest.Put(t.Context(), r, []string{"d/model.txt", "golden"},
		registrytest.Files{"d/model.txt": []byte("tree"), "golden": []byte("rows")})
	if err != nil {
		t.Fatal(err)
	}
	dir, _, err := r.Fetch(t.Context(), a.Digest)
	if err != nil {
		t.Fatal(err)
	}
	return r, a, dir
}

func TestFetchDetectsDamage(t *testing.T) {
	write := func(name, text string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			p := filepath.Join(dir, name)
			if err := os.Remove(p); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, damage := range map[string]func(*testing.T, string){
		"same size":         write("d/model.txt", "tre3"),
		"shorter":           write("d/model.txt", "tre"),
		"longer":            write("d/model.txt", "tree\n"),
		"empty":             write("golden", ""),
		"extra file":        write("d/extra", "x"),
		"manifest":          write("../manifest.json", `{"format":1,"files":[]}`),
		"manifest is empty": write("../manifest.json", ""),
		"file gone": func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, "golden")); err != nil {
				t.Fatal(err)
			}
		},
		"manifest gone": func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, "..", "manifest.json")); err != nil {
				t.Fatal(err)
			}
		},
		"directory": func(t *testing.T, dir string) {
			if err := errors.Join(os.Remove(filepath.Join(dir, "golden")), os.Mkdir(filepath.Join(dir, "golden"), 0o700)); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, a, dir := seeded(t)
			damage(t, dir)
			if _, _, err := r.Fetch(t.Context(), a.Digest); !errors.Is(err, registry.ErrDigest) {
				t.Fatalf("error is %v, want %v", err, registry.ErrDigest)
			}
			// The same files again repair it.
			again, err := registrytest.Put(t.Context(), r, []string{"d/model.txt", "golden"},
				registrytest.Files{"d/model.txt": []byte("tree"), "golden": []byte("rows")})
			if err != nil || again.Digest != a.Digest {
				t.Fatalf("digest %s, want %s (%v)", again.Digest, a.Digest, err)
			}
			if _, _, err := r.Fetch(t.Context(), a.Digest); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestFetchStaysInside(t *testing.T) {
	r, a, dir := seeded(t)
	outside := filepath.Join(t.TempDir(), "golden")
	if err := os.WriteFile(outside, []byte("rows"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(filepath.Join(dir, "golden")), os.Symlink(outside, filepath.Join(dir, "golden"))); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Fetch(t.Context(), a.Digest); err == nil {
		t.Fatal("followed a link out of the artifact")
	}
}

func TestModes(t *testing.T) {
	_, _, dir := seeded(t)
	for name, want := range map[string]os.FileMode{
		".": 0o700, "d": 0o700, "d/model.txt": 0o400, "golden": 0o400, "../manifest.json": 0o400, "..": 0o700,
	} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v (%v)", name, info.Mode(), want, err)
		}
	}
}

// TestManifestDigest pins the canonical form: a digest that was handed out must be found by later releases.
func TestManifestDigest(t *testing.T) {
	b, err := registry.Manifest([]registry.File{{Name: "a<b>&ü", Size: 3, Digest: "sha256:00"}, {Name: "b", Size: 0, Digest: "sha256:11"}})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"format":1,"files":[{"name":"a<b>&ü","size":3,"digest":"sha256:00"},{"name":"b","size":0,"digest":"sha256:11"}]}` + "\n"
	if string(b) != want {
		t.Fatalf("manifest is %s", b)
	}
	if got := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(want))); got != digestOf(b) {
		t.Fatalf("digest is %s, want %s", digestOf(b), got)
	}
}

// uploadForever is the child of TestKill: it commits artifacts and prints each digest after its Commit returned.
func uploadForever(dir string) {
	r, err := Open(dir, Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for i := 0; ; i++ {
		a, err := registrytest.Put(context.Background(), r, []string{"model", "d/rows"},
			registrytest.Files{"model": make([]byte, 20_000+i), "d/rows": []byte(fmt.Sprint(os.Getpid(), i))})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(a.Digest)
	}
}

// TestKill kills an uploader with SIGKILL at random moments. What it reported as committed must be there and sound, and
// everything that is there must be sound.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(1, 2))
	committed := 0
	for range 12 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), "TREELINE_TEST_UPLOAD_DIR="+dir)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		var digests []string
		read := func() bool {
			if !lines.Scan() {
				return false
			}
			digests = append(digests, lines.Text())
			return true
		}
		if !read() {
			t.Fatal("the child ended early")
		}
		timer := time.AfterFunc(time.Duration(rng.IntN(15_000))*time.Microsecond, func() { _ = child.Process.Kill() })
		for read() {
		}
		timer.Stop()
		_ = child.Wait() // killed

		r, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range digests {
			if _, _, err := r.Fetch(t.Context(), d); err != nil {
				t.Errorf("committed, then lost: %v", err)
			}
		}
		committed += len(digests)
		entries, err := os.ReadDir(filepath.Join(dir, artifactsDir()))
		if err != nil || len(entries) < committed {
			t.Fatalf("%d artifacts, want %d or more (%v)", len(entries), committed, err)
		}
		for _, e := range entries {
			if _, _, err := r.Fetch(t.Context(), "sha256:"+e.Name()); err != nil {
				t.Errorf("half an artifact: %v", err)
			}
		}
		left, err := os.ReadDir(filepath.Join(dir, uploadsDir))
		if err != nil || len(left) > 0 {
			t.Errorf("%d unfinished uploads left (%v)", len(left), err)
		}
	}
	t.Logf("%d commits survived 12 kills", committed)
}
