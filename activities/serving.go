package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"phantom/artifact"
	"phantom/domain"
	"phantom/serving/target"
)

// ServingTargets are the configured places to serve from.
type ServingTargets interface {
	Names() []domain.Target
	Target(name domain.Target) (ServingTarget, bool)
	// Sharing lists the targets that are the same server as the one named, that one included.
	Sharing(name domain.Target) []domain.Target
	// CheckConfig refuses, as *domain.InvalidInput, a deployment's config that gateways cannot read.
	CheckConfig(config json.RawMessage) error
}

// ServingTarget is a server to load models into; target.Target is one. Every call can be repeated.
// Errors are target.ErrRefused, which another try gives again, or mean that it may help.
type ServingTarget interface {
	Load(ctx context.Context, name string, files []artifact.File) error
	Ready(ctx context.Context, name string) error
	CheckSignature(ctx context.Context, name string, want domain.Signature) error
	Golden(ctx context.Context, name string, golden artifact.Golden) error
	Unload(ctx context.Context, name string) error
}

// Serving loads versions into targets, proves that they compute what was trained, and unloads them.
type Serving struct {
	Models  Models
	Targets ServingTargets
	Bundles Bundles
	Routes  Routes
}

// VersionLoad is the input of LoadVersion.
type VersionLoad struct {
	Tenant    domain.Tenant     `json:"tenant"`
	ModelID   domain.ModelID    `json:"model_id"`
	Version   domain.Version    `json:"version"`
	Target    domain.Target     `json:"target"`
	Artifact  domain.Digest     `json:"artifact"`
	Signature *domain.Signature `json:"signature,omitempty"` // of the version; nil takes the bundle's
}

// VersionLoaded is the result of LoadVersion.
type VersionLoaded struct {
	Name       string `json:"name"`        // that the server knows it by
	GoldenRows int    `json:"golden_rows"` // that it computed as trained
}

// ServedName is the name of a version at the server: each version is a model of its own there.
func ServedName(tenant domain.Tenant, model domain.ModelID, version domain.Version) string {
	return fmt.Sprintf("%s.%s.v%s", tenant, model, version)
}

// LoadVersion brings a version's files to the target, loads it, and proves it: it is ready, has the
// signature, and gives the golden answers. What the server or a check refuses is TargetRefused.
func (s *Serving) LoadVersion(ctx context.Context, in VersionLoad) (VersionLoaded, error) {
	return beating(ctx, func(ctx context.Context) (VersionLoaded, error) {
		server, err := s.server(in.Target)
		if err != nil {
			return VersionLoaded{}, err
		}
		files, err := s.Bundles.GetBundle(ctx, in.Artifact)
		if err != nil {
			return VersionLoaded{}, refusedBundle(in.Artifact, err)
		}
		loaded := VersionLoaded{Name: ServedName(in.Tenant, in.ModelID, in.Version)}
		if err = server.Load(ctx, loaded.Name, files); err == nil {
			loaded.GoldenRows, err = prove(ctx, server, loaded.Name, files, in.Signature)
		}
		if errors.Is(err, target.ErrRefused) {
			err = refusedAs(TypeTargetRefused, err)
		}
		return loaded, err
	})
}

// prove asks a loaded version whether it is what was trained.
func prove(ctx context.Context, server ServingTarget, name string, files []artifact.File, signature *domain.Signature) (int, error) {
	if err := server.Ready(ctx, name); err != nil {
		return 0, err
	}
	if signature == nil {
		signature = &domain.Signature{}
		if err := document(files, artifact.SignatureFile, signature); err != nil {
			return 0, err
		}
	}
	if err := server.CheckSignature(ctx, name, *signature); err != nil {
		return 0, err
	}
	var golden artifact.Golden
	if err := document(files, artifact.GoldenFile, &golden); err != nil {
		return 0, err
	}
	return len(golden.Inputs), server.Golden(ctx, name, golden)
}

// document reads one of a bundle's JSON files; a bundle without it cannot be proven, and is refused.
func document(files []artifact.File, name string, into any) error {
	for _, file := range files {
		if file.Name == name {
			if err := json.Unmarshal(file.Body, into); err != nil {
				return fmt.Errorf("%w: its %s cannot be read: %w", target.ErrRefused, name, err)
			}
			return nil
		}
	}
	return fmt.Errorf("%w: its bundle has no %s", target.ErrRefused, name)
}

// VersionUnload is the input of UnloadVersions.
type VersionUnload struct {
	Tenant   domain.Tenant    `json:"tenant"`
	ModelID  domain.ModelID   `json:"model_id"`
	Target   domain.Target    `json:"target"`
	Versions []domain.Version `json:"versions"` // those that may have to go
}

// VersionsUnloaded is the result of UnloadVersions.
type VersionsUnloaded struct {
	Unloaded []domain.Version `json:"unloaded"`
	Kept     []domain.Version `json:"kept"` // they serve or are rolled out, here or at a target of the same server
}

// UnloadVersions unloads those of the versions that nobody needs: not deployed and not in a rollout, as
// the model's events say, at the target or another one of its server. Before, it waits until no gateway
// routes by anything older than those events.
func (s *Serving) UnloadVersions(ctx context.Context, in VersionUnload) (VersionsUnloaded, error) {
	return beating(ctx, func(ctx context.Context) (VersionsUnloaded, error) {
		server, err := s.server(in.Target)
		if err != nil {
			return VersionsUnloaded{}, err
		}
		head, err := s.Routes.Head(ctx, in.Tenant)
		if err != nil {
			return VersionsUnloaded{}, err
		}
		model, err := s.Models.Model(ctx, in.Tenant, in.ModelID)
		if err != nil {
			return VersionsUnloaded{}, Refusal(err)
		}
		if err := acknowledged(ctx, s.Routes, in.Tenant, head); err != nil {
			return VersionsUnloaded{}, err
		}
		var result VersionsUnloaded
		for _, version := range in.Versions {
			if needed(model, s.Targets.Sharing(in.Target), version) {
				result.Kept = append(result.Kept, version)
				continue
			}
			if err := server.Unload(ctx, ServedName(in.Tenant, in.ModelID, version)); err != nil {
				return result, err
			}
			result.Unloaded = append(result.Unloaded, version)
		}
		return result, nil
	})
}

func needed(model domain.Model, targets []domain.Target, version domain.Version) bool {
	return slices.ContainsFunc(targets, func(name domain.Target) bool {
		if model.Champion(name) == version {
			return true
		}
		running, runs := model.Rollouts[name]
		return runs && (running.Version == version || running.Champion == version)
	})
}

func (s *Serving) server(name domain.Target) (ServingTarget, error) {
	server, known := s.Targets.Target(name)
	if !known {
		return nil, Refusal(&domain.NotFound{Kind: "target", ID: string(name)})
	}
	return server, nil
}
