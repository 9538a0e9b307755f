package modelserver

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"

	"go.uber.org/zap"

	"phantom/artifact"
	"phantom/domain"
	"phantom/serving/oip"
)

// maxFile bounds each file of a model, in bytes.
const maxFile = 256 << 20

// nameForm is what a model may be called; its folder has the same name, so there is neither a slash nor a
// dot at the front.
var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,199}$`)

func validName(name string) bool { return nameForm.MatchString(name) }

// bundle is what stands in a model's folder.
type bundle struct {
	digest    [sha256.Size]byte
	model     []byte
	signature domain.Signature
	golden    artifact.Golden
	labels    []string
}

// readBundle reads a model's folder. What is wrong with it is a 404 or a 400 for whoever asked to load it.
func (s *Server) readBundle(name string) (*bundle, error) {
	if !validName(name) {
		return nil, oip.Errorf(http.StatusNotFound, "model %.200q is not in the repository", name)
	}
	folder := filepath.Join(s.dir, name)
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		return nil, oip.Errorf(http.StatusNotFound, "model %s is not in the repository", name)
	}
	read := bundle{}
	hash := sha256.New()
	for _, part := range []struct {
		name     string
		into     any
		optional bool
	}{
		{artifact.ModelFile, nil, false},
		{artifact.SignatureFile, &read.signature, false},
		{artifact.GoldenFile, &read.golden, false},
		{artifact.LabelsFile, &read.labels, true},
	} {
		body, err := readFile(filepath.Join(folder, part.name))
		switch {
		case errors.Is(err, fs.ErrNotExist) && part.optional:
			continue
		case errors.Is(err, fs.ErrNotExist):
			return nil, oip.Errorf(http.StatusBadRequest, "model %s has no %s", name, part.name)
		case err != nil:
			s.params.Log.Error("the repository cannot be read", zap.String("model", name), zap.Error(err))
			return nil, oip.Errorf(http.StatusInternalServerError, "%s of model %s cannot be read", part.name, name)
		}
		sum := sha256.Sum256(body)
		hash.Write([]byte(part.name))
		hash.Write(sum[:])
		if part.into == nil {
			read.model = body
			continue
		}
		if err := json.Unmarshal(body, part.into); err != nil {
			return nil, oip.Errorf(http.StatusBadRequest, "model %s: %s is damaged: %s", name, part.name, err)
		}
	}
	hash.Sum(read.digest[:0])
	return &read, nil
}

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() // Nothing was written.
	var body bytes.Buffer
	if _, err := io.Copy(&body, io.LimitReader(file, maxFile+1)); err != nil {
		return nil, err
	}
	if body.Len() > maxFile {
		return nil, errors.New("the file is too large")
	}
	return body.Bytes(), nil
}
