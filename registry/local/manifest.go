package local

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/treeline-ml/treeline/registry"
)

// Limits of the number of files; a manifest is read into memory whole.
const (
	maxFiles        = 10_000
	maxManifestSize = maxFiles * (6*registry.MaxName + 256)
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
		if err := registry.CheckName(e.Name); err != nil { // its digest is right, so we wrote it; still nothing leaves the directory
			return registry.Artifact{}, err
		}
		a.Files = append(a.Files, registry.File(e))
	}
	return a, nil
}

func sortFiles(files []registry.File) {
	slices.SortFunc(files, func(a, b registry.File) int { return cmp.Compare(a.Name, b.Name) })
}
