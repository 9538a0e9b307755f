package api_test

import (
	"archive/tar"
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
	_ "gocloud.dev/blob/memblob"

	"phantom/api"
	"phantom/artifact"
	"phantom/domain"
)

// bundled is the tar of a model that a server can load, without some of its files.
func bundled(t *testing.T, but ...string) string {
	t.Helper()
	var body bytes.Buffer
	w := tar.NewWriter(&body)
	for name, text := range map[string]string{
		"model.onnx":     "any bytes",
		"signature.json": `{"inputs":[{"name":"x","datatype":"FP32","shape":[-1,4]}],"outputs":[{"name":"y","datatype":"FP32","shape":[-1,3]}]}`,
		"golden.json":    `{"inputs":[[1,2,3,4]],"outputs":[[0,0,1]],"tolerance":0.001}`,
	} {
		if strings.Contains(strings.Join(but, " "), name) {
			continue
		}
		require.NoError(t, w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))}))
		_, err := io.WriteString(w, text)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return body.String()
}

func (h *house) upload(body string) answer {
	h.t.Helper()
	return h.do(with("Content-Type", "application/octet-stream", post("/api/v1/artifacts", body)))
}

// as makes another tenant ask.
func as(tenant domain.Tenant, r request) request { return with(api.HeaderTenant, string(tenant), r) }

func TestAnArtifactIsUploadedAndDownloaded(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	body := strings.Repeat("weights ", maxArtifact/8)
	first := h.upload(body)
	stored := first.as(http.StatusCreated)
	require.Equal(t, artifactOf(body), stored["digest"])
	require.EqualValues(t, maxArtifact, stored["size"])
	path := text(stored["location"])
	require.Equal(t, path, first.header.Get("Location"))
	require.Equal(t, stored, h.upload(body).as(http.StatusCreated), "the same bytes are the same artifact")

	whole := h.get(path)
	require.Equal(t, http.StatusOK, whole.status)
	require.Equal(t, body, string(whole.body))
	require.Equal(t, "1048576", whole.header.Get("Content-Length"))
	require.Equal(t, `"`+artifactOf(body)+`"`, whole.header.Get("ETag"))
	require.Equal(t, "application/octet-stream", whole.header.Get("Content-Type"))
	require.Contains(t, whole.header.Get("Content-Disposition"), "attachment")

	part := h.do(with("Range", "bytes=8-15", request{path: path}))
	require.Equal(t, http.StatusPartialContent, part.status)
	require.Equal(t, "weights ", string(part.body))
	require.Equal(t, http.StatusNotModified, h.do(with("If-None-Match", whole.header.Get("ETag"), request{path: path})).status)
	require.Equal(t, http.StatusRequestedRangeNotSatisfiable, h.do(with("Range", "bytes=9999999-", request{path: path})).status)
	h.upload(body+"x").problem(http.StatusRequestEntityTooLarge, "too_large")
	h.get("/api/v1/artifacts/"+artifactOf(body+"x")).problem(http.StatusNotFound, "not_found")

	for size, status := range map[int]int{maxArtifact: http.StatusCreated, maxArtifact + 1: http.StatusRequestEntityTooLarge} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.url+"/api/v1/artifacts",
			io.LimitReader(strings.NewReader(body+"x"), int64(size))) // of no known length
		require.NoError(t, err)
		request.Header.Set(api.HeaderTenant, string(h.tenant))
		response, err := h.http.Do(request)
		require.NoError(t, err)
		response.Body.Close()
		require.Equal(t, status, response.StatusCode)
	}
}

// A digest is no key: what another tenant stored is not there, until one brings the same bytes in.
func TestADigestIsServedToItsOwnersOnly(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	other := h.tenant + "-other"
	body := bundled(t)
	path := text(h.upload(body).as(http.StatusCreated)["location"])
	h.do(as(other, request{path: path})).problem(http.StatusNotFound, "not_found")
	h.do(as(other, post("/api/v1/models", digits()))).as(http.StatusCreated)
	register := post("/api/v1/models/digits/versions", object{"artifacts_location": artifactOf(body)})
	h.do(as(other, register)).problem(http.StatusUnprocessableEntity, "invalid_input")

	upload := as(other, post("/api/v1/artifacts", body))
	upload.header["Content-Type"] = "application/x-tar"
	h.do(upload).as(http.StatusCreated)
	require.Equal(t, body, string(h.do(as(other, request{path: path})).body))
	h.do(as(other, register)).as(http.StatusCreated)

	trained := h.keep("made by a training")
	h.get("/api/v1/artifacts/"+trained).problem(http.StatusNotFound, "not_found")
	h.createDigits()
	h.settled(h.handle(domain.CreateModelVersion{ModelID: "digits", ArtifactsLocation: domain.Digest(trained)}))
	require.Equal(t, "made by a training", string(h.get("/api/v1/artifacts/"+trained).body), "who has a version of it owns it")
	h.do(as(other, request{path: "/api/v1/artifacts/" + trained})).problem(http.StatusNotFound, "not_found")
}

func TestAVersionIsRegisteredWithoutATraining(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.createDigits()
	body := bundled(t)
	h.upload(body).as(http.StatusCreated)
	register := with("Idempotency-Key", "k1", post("/api/v1/models/digits/versions", object{
		"artifacts_location": artifactOf(body), "metrics": object{"accuracy": 0.97}, "modification": "from the lab",
	}))
	made := h.do(register)
	version := made.as(http.StatusCreated)
	require.Equal(t, "/api/v1/models/digits/versions/1", made.header.Get("Location"))
	require.Equal(t, `"2"`, made.header.Get("ETag"))
	require.Equal(t, version, h.get("/api/v1/models/digits/versions/1").as(http.StatusOK))
	require.Equal(t, version, h.do(register).as(http.StatusCreated), "once")
	require.Equal(t, object{"accuracy": 0.97}, version["metrics"])
	require.Nil(t, version["training_job_id"])
	require.NotNil(t, version["signature"], "from the bundle")
	require.Len(t, h.get("/api/v1/models/digits/versions").items(), 1)

	got := h.get("/api/v1/models/digits/versions/latest/artifact")
	require.Equal(t, body, string(got.body))
	require.Equal(t, `attachment; filename="digits-v1.tar"`, got.header.Get("Content-Disposition"))
	h.get("/api/v1/models/digits/versions/2/artifact").problem(http.StatusNotFound, "not_found")
}

// A version stays for ever, so what could never be served is refused.
func TestWhatCannotBeServedIsNoVersion(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.createDigits()
	for body, says := range map[string]string{
		"bare bytes of an ONNX file": "no tar of model.onnx, signature.json and golden.json",
		bundled(t, "model.onnx"):     "it has no model.onnx",
		bundled(t, "golden.json"):    "it has no golden.json",
		bundled(t, "signature.json"): "it has no signature.json",
		strings.Replace(bundled(t), `{"inputs":[[1,2,3,4]]`, `{"inputs":17       `, 1):                         "golden.json is not of its form",
		strings.Replace(bundled(t), `"outputs":[[0,0,1]]`, `"outputs":[       ]`, 1):                           "as many inputs as outputs",
		strings.Replace(bundled(t), `"datatype":"FP32","shape":[-1,4]`, `"datatype":"    ","shape":[-1,4]`, 1): "datatype is required",
	} {
		digest := text(h.upload(body).as(http.StatusCreated)["digest"])
		refused := h.post("/api/v1/models/digits/versions", object{"artifacts_location": digest})
		require.Equal(t, []string{"/artifacts_location"}, refused.problem(http.StatusUnprocessableEntity, "invalid_input"), says)
		require.Contains(t, string(refused.body), says)
	}
	require.Empty(t, h.get("/api/v1/models/digits/versions").items())
}

// An upload that breaks off leaves nothing, and a stored artifact that is damaged is not passed off as whole.
func TestBrokenArtifactsAreNoneAtAll(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	h := newHouse(t, func(_ *house, p *api.Params) { p.Artifacts = storeIn(t, folder) })
	body := io.MultiReader(strings.NewReader("half"), iotest.ErrReader(io.ErrUnexpectedEOF))
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.url+"/api/v1/artifacts", body)
	require.NoError(t, err)
	response, err := h.http.Do(request)
	if err == nil {
		response.Body.Close()
		require.Equal(t, http.StatusBadRequest, response.StatusCode)
	}
	h.get("/api/v1/artifacts/"+artifactOf("half")).problem(http.StatusNotFound, "not_found")

	whole := strings.Repeat("weights ", 1<<14)
	path := text(h.upload(whole).as(http.StatusCreated)["location"])
	sum := strings.TrimPrefix(artifactOf(whole), "sha256:")
	file := filepath.Join(folder, "sha256", sum[:2], sum)
	require.NoError(t, os.WriteFile(file, []byte(strings.Replace(whole, "w", "W", 1)), 0o600))
	get, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.url+path, http.NoBody)
	require.NoError(t, err)
	get.Header.Set(api.HeaderTenant, string(h.tenant))
	damaged, err := h.http.Do(get)
	require.NoError(t, err)
	defer damaged.Body.Close()
	_, err = io.ReadAll(damaged.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF, "its end does not come")
	h.upload(whole).as(http.StatusCreated)
	require.Equal(t, whole, string(h.get(path).body), "uploading it again heals it")
}

// An artifact store that is away is told as that, without its words.
func TestTheArtifactStoreIsAway(t *testing.T) {
	t.Parallel()
	var away *artifact.Store
	h := newHouse(t, func(_ *house, p *api.Params) {
		var err error
		away, err = artifact.Open(t.Context(), "mem://")
		require.NoError(t, err)
		p.Artifacts = away
	})
	h.furnish()
	require.NoError(t, away.Close())
	for _, r := range []request{
		with("Content-Type", "application/octet-stream", post("/api/v1/artifacts", "weights")),
		{path: "/api/v1/artifacts/" + artifactOf("a")},
		{path: "/api/v1/models/digits/versions/1/artifact"},
		post("/api/v1/models/digits/versions", object{"artifacts_location": artifactOf("a")}),
	} {
		refused := h.do(r)
		refused.problem(http.StatusServiceUnavailable, "unavailable")
		require.NotEmpty(t, refused.header.Get("Retry-After"))
		require.Contains(t, string(refused.body), "the artifact store does not answer now")
	}
}
