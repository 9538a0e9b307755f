package main

import (
	"context"
	"errors"
	"os"
	"time"

	"phantom/artifact"
	"phantom/domain"
)

// weights is the size of the model in the bundle, in bytes: that of a small multi-layer perceptron.
const weights = 64 << 10

// shelf opens an artifact store in a folder of its own.
func shelf(ctx context.Context) (store *artifact.Store, remove func() error, err error) {
	folder, err := os.MkdirTemp("", "phantom-bench-artifacts-")
	if err != nil {
		return nil, nil, err
	}
	if store, err = artifact.Open(ctx, "file://"+folder); err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(folder))
	}
	return store, func() error { return errors.Join(store.Close(), os.RemoveAll(folder)) }, nil
}

// push brings in, for the tenant, a bundle that passes as one that can be served.
func (h *house) push(ctx context.Context) (domain.Digest, error) {
	stored, err := h.artifacts.PutBundle(ctx, []artifact.File{
		{Name: artifact.ModelFile, Body: make([]byte, weights)},
		{Name: artifact.SignatureFile, Body: []byte(`{"inputs":[{"name":"x","datatype":"FP32","shape":[-1,4]}],"outputs":[{"name":"y","datatype":"FP32","shape":[-1,3]}]}`)},
		{Name: artifact.GoldenFile, Body: []byte(`{"inputs":[[1,2,3,4]],"outputs":[[0,0,1]],"tolerance":0.001}`)},
	})
	if err != nil {
		return "", err
	}
	claim := artifact.Claim{Size: stored.Size, By: domain.Actor{Subject: "bench", Auth: domain.AuthLocal}, At: time.Now()}
	return stored.Digest, h.artifacts.Claim(ctx, domain.Tenant(h.tenant), stored.Digest, claim)
}
