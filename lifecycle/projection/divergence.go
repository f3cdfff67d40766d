package projection

import (
	"fmt"
	"maps"
	"slices"

	"github.com/treeline-ml/treeline/lifecycle/stage"
	"github.com/treeline-ml/treeline/registry"
	"github.com/treeline-ml/treeline/store"
)

// What was done about a divergence.
const (
	Reported = "reported" // a dry run: nothing
	Alerted  = "alerted"
	Reverted = "reverted"
	Adopted  = "adopted"
)

// Divergence is something in the registry that somebody else changed.
type Divergence struct {
	Model          string
	RegisteredName string
	// Subject is "Champion" or "Challenger" for an alias, "version 3" for a version of the registry that is gone,
	// "version 3: treeline.stage" for a tag, or "registered model".
	Subject         string
	Expected, Found string // registry versions, values of a tag; empty for nothing
	Action          string
	// Message says what it means and what to do.
	Message string

	kind    kind
	version store.Version // that the subject is or, for an alias, that was found; zero when it is not ours
	key     string        // of a tag
}

// Key identifies a divergence: another one has another.
func (d Divergence) Key() string {
	return fmt.Sprintf("registry_diverged/%s/%s/%s/%s", d.Model, d.Subject, d.Expected, d.Found)
}

type kind int

const (
	kindAlias kind = iota
	kindTag
	kindVersion
	kindUnpublished
)

// compare lists what differs and is not our own change under way.
func compare(set Settings, d desired, st registry.State, n note, unpublish map[int64]string) ([]Divergence, error) {
	var out []Divergence
	add := func(x Divergence) {
		x.Model, x.RegisteredName = d.model.Name, set.Name
		out = append(out, x)
	}
	for _, alias := range []string{Champion, Challenger} {
		want, there := d.aliases[alias], st.Aliases[alias]
		if _, ok := st.Versions[want]; want != "" && !ok {
			continue // told as a version that is gone
		}
		if want != there && !ours(d, n, alias, there, false) {
			x := Divergence{Subject: alias, Expected: want, Found: there, kind: kindAlias, version: d.known[there]}
			x.Message = aliasMessage(set, d, x)
			add(x)
		}
	}
	lag := false
	if digest, err := d.tagsDigest(); err != nil {
		return nil, err
	} else if digest != n.Tags {
		lag = true
	}
	for _, version := range slices.Sorted(maps.Keys(d.tags)) {
		v := d.known[version]
		there, ok := st.Versions[version]
		if !ok {
			add(Divergence{
				Subject: "version " + version, Expected: version, kind: kindVersion, version: v,
				Message: fmt.Sprintf("%s version %s was deleted there; here it is version %d, %s. Its files are still here. "+
					"To have it there again, set registry.divergence to revert, or register its files there by hand",
					set.Name, version, v.Version, stage.Stage(v.Stage).Title()),
			})
			continue
		}
		if lag {
			continue
		}
		for _, key := range slices.Sorted(maps.Keys(d.tags[version])) {
			if want := d.tags[version][key]; there[key] != want {
				add(Divergence{
					Subject: "version " + version + ": " + key, Expected: want, Found: there[key], kind: kindTag, version: v, key: key,
					Message: fmt.Sprintf("the tag %s of %s version %s says %q there, and %q here. The store here decides; "+
						"to have it set back, set registry.divergence to revert", key, set.Name, version, there[key], want),
				})
			}
		}
	}
	return append(out, unpublished(set, d, st, unpublish)...), nil
}

// unpublished lists what should be there and cannot be.
func unpublished(set Settings, d desired, st registry.State, refused map[int64]string) (out []Divergence) {
	add := func(x Divergence) {
		x.Model, x.RegisteredName, x.kind = d.model.Name, set.Name, kindUnpublished
		out = append(out, x)
	}
	for _, v := range d.versions {
		if why, ok := refused[v.Version]; ok && publishable(v) {
			add(Divergence{
				Subject: fmt.Sprintf("our version %d", v.Version), Expected: "published", version: v,
				Message: fmt.Sprintf("%s version %d is not in the registry: %s", v.Model, v.Version, why),
			})
		}
	}
	if c := d.champion; c.Version != 0 && c.RegistryVersion == "" && !set.Publish {
		add(Divergence{
			Subject: Champion, Expected: fmt.Sprintf("our version %d", c.Version), Found: st.Aliases[Champion], version: c,
			Message: fmt.Sprintf("%s version %d is Champion here and is not in %s, so that the alias Champion cannot name it. "+
				"Versions are not published there; train through MLflow, or have them published", c.Model, c.Version, set.Name),
		})
	}
	return out
}

// aliasMessage says what an alias that was moved means, and both ways out.
func aliasMessage(set Settings, d desired, x Divergence) string {
	back := fmt.Sprintf("set it back there: client.set_registered_model_alias(%q, %q, %q)", set.Name, x.Subject, x.Expected)
	if x.Expected == "" {
		back = fmt.Sprintf("remove it there: client.delete_registered_model_alias(%q, %q)", set.Name, x.Subject)
	}
	here := "no version is " + x.Subject + " here"
	if v, ok := d.known[x.Expected]; ok {
		here = fmt.Sprintf("here it is version %d, which is %s there", v.Version, x.Expected)
	}
	switch {
	case x.Found == "":
		return fmt.Sprintf("somebody removed the alias %s of %s; %s. To undo that, %s", x.Subject, set.Name, here, back)
	case x.version.Version == 0:
		return fmt.Sprintf("the alias %s of %s names version %s, which is not registered here; %s. To take it over, register its "+
			"files here, validate and promote them; otherwise %s", x.Subject, set.Name, x.Found, here, back)
	default:
		v := x.version
		return fmt.Sprintf("the alias %s of %s names version %s, our version %d (%s); %s. To take it over, %s; otherwise %s",
			x.Subject, set.Name, x.Found, v.Version, stage.Stage(v.Stage).Title(), here,
			stage.Next(stage.Stage(v.Stage), v.Model, v.Version), back)
	}
}
