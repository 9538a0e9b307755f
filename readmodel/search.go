package readmodel

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Hit is a model that a search found.
type Hit struct {
	Model

	// Score orders the hits: where the words stand counts before how often.
	Score float64 `json:"score"`
}

// Hits is a page of a search, the best first.
type Hits struct {
	Page[Hit]

	Total Total
}

// Total is how many models a search found; the relation is "gte" when they were too many to count.
type Total struct {
	Value    int64  `json:"value"`
	Relation string `json:"relation" enum:"eq,gte"`
}

const (
	maxQuery  = 1_000  // characters of a question
	maxWords  = 16     // words of a question; more are left out
	maxWord   = 64     // characters of a word; more are left out
	maxRanked = 1_000  // models that are ranked: more have no page
	maxTotal  = 10_000 // models that are counted
)

// words are the runs of letters and digits of a text, in lower case and without accents. They hold
// nothing that a query language could read.
func words(text string) []string {
	var plain strings.Builder
	for _, r := range norm.NFKD.String(text) {
		if !unicode.Is(unicode.Mn, r) {
			plain.WriteRune(unicode.ToLower(r))
		}
	}
	found := strings.FieldsFunc(plain.String(), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	for i, word := range found {
		if runes := []rune(word); len(runes) > maxWord {
			found[i] = string(runes[:maxWord])
		}
	}
	return found
}

// wordsAsked are the distinct words of a question.
func wordsAsked(text string) []string {
	found := words(text)
	slices.Sort(found)
	found = slices.Compact(found)
	return found[:min(len(found), maxWords)]
}
