package projection

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/treeline-ml/treeline/lifecycle/stage"
	"github.com/treeline-ml/treeline/registry"
	"github.com/treeline-ml/treeline/store"
)

// desired is what a registered model should look like, as the store says at one moment.
type desired struct {
	model      store.Model
	versions   []store.Version              // newest first
	known      map[string]store.Version     // by registry version
	champion   store.Version                // zero when there is none
	challenger store.Version                // zero when there is none
	aliases    map[string]string            // to registry versions; "" where the alias should not be there
	tags       map[string]map[string]string // by registry version
}

func readDesired(r store.Reader, model string) (desired, error) {
	d := desired{known: map[string]store.Version{}, tags: map[string]map[string]string{}}
	var err error
	if d.model, err = r.Model(model); err != nil {
		return d, err
	}
	if d.versions, err = r.Versions(model); err != nil {
		return d, err
	}
	periods, err := r.Periods(model)
	if err != nil {
		return d, err
	}
	last := map[int64]store.Period{}
	for _, p := range periods { // newest first
		if _, ok := last[p.Version]; !ok {
			last[p.Version] = p
		}
	}
	for _, v := range d.versions {
		switch stage.Stage(v.Stage) { //nolint:exhaustive // the two that have an alias
		case stage.Champion:
			d.champion = v
		case stage.Validated:
			if d.challenger.Version == 0 {
				d.challenger = v
			}
		}
		if v.RegistryVersion == "" {
			continue
		}
		d.known[v.RegistryVersion] = v
		tags := map[string]string{
			TagStage: stage.Stage(v.Stage).Title(), TagDigest: v.Digest, TagVersion: strconv.FormatInt(v.Version, 10),
		}
		if p, ok := last[v.Version]; ok {
			tags[TagGeneration] = strconv.FormatInt(p.Generation, 10)
			if tags[TagCheckpoint], err = checkpoint(r, p); err != nil {
				return d, err
			}
		}
		d.tags[v.RegistryVersion] = tags
	}
	d.aliases = map[string]string{Champion: d.champion.RegistryVersion, Challenger: d.challenger.RegistryVersion}
	return d, nil
}

// checkpoint is the head of the audit log when the period began. The entry of the new Champion was the last one of that
// transaction.
func checkpoint(r store.Reader, p store.Period) (string, error) {
	q := store.AuditQuery{Model: p.Model, Version: p.Version, Action: p.Action, PageSize: store.MaxPageSize}
	for {
		rows, next, err := r.Audit(q)
		if err != nil {
			return "", err
		}
		for _, a := range rows {
			if a.Seq == p.AuditSeq {
				return strconv.FormatInt(a.Seq, 10) + ":" + a.Hash, nil
			}
		}
		if next == "" {
			return "", fmt.Errorf("projection: %s generation %d: no audit entry %d: %w", p.Model, p.Generation, p.AuditSeq, store.ErrCorrupt)
		}
		q.PageToken = next
	}
}

// tagsDigest stands for all desired tags in the note.
func (d *desired) tagsDigest() (string, error) {
	b, err := json.Marshal(d.tags) // sorted by key
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8]), err
}

// note is what the projection wrote last.
type note struct {
	Format int `json:"format"` // 1
	// Aliases has a version, or "" for an alias that was removed or never set. One that is not in it is not known.
	Aliases map[string]string `json:"aliases"`
	Tags    string            `json:"tags"` // tagsDigest
}

// readNote returns an empty note when there is none or somebody spoiled it.
func readNote(st registry.State) note {
	var n note
	text := st.Tags[NoteTag]
	if len(text) > 4096 || json.Unmarshal([]byte(text), &n) != nil || n.Format != 1 {
		n = note{}
	}
	if n.Aliases == nil {
		n.Aliases = map[string]string{}
	}
	return n
}

func (n note) String() string {
	n.Format = 1
	b, err := json.Marshal(n)
	if err != nil {
		return "" // strings and maps of strings always marshal
	}
	return string(b)
}

// errNoModel: the store does not know the model, so there is nothing to project.
func errNoModel(err error) bool { return errors.Is(err, store.ErrModelNotFound) }
