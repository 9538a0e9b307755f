package sealing

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"strconv"

	"phantom/domain"
)

// keySize makes it AES-256.
const keySize = 32

// grain is what the length of content is rounded up to before it is sealed.
const grain = 64

// place is where a sealed content stands, in the form that its seal covers.
type place []byte

func placeOf(tenant domain.Tenant, e *domain.InferenceMade, field string) place {
	return joined("phantom sealed 1", string(tenant), string(e.InferenceID), strconv.Itoa(e.Row), field)
}

// joined puts each part behind its length, so that parts cannot run together.
func joined(parts ...string) []byte {
	var whole []byte
	for _, part := range parts {
		whole = binary.BigEndian.AppendUint32(whole, uint32(len(part)))
		whole = append(whole, part...)
	}
	return whole
}

// key is a data key that is ready for use, or the fact that it was destroyed.
type key struct {
	id     string
	scope  Scope
	erased bool
	gcm    cipher.AEAD // nil when erased
}

func newKey(id string, scope Scope, secret []byte) (*key, error) {
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return &key{id: id, scope: scope, gcm: gcm}, nil
}

// seal encrypts JSON under a random nonce: 96 bits are enough for 2^32 contents of one key (NIST SP
// 800-38D, 8.3), which no model has in a day.
func (k *key) seal(at place, content json.RawMessage) *domain.Sealed {
	nonce := make([]byte, k.gcm.NonceSize())
	rand.Read(nonce)
	return &domain.Sealed{Key: k.id, Nonce: nonce, Ciphertext: k.gcm.Seal(nil, nonce, padded(content), k.covered(at))}
}

// open is the reverse of seal; what does not fit is ErrForged.
func (k *key) open(at place, sealed *domain.Sealed) (json.RawMessage, error) {
	if len(sealed.Nonce) != k.gcm.NonceSize() {
		return nil, ErrForged
	}
	content, err := k.gcm.Open(nil, sealed.Nonce, sealed.Ciphertext, k.covered(at))
	if err != nil {
		return nil, ErrForged // what the cipher says is only that it does not fit
	}
	return bytes.TrimRight(content, " "), nil
}

// covered is the associated data: the place and which key it is.
func (k *key) covered(at place) []byte { return append(bytes.Clone(at), k.id...) }

// padded fills JSON up with blanks, which mean nothing in it.
func padded(content json.RawMessage) []byte {
	size := (len(content) + grain - 1) / grain * grain
	return append(bytes.Clone(content), bytes.Repeat([]byte{' '}, size-len(content))...)
}
