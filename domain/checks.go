package domain

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The longest texts, in characters.
const (
	maxName        = 200
	maxReason      = 4096
	maxDescription = 16384
	maxTags        = 64
	maxTagValue    = 256
	maxMetrics     = 1000
)

// checks collects what is wrong with a command, as *InvalidInput by field path ("dataset_info.0.uri").
type checks struct{ problems []error }

func (v *checks) err() error { return errors.Join(v.problems...) }

func (v *checks) refuse(field, reason string) {
	v.problems = append(v.problems, &InvalidInput{Field: field, Reason: reason})
}

func (v *checks) require(holds bool, field, reason string) {
	if !holds {
		v.refuse(field, reason)
	}
}

func (v *checks) model(id ModelID) {
	v.require(id.Valid(), "model_id", "must match [a-z0-9][a-z0-9._-]{0,62}")
}

func (v *checks) target(field string, t Target) {
	v.require(t.Valid(), field, "must match [a-z0-9][a-z0-9-]{0,62}")
}

func (v *checks) version(field string, number Version) {
	v.require(number.Valid(), field, `must be a version's number: "1", "2", …`)
}

func (v *checks) job(field string, id JobID) {
	v.require(id.Valid(), field, "must be a UUID in its canonical form")
}

func (v *checks) rollout(field string, id RolloutID) {
	v.require(id.Valid(), field, "must be a UUID in its canonical form")
}

func (v *checks) digest(field string, d Digest) {
	v.require(d.Valid(), field, `must be "sha256:" and 64 lower-case hex digits`)
}

func (v *checks) actor(field string, a Actor) {
	v.needed(field+".subject", a.Subject, maxName)
	switch a.Auth {
	case AuthAPIKey, AuthTemporal, AuthLocal:
	default:
		v.refuse(field+".auth", "must be api_key, temporal or local")
	}
}

// needed is a text that must be there.
func (v *checks) needed(field, text string, longest int) {
	if strings.TrimSpace(text) == "" {
		v.refuse(field, "is required")
		return
	}
	v.text(field, text, longest)
}

// text may be empty. PostgreSQL cannot hold a NUL, so no control characters but line breaks and tabs.
func (v *checks) text(field, text string, longest int) {
	switch {
	case !utf8.ValidString(text):
		v.refuse(field, "must be UTF-8")
	case utf8.RuneCountInString(text) > longest:
		v.refuse(field, fmt.Sprintf("must have at most %d characters", longest))
	case strings.ContainsFunc(text, forbiddenControl):
		v.refuse(field, "must not have control characters")
	}
}

func forbiddenControl(r rune) bool {
	return unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t'
}

func (v *checks) finite(field string, value float64) {
	v.require(!math.IsNaN(value) && !math.IsInf(value, 0), field, "must be a finite number")
}

// upTo wants a number from 0 to most; NaN is none.
func (v *checks) upTo(most float64, field string, value float64) {
	v.require(value >= 0 && value <= most, field, fmt.Sprintf("must be from 0 to %g", most))
}

func (v *checks) notNegative(field string, value int64) {
	v.require(value >= 0, field, "must not be negative")
}

func (v *checks) metrics(field string, metrics map[string]float64) {
	v.require(len(metrics) <= maxMetrics, field, fmt.Sprintf("must have at most %d entries", maxMetrics))
	for _, name := range slices.Sorted(maps.Keys(metrics)) {
		v.needed(field+"."+name, name, maxName)
		v.finite(field+"."+name, metrics[name])
	}
}

// tag checks one tag; a nil value removes it.
func (v *checks) tag(key string, value *string) {
	field := "tags." + key
	v.require(tagForm.MatchString(key), field, "a tag's key must match [A-Za-z0-9][A-Za-z0-9._/-]{0,62}")
	if value != nil {
		v.text(field, *value, maxTagValue)
	}
}

// duration may be empty, else it is a Go duration that is not negative.
func (v *checks) duration(field, text string) {
	if text == "" {
		return
	}
	d, err := time.ParseDuration(text)
	v.require(err == nil && d >= 0, field, `must be a duration that is not negative: "30s", "720h"`)
}

// at joins the path of a list's element.
func at(field string, index int) string { return field + "." + strconv.Itoa(index) }
