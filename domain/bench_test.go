package domain_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/domain"
)

func BenchmarkEncode(b *testing.B) {
	event := domain.ModelCreated{Name: "Digits", ModelType: "classifier", Algorithm: "mlp"}
	b.ReportAllocs()
	for b.Loop() {
		_, _, _, err := domain.Encode(event)
		require.NoError(b, err)
	}
}

func BenchmarkDecode(b *testing.B) {
	name, version, data, err := domain.Encode(domain.ModelCreated{Name: "Digits", ModelType: "classifier", Algorithm: "mlp"})
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		_, err := domain.Decode(name, version, data)
		require.NoError(b, err)
	}
}
