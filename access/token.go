package access

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"strings"
)

// A key is written phk_<id>_<secret>: the beginning tells people and secret scanners what it is, the id may be
// shown. Both parts are base32 in lower case, so a double click selects the whole.
const (
	tokenMark    = "phk_"
	idLength     = 16 // characters: 80 bits
	secretLength = 52 // characters: 256 bits
)

// encoding is base32 (RFC 4648) in lower case, without padding.
func encoding() *base32.Encoding {
	return base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)
}

// newToken makes a key. crypto/rand does not fail: it ends the process instead.
func newToken() (token, id string, hash [sha256.Size]byte) {
	random := make([]byte, 10+32)
	rand.Read(random)
	id = encoding().EncodeToString(random[:10])
	secret := encoding().EncodeToString(random[10:])
	return tokenMark + id + "_" + secret, id, sha256.Sum256([]byte(secret))
}

// parseToken tells the parts of a key; ok is false for what cannot be one.
func parseToken(token string) (id string, hash [sha256.Size]byte, ok bool) {
	rest, marked := strings.CutPrefix(token, tokenMark)
	id, secret, cut := strings.Cut(rest, "_")
	if !marked || !cut || len(id) != idLength || len(secret) != secretLength || !isBase32(id) || !isBase32(secret) {
		return "", hash, false
	}
	return id, sha256.Sum256([]byte(secret)), true
}

func isBase32(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '2' || r > '7') })
}
