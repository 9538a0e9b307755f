package api

import (
	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"phantom/access"
)

// operationRoles is the role that each operation needs at the least. One that is missing here needs an admin, and
// fails a test. Two look closer: start-training with `deploy` needs a deployer, and so do retry-step and cancel of
// a saga that is no training.
func operationRoles() map[string]access.Role {
	return map[string]access.Role{
		"list-models":          access.Viewer,
		"get-model":            access.Viewer,
		"list-versions":        access.Viewer,
		"get-version":          access.Viewer,
		"list-deployments":     access.Viewer,
		"list-rollouts":        access.Viewer,
		"get-rollout":          access.Viewer,
		"list-all-rollouts":    access.Viewer,
		"get-any-rollout":      access.Viewer,
		"list-trainings":       access.Viewer,
		"get-training":         access.Viewer,
		"get-training-metrics": access.Viewer,
		"get-training-logs":    access.Viewer,
		"list-all-trainings":   access.Viewer,
		"get-any-training":     access.Viewer,
		"list-model-events":    access.Viewer,
		"list-events":          access.Viewer,
		"list-sagas":           access.Viewer,
		"search-models":        access.Viewer,
		"get-lineage":          access.Viewer,
		"get-saga":             access.Viewer,
		"get-analytics":        access.Viewer,
		"list-projections":     access.Viewer,
		"get-projection":       access.Viewer,
		"list-parked":          access.Viewer,
		"get-alias":            access.Viewer,
		"list-aliases":         access.Viewer,
		"get-artifact":         access.Viewer,
		"get-version-artifact": access.Viewer,

		"create-model":     access.Trainer,
		"patch-model":      access.Trainer,
		"configure-model":  access.Trainer,
		"start-training":   access.Trainer,
		"upload-artifact":  access.Trainer,
		"register-version": access.Trainer,
		"record-feedback":  access.Trainer, // labels decide canaries
		"retry-step-saga":  access.Trainer,
		"cancel-saga":      access.Trainer,

		"start-deployment": access.Deployer,
		"undeploy":         access.Deployer,
		"assign-alias":     access.Deployer, // an alias says what to deploy
		"remove-alias":     access.Deployer,
		"archive-model":    access.Deployer,
		"roll-back":        access.Deployer,
		"promote-saga":     access.Deployer,
		"abort-saga":       access.Deployer,

		"approve-saga": access.Approver,
		"reject-saga":  access.Approver,

		// Of all tenants, but for rewind and retry.
		"pause-projection":   access.Admin,
		"resume-projection":  access.Admin,
		"rewind-projection":  access.Admin,
		"rebuild-projection": access.Admin,
		"retry-projection":   access.Admin,

		"delete-model":    access.Admin,
		"list-keys":       access.Admin,
		"list-key-events": access.Admin,
		"create-key":      access.Admin,
		"revoke-key":      access.Admin,
	}
}

// roleOf is the role that an operation needs.
func (s *server) roleOf(operation string) access.Role {
	if role, declared := s.roles[operation]; declared {
		return role
	}
	return access.Admin
}

// authorise lets an operation begin for those who may.
func (s *server) authorise(ctx huma.Context, next func(huma.Context)) {
	operation := ctx.Operation().OperationID
	if err := s.permit(ctx.Context(), s.roleOf(operation), operation); err != nil {
		_, w := humago.Unwrap(ctx)
		write(w, known(err))
		return
	}
	next(ctx)
}
