package mlflow_test

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/treeline-ml/treeline/internal/mlflowtest"
	"github.com/treeline-ml/treeline/registry"
	"github.com/treeline-ml/treeline/registry/mlflow"
)

var shared mlflowtest.Shared

func TestMain(m *testing.M) { goleak.VerifyTestMain(shared.Main(m)) }

// client talks to url with short waits.
func client(t testing.TB, url string, change ...func(*mlflow.Options)) *mlflow.Client {
	t.Helper()
	o := mlflow.Options{TrackingURI: url, MinRetry: time.Millisecond, MaxRetry: 10 * time.Millisecond}
	for _, f := range change {
		f(&o)
	}
	c, err := mlflow.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// live is a client of the shared server.
func live(t testing.TB) *mlflow.Client {
	t.Helper()
	return client(t, shared.Server(t).URL)
}

// roundTrip is a server without a network.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// answers is a transport that gives every request the same answer.
func answers(status int, contentType, body string) roundTrip {
	return func(r *http.Request) (*http.Response, error) {
		h := http.Header{}
		h.Set("Content-Type", contentType)
		return &http.Response{
			StatusCode: status, Header: h, Body: io.NopCloser(bytes.NewReader([]byte(body))), Request: r,
			ContentLength: int64(len(body)),
		}, nil
	}
}

// canned is a client whose server answers everything alike.
func canned(t testing.TB, status int, contentType, body string) *mlflow.Client {
	t.Helper()
	return client(t, "http://mlflow.invalid", func(o *mlflow.Options) { o.Transport = answers(status, contentType, body) })
}

// readDir is the content of every file below dir, by slash-separated name.
func readDir(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, p)
		out[filepath.ToSlash(name)] = b
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// writeDir writes files to a new directory and describes them.
func writeDir(t testing.TB, files map[string][]byte) (string, registry.Artifact) {
	t.Helper()
	dir := t.TempDir()
	var a registry.Artifact
	for name, b := range files {
		p := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
		a.Files = append(a.Files, file(name, b))
	}
	slices.SortFunc(a.Files, func(x, y registry.File) int { return cmp.Compare(x.Name, y.Name) })
	return dir, a
}

func file(name string, b []byte) registry.File {
	sum := sha256.Sum256(b)
	return registry.File{Name: name, Size: int64(len(b)), Digest: "sha256:" + hex.EncodeToString(sum[:])}
}

// unique makes names that no other test uses on the shared server.
func unique(t testing.TB, what string) string {
	t.Helper()
	return fmt.Sprintf("%s-%s", what, hex.EncodeToString([]byte(t.Name())))[:min(60, len(what)+1+2*len(t.Name()))] + fmt.Sprint(time.Now().UnixNano())
}
