package api

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"phantom/artifact"
	"phantom/domain"
	"phantom/readmodel"
)

type versionList struct {
	ModelPath
	Paging
	Freshness
	ModelMoment
}

// VersionPath is the part of a path that says which version.
type VersionPath struct {
	Version string `path:"version" pattern:"^([1-9][0-9]{0,8}|latest|@[a-z0-9][a-z0-9._-]{0,62})$" patternDescription:"a version's number, latest, or an alias: 1, latest, @champion"`
}

type versionGet struct {
	ModelPath
	VersionPath
	Freshness
	ModelMoment
}

type versionPost struct {
	ModelPath
	WriteHeaders

	Body struct {
		ArtifactsLocation string             `json:"artifacts_location" doc:"The digest of an artifact that the tenant uploaded, or has a version of"`
		Metrics           map[string]float64 `json:"metrics,omitempty" doc:"What it achieved, by name"`
		Modification      string             `json:"modification,omitempty" doc:"What is new in it, or where it comes from"`
	}
}

func (s *server) versions(api huma.API) {
	const all, one = "/api/v1/models/{model_id}/versions", "/api/v1/models/{model_id}/versions/{version}"
	handle(s, api, operation("list-versions", http.MethodGet, all, "List versions, the newest first", "versions"), s.listVersions)
	register := operation("register-version", http.MethodPost, all, "Register a version that was trained elsewhere, of an artifact with model.onnx, signature.json and golden.json", "versions")
	register.DefaultStatus = http.StatusCreated
	handleFor(s, api, registerLimit, register, s.registerVersion)
	handle(s, api, operation("get-version", http.MethodGet, one, "Get a version by its number, as latest, or by an alias", "versions"), s.getVersion)
}

func (s *server) listVersions(ctx context.Context, in *versionList) (*list[readmodel.Version], error) {
	asOf, err := s.moment(ctx, in.Freshness, in.ModelPath, in.ModelMoment, readmodel.VersionsName, readmodel.AliasesName)
	if err != nil {
		return nil, err
	}
	found, err := s.Reader.ListVersions(ctx, callerOf(ctx).Tenant, in.id(), asOf, in.of())
	if err != nil {
		return nil, err
	}
	return then(pageOf(found), asOf), s.modelThere(ctx, in.id(), asOf, len(found.Items))
}

func (s *server) getVersion(ctx context.Context, in *versionGet) (*item[readmodel.Version], error) {
	version, asOf, err := s.versionOf(ctx, in)
	if err != nil {
		return nil, err
	}
	return &item[readmodel.Version]{Position: seen(asOf, version.Position), Body: version}, nil
}

// versionOf finds the version that is meant, and the position that it is asked as of.
func (s *server) versionOf(ctx context.Context, in *versionGet) (readmodel.Version, int64, error) {
	asOf, err := s.moment(ctx, in.Freshness, in.ModelPath, in.ModelMoment, readmodel.VersionsName, readmodel.AliasesName)
	if err != nil {
		return readmodel.Version{}, 0, err
	}
	number, err := s.numberOf(ctx, in, asOf)
	if err != nil {
		return readmodel.Version{}, 0, err
	}
	version, err := s.Reader.GetVersion(ctx, callerOf(ctx).Tenant, in.id(), number, asOf)
	return version, asOf, s.orOfNoModel(ctx, in.id(), asOf, err)
}

// orOfNoModel tells what a model does not have from what is asked of a model that is not there.
func (s *server) orOfNoModel(ctx context.Context, id domain.ModelID, asOf int64, err error) error {
	if errors.Is(err, domain.ErrNotFound) {
		if none := s.modelThere(ctx, id, asOf, 0); none != nil {
			return none
		}
	}
	return err
}

// numberOf is the version that is meant. What an alias names comes from the aliases' read model; the versions' one is then
// waited for, so that it knows the version.
func (s *server) numberOf(ctx context.Context, in *versionGet, asOf int64) (domain.Version, error) {
	tenant := callerOf(ctx).Tenant
	if alias, is := domain.VersionRef(in.Version).Alias(); is {
		named, err := s.Reader.GetAlias(ctx, tenant, in.id(), alias, asOf)
		if err == nil {
			err = s.reached(ctx, readmodel.VersionsName, named.Since)
		}
		return named.Version, s.orOfNoModel(ctx, in.id(), asOf, err)
	}
	if domain.VersionRef(in.Version) == domain.VersionLatest {
		newest, err := s.Reader.ListVersions(ctx, tenant, in.id(), asOf, readmodel.Paging{Limit: 1})
		if err != nil {
			return "", err
		}
		if len(newest.Items) > 0 {
			return newest.Items[0].Version, nil
		}
	}
	return domain.Version(in.Version), nil
}

// registerLimit is how long a registration may take: it reads the artifact once.
const registerLimit = 5 * time.Minute

// registerVersion makes a version of an artifact that can be served. Versions stay for ever and their
// numbers are not used again, so what could never be deployed is refused here.
func (s *server) registerVersion(ctx context.Context, in *versionPost) (*item[readmodel.Version], error) {
	cmd := domain.CreateModelVersion{
		ModelID: in.id(), ArtifactsLocation: domain.Digest(in.Body.ArtifactsLocation),
		PerformanceMetrics: in.Body.Metrics, Modification: in.Body.Modification,
	}
	m, err := meta(ctx, in.WriteHeaders)
	if err = errors.Join(err, inWordsOfVersion(domain.Validate(cmd))); err != nil {
		return nil, err
	}
	signature, err := s.servable(ctx, cmd.ArtifactsLocation)
	if err != nil {
		return nil, err
	}
	cmd.Signature = &signature
	result, err := s.Registry.Handle(ctx, callerOf(ctx).Tenant, cmd, m)
	if err != nil {
		return nil, inWordsOfVersion(err)
	}
	s.own.wrote(writerOf(ctx), result.Position)
	version := registered(result)
	return &item[readmodel.Version]{
		ETag: etag(result.Revision), Location: "/api/v1/models/" + in.ModelID + "/versions/" + string(version.Version),
		Position: result.Position, Body: version,
	}, nil
}

// inWordsOfVersion renames the bad fields of the command to those of the body.
func inWordsOfVersion(err error) error {
	paths := invalidPaths(err)
	if len(paths) == 0 {
		return err
	}
	bad := make([]error, len(paths))
	for i, path := range paths {
		field, reason := path.Field, path.Reason
		if name, ok := strings.CutPrefix(field, "performance_metrics"); ok {
			field = "metrics" + name
		}
		if strings.HasPrefix(field, "signature") {
			field, reason = "artifacts_location", "has a signature.json whose "+field+" "+reason
		}
		bad[i] = &domain.InvalidInput{Field: field, Reason: reason}
	}
	return errors.Join(bad...)
}

// servable is the signature of an artifact that the caller owns and a server can load.
func (s *server) servable(ctx context.Context, digest domain.Digest) (domain.Signature, error) {
	owned, err := s.owns(ctx, digest)
	if err != nil {
		return domain.Signature{}, err
	}
	refuse := func(reason string) error { return &domain.InvalidInput{Field: "artifacts_location", Reason: reason} }
	if !owned {
		return domain.Signature{}, refuse("is no artifact of this tenant; upload it first: POST /api/v1/artifacts")
	}
	signature, err := s.Artifacts.CheckServable(ctx, digest)
	switch {
	case errors.Is(err, artifact.ErrNotFound), errors.Is(err, artifact.ErrCorrupt):
		return signature, refuse("is gone or damaged; upload it again: POST /api/v1/artifacts")
	case errors.Is(err, artifact.ErrNotServable):
		return signature, refuse("is " + err.Error() + ". One tar holds model.onnx, signature.json and golden.json: `phantom artifact push --help` shows their forms")
	}
	return signature, s.storeTrouble(ctx, err)
}

// registered is the version that a command made.
func registered(result domain.Result) readmodel.Version {
	var version readmodel.Version
	for _, recorded := range result.Events {
		e, ok := recorded.Event.(domain.ModelVersionCreated)
		if !ok {
			continue
		}
		version = readmodel.Version{
			ModelID: recorded.Stream.Model(), Version: e.Version, ArtifactsLocation: e.ArtifactsLocation,
			Metrics: map[string]float64{}, Signature: e.Signature, Modification: e.Modification,
			CreatedAt: recorded.OccurredAt.UTC(), CreatedBy: recorded.Metadata.Actor,
			DeployedTargets: []domain.Target{}, Aliases: []domain.Alias{},
		}
		maps.Copy(version.Metrics, e.PerformanceMetrics)
		if e.PreviousVersion != "" {
			version.PreviousVersion = &e.PreviousVersion
		}
	}
	return version
}
