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

func (c *checks) err() error { return errors.Join(c.problems...) }

func (c *checks) refuse(field, reason string) {
	c.problems = append(c.problems, &InvalidInput{Field: field, Reason: reason})
}

func (c *checks) require(holds bool, field, reason string) {
	if !holds {
		c.refuse(field, reason)
	}
}

func (c *checks) model(id ModelID) {
	c.require(id.Valid(), "model_id", "must match [a-z0-9][a-z0-9._-]{0,62}")
}

func (c *checks) target(field string, t Target) {
	c.require(t.Valid(), field, "must match [a-z0-9][a-z0-9-]{0,62}")
}

func (c *checks) version(field string, v Version) {
	c.require(v.Valid(), field, `must be a version's number: "1", "2", …`)
}

func (c *checks) job(field string, id JobID) {
	c.require(id.Valid(), field, "must be a UUID in its canonical form")
}

func (c *checks) rollout(field string, id RolloutID) {
	c.require(id.Valid(), field, "must be a UUID in its canonical form")
}

func (c *checks) digest(field string, d Digest) {
	c.require(d.Valid(), field, `must be "sha256:" and 64 lower-case hex digits`)
}

func (c *checks) actor(field string, a Actor) {
	c.needed(field+".subject", a.Subject, maxName)
	switch a.Auth {
	case AuthAPIKey, AuthTemporal, AuthLocal:
	default:
		c.refuse(field+".auth", "must be api_key, temporal or local")
	}
}

// needed is a text that must be there.
func (c *checks) needed(field, text string, longest int) {
	if strings.TrimSpace(text) == "" {
		c.refuse(field, "is required")
		return
	}
	c.text(field, text, longest)
}

// text may be empty. PostgreSQL cannot hold a NUL, so no control characters but line breaks and tabs.
func (c *checks) text(field, text string, longest int) {
	switch {
	case !utf8.ValidString(text):
		c.refuse(field, "must be UTF-8")
	case utf8.RuneCountInString(text) > longest:
		c.refuse(field, fmt.Sprintf("must have at most %d characters", longest))
	case strings.ContainsFunc(text, forbiddenControl):
		c.refuse(field, "must not have control characters")
	}
}

func forbiddenControl(r rune) bool {
	return unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t'
}

func (c *checks) finite(field string, value float64) {
	c.require(!math.IsNaN(value) && !math.IsInf(value, 0), field, "must be a finite number")
}

func (c *checks) between(field string, value, low, high float64) {
	c.require(value >= low && value <= high, field, fmt.Sprintf("must be from %g to %g", low, high))
}

func (c *checks) notNegative(field string, value int64) {
	c.require(value >= 0, field, "must not be negative")
}

func (c *checks) metrics(field string, metrics map[string]float64) {
	c.require(len(metrics) <= maxMetrics, field, fmt.Sprintf("must have at most %d entries", maxMetrics))
	for _, name := range slices.Sorted(maps.Keys(metrics)) {
		c.needed(field+"."+name, name, maxName)
		c.finite(field+"."+name, metrics[name])
	}
}

// tag checks one tag; a nil value removes it.
func (c *checks) tag(key string, value *string) {
	field := "tags." + key
	c.require(tagForm.MatchString(key), field, "a tag's key must match [A-Za-z0-9][A-Za-z0-9._/-]{0,62}")
	if value != nil {
		c.text(field, *value, maxTagValue)
	}
}

// duration may be empty, else it is a Go duration that is not negative.
func (c *checks) duration(field, text string) {
	if text == "" {
		return
	}
	d, err := time.ParseDuration(text)
	c.require(err == nil && d >= 0, field, `must be a duration that is not negative: "30s", "720h"`)
}

// at joins the path of a list's element.
func at(field string, index int) string { return field + "." + strconv.Itoa(index) }
