package oip_test

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"phantom/serving/oip"
)

func TestFloatsAreReadAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOf(rapid.Float32().Filter(func(f float32) bool {
			return !math.IsNaN(float64(f)) && !math.IsInf(float64(f), 0)
		})).Draw(t, "values")
		data, finite := oip.FloatData(want)
		require.True(t, finite)
		require.True(t, json.Valid(data))
		got, err := oip.Floats(data, len(want))
		require.NoError(t, err)
		require.Len(t, got, len(want))
		for i := range want {
			require.Equal(t, math.Float32bits(want[i]), math.Float32bits(got[i]))
		}
		_, err = oip.Floats(data, len(want)+1)
		require.Error(t, err)
		if len(want) > 0 {
			_, err = oip.Floats(data, len(want)-1)
			require.Error(t, err)
		}
	})
}

func TestNestedListsAreReadRowByRow(t *testing.T) {
	t.Parallel()
	got, err := oip.Floats(json.RawMessage("[ [1, -2.5e0],\n\t[3,4] ]"), 4)
	require.NoError(t, err)
	require.Equal(t, []float32{1, -2.5, 3, 4}, got)
	_, err = oip.Floats(json.RawMessage(strings.Repeat("[", 100)+"1"+strings.Repeat("]", 100)), 1)
	require.ErrorContains(t, err, "nested deeper")
}

func TestAnyJSONIsReadOrRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`{}`, `"1"`, `true`, `[{"a":1}]`, `["1,2"]`, `[""]`, `[1,[null]]`, `1e400`, `[-1e39]`} {
		_, err := oip.Floats(json.RawMessage(text), 1)
		require.Error(t, err, text)
	}
	_, finite := oip.FloatData([]float32{1, float32(math.NaN())})
	require.False(t, finite)
	_, finite = oip.FloatData([]float32{float32(math.Inf(-1))})
	require.False(t, finite)
}

func FuzzDecodeRequest(f *testing.F) {
	for _, seed := range []string{``, `{}`, `{"inputs":[{"name":"x","data":[NaN]}]}`, `{"inputs":[{"data":-Infinity}]}`, `{"inputs":[{"shape":[` + strconv.Itoa(math.MaxInt64) + `]}]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		request, err := oip.DecodeRequest(body)
		if err != nil {
			require.ErrorContains(t, err, "")
			require.Nil(t, request)
			return
		}
		for _, input := range request.Inputs {
			if values, err := oip.Floats(input.Data, 3); err == nil {
				require.Len(t, values, 3)
			}
		}
	})
}
