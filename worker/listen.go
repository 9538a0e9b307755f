package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"

	"phantom/api"
	"phantom/internal/config"
)

// listen serves HTTP until ctx ends, then lets requests under way finish.
func listen(ctx context.Context, variable, address string, files config.TLS, handler http.Handler) error {
	server := &http.Server{
		Addr: address, Handler: secured(handler),
		ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
	}
	if files.On() {
		pair := &keyPair{files: files}
		if _, err := pair.certificate(nil); err != nil {
			return fmt.Errorf("PHANTOM_TLS_CERT and PHANTOM_TLS_KEY: %w", err)
		}
		server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: pair.certificate}
	}
	ended := make(chan error, 1)
	go func() {
		if files.On() {
			ended <- server.ListenAndServeTLS("", "")
			return
		}
		ended <- server.ListenAndServe()
	}()
	select {
	case err := <-ended:
		return fmt.Errorf("%s: %w", variable, err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		return errors.Join(err, server.Close())
	}
	return nil
}

// secured gives the answers of a handler the headers that the API's have.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		api.SecurityHeaders(w.Header())
		next.ServeHTTP(w, r)
	})
}

// keyPair is a certificate that is read anew when its files have changed: who renews it restarts nothing.
type keyPair struct {
	files config.TLS

	mu      sync.Mutex
	current *tls.Certificate
	written [2]time.Time // of the files that current was read from
}

// certificate implements tls.Config's GetCertificate. While the files do not fit each other, as in the middle of a
// renewal, the last ones that did stand.
func (k *keyPair) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var written [2]time.Time
	var err error
	for i, name := range []string{k.files.CertFile, k.files.KeyFile} {
		var about os.FileInfo
		if about, err = os.Stat(name); err != nil {
			break
		}
		written[i] = about.ModTime()
	}
	if err == nil && k.current != nil && written == k.written {
		return k.current, nil
	}
	if err == nil {
		var fresh tls.Certificate
		if fresh, err = tls.LoadX509KeyPair(k.files.CertFile, k.files.KeyFile); err == nil {
			k.current, k.written = &fresh, written
		}
	}
	if k.current == nil {
		return nil, err
	}
	return k.current, nil
}
