package gateway_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/domain"
	"phantom/serving/oip"
	"phantom/serving/servingtest"
)

// BenchmarkInfer measures the digits network over HTTP on loopback, straight to the model server and
// through the gateway with async logging: their ratio is what the gateway costs.
func BenchmarkInfer(b *testing.B) {
	targets := local(b, "digits", []domain.Version{"1"})
	h := build(b, newWorld(), targets)
	h.deploy(b, "insects", "1", "")
	body := servingtest.Request(b, "", servingtest.Golden(b, servingtest.Bundle(b, "digits")).Inputs[:1])
	for way, address := range map[string]string{
		"direct":  targets["local"] + "/v2/models/" + oip.ServedName(domain.DefaultTenant, "insects", "1") + "/infer",
		"gateway": h.url + "/v2/models/insects/infer",
	} {
		b.Run(way+"/connections=1", func(b *testing.B) {
			for b.Loop() {
				require.Equal(b, http.StatusOK, servingtest.Call(b, h.client, http.MethodPost, address, body).Status)
			}
		})
		b.Run(fmt.Sprintf("%s/connections=%d", way, 8), func(b *testing.B) {
			b.SetParallelism(4)
			b.RunParallel(func(loop *testing.PB) {
				for loop.Next() {
					servingtest.Call(b, h.client, http.MethodPost, address, body)
				}
			})
		})
	}
}
