package modelserver_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/serving/modelserver"
	"phantom/serving/servingtest"
)

// BenchmarkInfer measures the digits network over HTTP on loopback, straight to the model server.
func BenchmarkInfer(b *testing.B) {
	h := build(b, modelserver.Params{})
	files := servingtest.Bundle(b, "digits")
	require.Equal(b, http.StatusOK, h.load(b, "m", files).Status)
	row := servingtest.Golden(b, files).Inputs[0]
	for _, rows := range []int{1, 32} {
		var inputs [][]float32
		for range rows {
			inputs = append(inputs, row)
		}
		body := servingtest.Request(b, "", inputs)
		b.Run(fmt.Sprintf("rows=%d/connections=1", rows), func(b *testing.B) {
			for b.Loop() {
				require.Equal(b, http.StatusOK, h.post(b, "/v2/models/m/infer", body).Status)
			}
		})
		b.Run(fmt.Sprintf("rows=%d/connections=8", rows), func(b *testing.B) {
			b.SetParallelism(4)
			b.RunParallel(func(loop *testing.PB) {
				for loop.Next() {
					h.post(b, "/v2/models/m/infer", body)
				}
			})
		})
	}
}
