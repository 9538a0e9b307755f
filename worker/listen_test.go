package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"phantom/internal/config"
)

// issue writes a certificate and its key as PEM files that say when they were written.
func issue(t *testing.T, files config.TLS, name string, written time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	about := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, about, about, &key.PublicKey, key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	for path, block := range map[string]*pem.Block{
		files.CertFile: {Type: "CERTIFICATE", Bytes: certificate}, files.KeyFile: {Type: "PRIVATE KEY", Bytes: private},
	} {
		require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(block), 0o600))
		require.NoError(t, os.Chtimes(path, written, written))
	}
}

func TestARenewedCertificateIsTakenUp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files := config.TLS{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	pair := &keyPair{files: files}
	_, err := pair.certificate(nil)
	require.Error(t, err)
	shown := func() string {
		certificate, err := pair.certificate(nil)
		require.NoError(t, err)
		return certificate.Leaf.Subject.CommonName
	}
	began := time.Now()
	issue(t, files, "old", began)
	require.Equal(t, "old", shown())
	require.NoError(t, os.WriteFile(files.CertFile, []byte("half of it"), 0o600))
	require.Equal(t, "old", shown(), "in the middle of a renewal")
	issue(t, files, "new", began.Add(time.Second))
	require.Equal(t, "new", shown())
	require.NoError(t, os.Remove(files.KeyFile))
	require.Equal(t, "new", shown())
}

func TestBadCertificatesStopTheStart(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.pem")
	require.NoError(t, os.WriteFile(path, []byte("nonsense"), 0o600))
	err := listen(t.Context(), "PHANTOM_API_ADDR", "127.0.0.1:0", config.TLS{CertFile: path, KeyFile: path}, http.NotFoundHandler())
	require.ErrorContains(t, err, "PHANTOM_TLS_CERT and PHANTOM_TLS_KEY")
}

// requireSecurityHeaders expects what every server of the worker sends, whatever it serves.
func requireSecurityHeaders(t *testing.T, header http.Header) {
	t.Helper()
	for name, value := range map[string]string{
		"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
	} {
		assert.Equal(t, value, header.Get(name), name)
	}
	assert.Contains(t, header.Get("Content-Security-Policy"), "default-src 'none'")
}

// A process that ends takes no new connection, and answers what it has begun.
func TestWhatIsUnderWayIsAnsweredBeforeTheEnd(t *testing.T) {
	t.Parallel()
	free, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // only asks for a free port
	require.NoError(t, err)
	address := free.Addr().String()
	require.NoError(t, free.Close())
	begun, release, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(begun)
			<-release
		}
		_, _ = io.WriteString(w, "done")
	})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() { ended <- listen(ctx, "PHANTOM_API_ADDR", address, config.TLS{}, handler) }()
	fresh := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	ask := func(path string) (string, error) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, http.NoBody)
		require.NoError(t, err)
		response, err := fresh.Do(request)
		if err != nil {
			return "", err
		}
		defer response.Body.Close()
		requireSecurityHeaders(t, response.Header)
		body, err := io.ReadAll(response.Body)
		return string(body), err
	}
	require.Eventually(t, func() bool { _, err := ask("/"); return err == nil }, 30*time.Second, 10*time.Millisecond)
	answered := make(chan string, 1)
	go func() {
		body, err := ask("/slow")
		if err != nil {
			body = err.Error()
		}
		answered <- body
	}()
	<-begun
	stop()
	require.Eventually(t, func() bool { _, err := ask("/"); return err != nil }, 30*time.Second, 10*time.Millisecond, "new ones are refused")
	select {
	case err := <-ended:
		require.Fail(t, "it ended before its last answer", "%v", err)
	default:
	}
	close(release)
	require.Equal(t, "done", <-answered)
	require.NoError(t, <-ended)
}
