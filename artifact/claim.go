package artifact

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"phantom/domain"
)

// Claim is the record that a tenant brought an artifact in. Objects are shared by all tenants, since equal
// bytes are one object; a claim says to whom one may be given by its digest alone.
type Claim struct {
	Size int64        `json:"size"`
	By   domain.Actor `json:"by"`
	At   time.Time    `json:"at"`
}

// Claim records that the tenant has brought the artifact in; the first time stays.
func (s *Store) Claim(ctx context.Context, tenant domain.Tenant, d domain.Digest, claim Claim) error {
	body, err := json.Marshal(claim)
	if err != nil {
		return fmt.Errorf("encode a claim: %w", err)
	}
	name, err := claimName(tenant, d)
	if err != nil {
		return err
	}
	if err := s.Record(ctx, name, body); err != nil && !errors.Is(err, ErrRecordDiffers) {
		return err
	}
	return nil
}

// Claimed tells whether the tenant has brought the artifact in.
func (s *Store) Claimed(ctx context.Context, tenant domain.Tenant, d domain.Digest) (bool, error) {
	name, err := claimName(tenant, d)
	if err != nil {
		return false, err
	}
	there, err := s.bucket.Exists(ctx, name)
	if err != nil {
		return false, fmt.Errorf("look for a claim on artifact %s: %w", d, err)
	}
	return there, nil
}

// claimName is where a claim lies; tenant and digest have forms that stay within their folders.
func claimName(tenant domain.Tenant, d domain.Digest) (string, error) {
	if err := domain.ValidateTenant(tenant); err != nil {
		return "", err
	}
	if !d.Valid() {
		return "", badDigest()
	}
	return "claims/" + string(tenant) + "/" + strings.TrimPrefix(string(d), algorithm+":") + ".json", nil
}

func badDigest() error {
	return &domain.InvalidInput{Field: "digest", Reason: "expected sha256: and 64 lower-case hex digits"}
}
