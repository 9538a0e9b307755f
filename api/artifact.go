package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"go.uber.org/zap"

	"phantom/artifact"
	"phantom/domain"
	"phantom/readmodel"
)

// uploadStall is how long an upload may stand still; as a whole it takes as long as it takes.
const uploadStall = 30 * time.Second

// Stored is an artifact that is there.
type Stored struct {
	Digest   domain.Digest `json:"digest" doc:"The SHA-256 of its bytes: sha256:…"`
	Size     int64         `json:"size" doc:"In bytes"`
	Location string        `json:"location"`
}

// artifactPost is an upload. Its body is read by the handler, never as a whole.
type artifactPost struct {
	length int64 // -1 when the client does not say
	body   io.Reader
	line   *http.ResponseController
}

// Resolve implements huma.Resolver.
func (a *artifactPost) Resolve(ctx huma.Context) []error {
	r, w := humago.Unwrap(ctx)
	a.length, a.body, a.line = r.ContentLength, r.Body, http.NewResponseController(w)
	return nil
}

type artifactGet struct {
	Freshness

	Digest string `path:"digest" pattern:"^sha256:[0-9a-f]{64}$" patternDescription:"sha256: and 64 lower-case hex digits"`
}

func (s *server) artifactStore(api huma.API) {
	const all = "/api/v1/artifacts"
	post := operation("upload-artifact", http.MethodPost, all, "Store a model's files: a tar, as `phantom artifact push` makes it. The same bytes again are the same artifact", "artifacts")
	post.DefaultStatus = http.StatusCreated
	bytes := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}
	post.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
		"application/octet-stream": bytes, "application/x-tar": bytes,
	}}
	handleFor(s, api, 0, post, s.uploadArtifact)
	handle(s, api, binary(operation("get-artifact", http.MethodGet, all+"/{digest}",
		"Download an artifact that the tenant uploaded, or has a version of", "artifacts")), s.getArtifact)
	handle(s, api, binary(operation("get-version-artifact", http.MethodGet, "/api/v1/models/{model_id}/versions/{version}/artifact",
		"Download a version's files, as a tar", "versions")), s.getVersionArtifact)
}

// binary describes an answer of bytes, whole or in part.
func binary(op huma.Operation) huma.Operation {
	content := map[string]*huma.MediaType{"application/octet-stream": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}}
	op.Responses = map[string]*huma.Response{
		"200": {Description: "The bytes; ETag is their digest", Content: content},
		"206": {Description: "The part that Range asks for", Content: content},
		"304": {Description: "If-None-Match names the digest"},
		"416": {Description: "There is no such Range"},
	}
	return op
}

func (s *server) uploadArtifact(ctx context.Context, in *artifactPost) (*item[Stored], error) {
	if in.length > s.MaxArtifact {
		return nil, tooLarge(s.MaxArtifact)
	}
	stored, err := s.Artifacts.Put(ctx, &upload{artifactPost: in, most: s.MaxArtifact, left: s.MaxArtifact})
	if err != nil {
		return nil, s.storeTrouble(ctx, err)
	}
	caller := callerOf(ctx)
	err = s.Artifacts.Claim(ctx, caller.Tenant, stored.Digest, artifact.Claim{Size: stored.Size, By: caller.Actor, At: time.Now().UTC()})
	if err != nil {
		return nil, s.storeTrouble(ctx, err)
	}
	location := "/api/v1/artifacts/" + string(stored.Digest)
	return &item[Stored]{
		ETag: `"` + string(stored.Digest) + `"`, Location: location,
		Body: Stored{Digest: stored.Digest, Size: stored.Size, Location: location},
	}, nil
}

// storeTrouble makes an artifact store that fails a 503: it is a server of its own, and its words stay here.
func (s *server) storeTrouble(ctx context.Context, err error) error {
	var ours *Problem
	if err == nil || errors.As(err, &ours) || ctx.Err() != nil {
		return err
	}
	s.log.Error("the artifact store fails", zap.String("request_id", requestID(ctx)), zap.Error(err))
	return unavailable("the artifact store does not answer now; try again")
}

// upload reads a body up to a limit, as long as it moves.
type upload struct {
	*artifactPost

	most, left int64
}

func (u *upload) Read(p []byte) (int, error) {
	_ = u.line.SetReadDeadline(time.Now().Add(uploadStall)) // a line without deadlines has none
	n, err := u.body.Read(p[:min(int64(len(p)), u.left+1)])
	u.left -= int64(n)
	if u.left >= 0 && err == nil {
		return n, nil
	}
	if u.left < 0 {
		u.drain()
	}
	_ = u.line.SetReadDeadline(time.Time{}) // else it would strike while the bytes are stored
	switch {
	case u.left < 0:
		return 0, tooLarge(u.most)
	case !errors.Is(err, io.EOF):
		return n, problem(http.StatusBadRequest, CodeMalformed, "the body broke off before its end")
	case u.left == u.most:
		return 0, problem(http.StatusBadRequest, CodeMalformed, "the body is empty")
	}
	return n, err
}

// drain reads on for a while: the line of a client that still writes would be reset before it hears why.
func (u *upload) drain() {
	const most, longest = 64 << 20, 5 * time.Second
	_ = u.line.SetReadDeadline(time.Now().Add(longest))
	_, _ = io.CopyN(io.Discard, u.body, most) // it is refused in any case
}

func tooLarge(most int64) *Problem {
	return problem(http.StatusRequestEntityTooLarge, CodeTooLarge,
		fmt.Sprintf("an artifact has at most %d bytes here; artifacts.limit in the server's phantom.yaml says so", most))
}

// owns tells whether the caller may read an artifact by its digest alone. Bytes are shared by all tenants,
// so that they are there says nothing.
func (s *server) owns(ctx context.Context, digest domain.Digest) (bool, error) {
	tenant := callerOf(ctx).Tenant
	if claimed, err := s.Artifacts.Claimed(ctx, tenant, digest); claimed || err != nil {
		return claimed, s.storeTrouble(ctx, err)
	}
	return s.Reader.HasArtifact(ctx, tenant, digest)
}

func noArtifact(digest domain.Digest) error {
	return &domain.NotFound{Kind: "artifact", ID: string(digest)}
}

func (s *server) getArtifact(ctx context.Context, in *artifactGet) (*huma.StreamResponse, error) {
	if err := s.fresh(ctx, in.Freshness, readmodel.VersionsName); err != nil {
		return nil, err
	}
	digest := domain.Digest(in.Digest)
	owned, err := s.owns(ctx, digest)
	if err == nil && !owned {
		err = noArtifact(digest)
	}
	if err != nil {
		return nil, err
	}
	return s.download(ctx, digest, strings.TrimPrefix(in.Digest, "sha256:")+".tar")
}

func (s *server) getVersionArtifact(ctx context.Context, in *versionGet) (*huma.StreamResponse, error) {
	version, _, err := s.versionOf(ctx, in)
	if err != nil {
		return nil, err
	}
	return s.download(ctx, version.ArtifactsLocation, fmt.Sprintf("%s-v%s.tar", version.ModelID, version.Version))
}

// download streams an artifact. That it is there is known before the first byte of the answer; that it is
// intact shows with the last, which does not come when it is not.
func (s *server) download(ctx context.Context, digest domain.Digest, name string) (*huma.StreamResponse, error) {
	there, err := s.Artifacts.Exists(ctx, digest)
	switch {
	case err != nil:
		return nil, s.storeTrouble(ctx, err)
	case !there:
		return nil, noArtifact(digest)
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) { //nolint:contextcheck // it goes on after the handler's context
		r, w := humago.Unwrap(hc)
		object, err := s.Artifacts.Object(hc.Context(), digest)
		if err != nil {
			write(w, s.answer(hc.Context(), s.storeTrouble(hc.Context(), err)))
			return
		}
		defer func() { _ = object.Close() }() // nothing was written
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
		w.Header().Set("ETag", `"`+string(digest)+`"`)
		told := &telling{Object: object}
		http.ServeContent(w, r, "", time.Time{}, told)
		if told.err != nil && hc.Context().Err() == nil {
			s.log.Error("a download broke off", zap.String("request_id", requestID(hc.Context())), zap.Error(told.err))
		}
	}}, nil
}

// telling remembers why an object could not be read: http.ServeContent only stops.
type telling struct {
	*artifact.Object

	err error
}

func (t *telling) Read(p []byte) (int, error) {
	n, err := t.Object.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		t.err = err
	}
	return n, err
}
