package domain

import (
	"fmt"
	"regexp"
	"strings"
)

// Alias is a name of the user's for one of a model's versions, such as champion:
// [a-z0-9][a-z0-9._-]{0,62}, and neither "latest" nor what reads as a version ("7", "v7").
type Alias string

// AliasForm says what an alias must look like.
const AliasForm = `must match [a-z0-9][a-z0-9._-]{0,62}, and be neither "latest" nor like a version: 7, v7`

// maxAliases is how many aliases a model has at once.
const maxAliases = 64

var likeVersion = regexp.MustCompile(`^v?[0-9]+$`)

// Valid reports whether the alias has its form.
func (a Alias) Valid() bool {
	return modelForm.MatchString(string(a)) && a != Alias(VersionLatest) && !likeVersion.MatchString(string(a))
}

// VersionRef says which version of a model is meant: by its number ("7"), as the newest ("latest"), or by
// an alias ("@champion").
type VersionRef string

// VersionLatest is the newest version of a model.
const VersionLatest VersionRef = "latest"

// VersionRefForm says what a VersionRef must look like.
const VersionRefForm = `must be a version's number like "1", or "latest", or an alias like "@champion"`

// Valid reports whether the reference has one of its forms.
func (r VersionRef) Valid() bool {
	if alias, is := r.Alias(); is {
		return alias.Valid()
	}
	return r == VersionLatest || Version(r).Valid()
}

// Alias is the alias that the reference goes by, if it does.
func (r VersionRef) Alias() (Alias, bool) {
	name, is := strings.CutPrefix(string(r), "@")
	return Alias(name), is
}

// Resolve finds the version that is meant. *NotFound.
func (m Model) Resolve(r VersionRef) (Version, error) {
	if alias, is := r.Alias(); is {
		version, assigned := m.Aliases[alias]
		if !assigned {
			return "", m.noAlias(alias)
		}
		return version, nil
	}
	if r == VersionLatest {
		if len(m.Versions) == 0 {
			return "", &NotFound{Kind: "version", ID: fmt.Sprintf("latest of model %s (it has none yet)", m.ID)}
		}
		return m.LatestVersion(), nil
	}
	if _, has := m.Version(Version(r)); !has {
		return "", &NotFound{Kind: "version", ID: fmt.Sprintf("%s of model %s", r, m.ID)}
	}
	return Version(r), nil
}

func (m Model) noAlias(alias Alias) error {
	return &NotFound{Kind: "alias", ID: fmt.Sprintf("%s of model %s", alias, m.ID)}
}

func (v *checks) alias(a Alias, expected *Version, reason string) {
	v.require(a.Valid(), "alias", AliasForm)
	if expected != nil && *expected != "" {
		v.version("expected", *expected)
	}
	v.text("reason", reason, maxReason)
}

func (c AssignAlias) validate(v *checks) {
	v.model(c.ModelID)
	v.alias(c.Alias, c.Expected, c.Reason)
	v.require(c.Version.Valid(), "version", VersionRefForm)
}

func (c AssignAlias) decide(a Aggregates) ([]Event, error) {
	m := a.Model
	if err := m.active(c.ModelID); err != nil {
		return nil, err
	}
	if err := m.expectAlias(c.Alias, c.Expected); err != nil {
		return nil, err
	}
	version, err := m.Resolve(c.Version)
	if err != nil {
		return nil, err
	}
	standing, assigned := m.Aliases[c.Alias]
	switch {
	case standing == version:
		return nil, nil
	case !assigned && len(m.Aliases) >= maxAliases:
		return nil, &InvalidInput{Field: "alias", Reason: fmt.Sprintf("a model has at most %d aliases; remove one", maxAliases)}
	}
	return []Event{AliasAssigned{Alias: c.Alias, Version: version, PreviousVersion: standing, Reason: c.Reason}}, nil
}

func (c RemoveAlias) validate(v *checks) {
	v.model(c.ModelID)
	v.alias(c.Alias, c.Expected, c.Reason)
}

func (c RemoveAlias) decide(a Aggregates) ([]Event, error) {
	m := a.Model
	if err := m.active(c.ModelID); err != nil {
		return nil, err
	}
	standing, assigned := m.Aliases[c.Alias]
	if !assigned {
		return nil, m.noAlias(c.Alias)
	}
	if err := m.expectAlias(c.Alias, c.Expected); err != nil {
		return nil, err
	}
	return []Event{AliasRemoved{Alias: c.Alias, Version: standing, Reason: c.Reason}}, nil
}

// expectAlias refuses when the alias does not name what the caller believes.
func (m Model) expectAlias(alias Alias, expected *Version) error {
	standing := m.Aliases[alias]
	if expected == nil || *expected == standing {
		return nil
	}
	names := func(version Version) string {
		if version == "" {
			return "no version"
		}
		return "version " + string(version)
	}
	return &Stale{Field: "expected", Reason: fmt.Sprintf(
		"alias %s of model %s names %s; expected was %s", alias, m.ID, names(standing), names(*expected))}
}
