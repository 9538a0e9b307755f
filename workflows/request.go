package workflows

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// MemoRequestHash is the memo key under which each saga keeps the hash of what it was asked for.
const MemoRequestHash = "request_hash"

// RequestHash is the SHA-256, in hex, of a kind of saga and its normalised input (what Parse… returned).
// Who asks is no part of it: requested_by and actor are left out, so that the same request by two people
// is one request.
func RequestHash(kind string, input any) (string, error) {
	text, err := json.Marshal(input)
	if err != nil {
		return "", err
	}
	reader := json.NewDecoder(bytes.NewReader(text))
	reader.UseNumber()
	var document map[string]any
	if err := reader.Decode(&document); err != nil {
		return "", err
	}
	delete(document, "requested_by")
	delete(document, "actor")
	canonical, err := json.Marshal(document) // keys of maps come sorted
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(append([]byte(kind+"\n"), canonical...))
	return hex.EncodeToString(sum[:]), nil
}
