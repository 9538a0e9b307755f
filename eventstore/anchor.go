package eventstore

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"net/url"
	"path"
	"strings"
)

// anchorFolder holds all anchors of an AnchorStore.
const anchorFolder = "anchors"

// AnchorStore keeps anchors outside the database, so that who may change the one may not change the other.
type AnchorStore interface {
	// Record stores a body under a name once and for ever. The same body again is no error, another one is.
	Record(ctx context.Context, name string, body []byte) error
	// ReadRecord reads one.
	ReadRecord(ctx context.Context, name string) ([]byte, error)
	// Records are the names directly below a prefix that ends in a slash, in their order; folders end in one too.
	Records(ctx context.Context, prefix string) iter.Seq2[string, error]
}

// Anchor says which link an event of a log had when its history was verified last. It carries no time of writing: two
// processes that anchor the same event write the same bytes.
type Anchor struct {
	Log      Log    `json:"log"`
	Tenant   string `json:"tenant"`
	Position int64  `json:"position"`
	Link     string `json:"link"` // 64 hex digits
}

// name has the position in 20 digits, so that the order of names is the order of positions.
func (a Anchor) name() string {
	return fmt.Sprintf("%s%020d.json", anchorsOf(a.Log, a.Tenant), a.Position)
}

func anchorsOf(log Log, tenant string) string {
	return path.Join(anchorFolder, string(log), url.PathEscape(tenant)) + "/"
}

func (a Anchor) write(ctx context.Context, to AnchorStore) error {
	body, err := json.Marshal(a)
	if err != nil {
		return err
	}
	if err := to.Record(ctx, a.name(), append(body, '\n')); err != nil {
		return fmt.Errorf("anchor position %d of the %s log of tenant %s: %w", a.Position, a.Log, a.Tenant, err)
	}
	return nil
}

// anchors are those of a log in the order of their positions. One whose content does not fit its name has no link, so
// that no history agrees with it.
func anchors(ctx context.Context, from AnchorStore, log Log, tenant string) iter.Seq2[Anchor, error] {
	return func(yield func(Anchor, error) bool) {
		for name, err := range from.Records(ctx, anchorsOf(log, tenant)) {
			var a Anchor
			if err == nil {
				a, err = readAnchor(ctx, from, name, log, tenant)
			}
			if !yield(a, err) || err != nil {
				return
			}
		}
	}
}

func readAnchor(ctx context.Context, from AnchorStore, name string, log Log, tenant string) (Anchor, error) {
	claimed := Anchor{Log: log, Tenant: tenant}
	if _, err := fmt.Sscanf(path.Base(name), "%020d.json", &claimed.Position); err != nil || claimed.name() != name {
		return Anchor{}, fmt.Errorf("%s is no anchor: remove it", name)
	}
	body, err := from.ReadRecord(ctx, name)
	if err != nil {
		return Anchor{}, err
	}
	var stored Anchor
	if json.Unmarshal(body, &stored) == nil && stored.name() == name {
		claimed.Link = stored.Link
	}
	return claimed, nil
}

// link is the zero link, which no event has, when the anchor's text is none.
func (a Anchor) link() (l Link) {
	if raw, err := hex.DecodeString(a.Link); err == nil && len(raw) == len(l) {
		copy(l[:], raw)
	}
	return l
}

// anchoredTenants are those that the log has anchors of, whether it still has events of them or not.
func anchoredTenants(ctx context.Context, in AnchorStore, log Log) ([]string, error) {
	var tenants []string
	for name, err := range in.Records(ctx, path.Join(anchorFolder, string(log))+"/") {
		if err != nil {
			return nil, err
		}
		tenant, err := url.PathUnescape(path.Base(strings.TrimSuffix(name, "/")))
		if err != nil {
			return nil, fmt.Errorf("%s is no folder of anchors: %w", name, err)
		}
		tenants = append(tenants, tenant)
	}
	return tenants, nil
}
