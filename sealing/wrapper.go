package sealing

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"gocloud.dev/secrets"
	"gocloud.dev/secrets/localsecrets" // registers base64key://; key services are the program's choice
)

// Wrapper wraps data keys with a key that never lies beside them. It is safe for concurrent use.
type Wrapper struct {
	file string // of a local key; empty for another

	mu     sync.Mutex
	keeper *secrets.Keeper // nil: the local key was not needed yet
	name   string
}

// OpenWrapper opens the key that a URL names: file:///path is a local key file, which is made on first use,
// readable by its owner only; every other one is gocloud.dev/secrets' and needs its driver linked into the
// program. It neither reads the file nor asks the key service yet.
func OpenWrapper(ctx context.Context, rawURL string) (*Wrapper, error) {
	parsed, err := url.Parse(rawURL)
	if err != nil {
		return nil, errors.New("PHANTOM_KEYS_URL is not a URL") // the text may hold a key
	}
	if parsed.Scheme == "file" {
		path := filepath.FromSlash(parsed.Path)
		return &Wrapper{file: path, name: "the local key file " + path}, nil
	}
	if parsed.Scheme == localsecrets.Scheme && parsed.Host == "" {
		return nil, errors.New("PHANTOM_KEYS_URL: base64key:// without a key means a new one at each start, " +
			"and nothing sealed would open after it")
	}
	keeper, err := secrets.OpenKeeper(ctx, rawURL)
	if err != nil {
		return nil, fmt.Errorf("PHANTOM_KEYS_URL (%s): %w", publicName(parsed), err)
	}
	return &Wrapper{keeper: keeper, name: publicName(parsed)}, nil
}

// publicName is a URL without what may be secret in it.
func publicName(u *url.URL) string {
	if u.Scheme == localsecrets.Scheme {
		if key, err := localsecrets.Base64Key(u.Host); err == nil {
			return fingerprint(key)
		}
		return u.Scheme
	}
	return u.Scheme + "://" + u.Host + u.Path
}

// fingerprint tells one local key from another and tells nothing of it.
func fingerprint(key [keySize]byte) string {
	sum := sha256.Sum256(append([]byte("phantom wrapping key 1"), key[:]...))
	return "local:" + hex.EncodeToString(sum[:6])
}

// Name is of the wrapping key, without anything secret.
func (w *Wrapper) Name() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.name
}

// Close gives back what the key service's driver holds.
func (w *Wrapper) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.keeper == nil {
		return nil
	}
	return w.keeper.Close()
}

func (w *Wrapper) wrap(ctx context.Context, plain []byte) ([]byte, error) {
	keeper, err := w.ready(true)
	if err != nil {
		return nil, err
	}
	return keeper.Encrypt(ctx, plain)
}

func (w *Wrapper) unwrap(ctx context.Context, wrapped []byte) ([]byte, error) {
	keeper, err := w.ready(false)
	if err != nil {
		return nil, err
	}
	return keeper.Decrypt(ctx, wrapped)
}

// ready reads the local key when it is needed for the first time, and makes it only to wrap: a new key
// opens nothing.
func (w *Wrapper) ready(create bool) (*secrets.Keeper, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.keeper != nil {
		return w.keeper, nil
	}
	key, err := readKey(w.file)
	if errors.Is(err, fs.ErrNotExist) && create {
		key, err = makeKey(w.file)
	}
	if err != nil {
		return nil, err
	}
	w.keeper, w.name = localsecrets.NewKeeper(key), fingerprint(key)
	return w.keeper, nil
}

// readKey reads 32 bytes in base64, as makeKey writes them. A file that others may read is refused, as ssh
// refuses it.
func readKey(path string) (key [keySize]byte, err error) {
	state, err := os.Stat(path)
	if err != nil {
		return key, fmt.Errorf("the local key file: %w", err)
	}
	if mode := state.Mode().Perm(); mode&0o077 != 0 {
		return key, fmt.Errorf("the local key file %s is open to others (mode %04o); run: chmod 600 %s", path, mode, path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return key, fmt.Errorf("the local key file: %w", err)
	}
	if key, err = localsecrets.Base64KeyStd(strings.TrimSpace(string(text))); err != nil {
		return key, fmt.Errorf("the local key file %s does not hold 32 bytes in base64; restore it from its backup", path)
	}
	return key, nil
}

// makeKey makes the file whole or not at all; of two processes that make it the first wins.
func makeKey(path string) (key [keySize]byte, err error) {
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return key, fmt.Errorf("make the folder of the local key file: %w", err)
	}
	rand.Read(key[:])
	draft, err := os.CreateTemp(folder, ".new-*") // mode 0600
	if err != nil {
		return key, fmt.Errorf("make the local key file: %w", err)
	}
	defer os.Remove(draft.Name())
	_, err = draft.WriteString(base64.StdEncoding.EncodeToString(key[:]) + "\n")
	err = errors.Join(err, draft.Sync(), draft.Close())
	if err == nil {
		err = os.Link(draft.Name(), path) // unlike a rename it replaces nothing
	}
	if err == nil {
		err = syncFolder(folder)
	}
	if errors.Is(err, fs.ErrExist) {
		return readKey(path)
	}
	if err != nil {
		return key, fmt.Errorf("make the local key file: %w", err)
	}
	return key, nil
}

// syncFolder makes the names in a folder durable.
func syncFolder(folder string) error {
	file, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}
