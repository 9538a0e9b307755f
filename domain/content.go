package domain

import (
	"encoding/json"
	"regexp"
)

// Content is a part of an event that may be about a person or that may be bulky. It says in which form it
// stands there, and has at most one; the zero value says that nothing was captured:
//
//	{"clear":"7"}                                                  anybody who reads the log reads it
//	{"sealed":{"key":"…","nonce":"…","ciphertext":"…"}}            whoever has the key does
//	{"erased":true}                                                its key was destroyed: nobody does, ever again
//	{"omitted":"too_large"}                                        it was not kept, and why
//
// Content becomes sealed on the way into the log and clear again on the way out of it, in package
// registry. The domain knows which content is private, and holds no key.
type Content struct {
	Clear   json.RawMessage `json:"clear,omitempty"` // any JSON
	Sealed  *Sealed         `json:"sealed,omitempty"`
	Erased  bool            `json:"erased,omitempty"`
	Omitted string          `json:"omitted,omitempty"` // one of the reasons below
}

// Why content was not kept.
const (
	OmittedTooLarge = "too_large" // more than MaxContent bytes
	OmittedNoRows   = "no_rows"   // a request whose inputs cannot be told apart by rows
	OmittedBusy     = "busy"      // more inputs waited for the log than memory is given to
)

// MaxContent is the most bytes of JSON that one Content has in clear, so that an event with two of them,
// sealed and in base64, stays below a MiB.
const MaxContent = maxJSONBytes

// Sealed is content that only its key opens.
type Sealed struct {
	Key        string `json:"key"` // a UUID in text: which key, not the key
	Nonce      []byte `json:"nonce"`
	Ciphertext []byte `json:"ciphertext"`
}

// InClear is content that anybody may read; nothing and null are the zero value.
func InClear(value json.RawMessage) Content {
	if len(value) == 0 || string(value) == "null" {
		return Content{}
	}
	return Content{Clear: value}
}

// SubjectRef names a person by reference, so that what is about them can be sealed with a key of their
// own and erased: [A-Za-z0-9][A-Za-z0-9._:@/+=-]{0,199}. The reference itself stands in the log in clear
// and stays there, so it should say nothing to a stranger.
type SubjectRef string

var subjectForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:@/+=-]{0,199}$`)

// Valid reports whether the reference has its form.
func (s SubjectRef) Valid() bool { return subjectForm.MatchString(string(s)) }

// PrivateContent is one private part of an event, with the name of its field in JSON.
type PrivateContent struct {
	Field   string
	Content *Content
}

// Private is what of the inference must not stand in the log in clear: its inputs always, and its
// prediction when it is about a person. Parts of which nothing was captured are left out.
func (e *InferenceMade) Private() []PrivateContent {
	var parts []PrivateContent
	if len(e.InputFeatures.Clear) > 0 || e.InputFeatures.Sealed != nil {
		parts = append(parts, PrivateContent{"input_features", &e.InputFeatures})
	}
	if e.SubjectRef != "" && len(e.Prediction.Clear) > 0 || e.Prediction.Sealed != nil {
		parts = append(parts, PrivateContent{"prediction", &e.Prediction})
	}
	return parts
}

// captured checks content on its way in, which is in clear.
func (v *checks) captured(field string, c Content) {
	v.require(c.Sealed == nil && !c.Erased, field, "must be given in clear: it is sealed on its way into the log")
	v.require(c.Omitted == "" || len(c.Clear) == 0, field, "cannot be both omitted and given")
	switch c.Omitted {
	case "", OmittedTooLarge, OmittedNoRows, OmittedBusy:
	default:
		v.refuse(field+".omitted", "must be too_large, no_rows or busy")
	}
}
