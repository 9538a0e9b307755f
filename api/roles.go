package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"

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

		"pause-projection":   access.Admin, // and an operator: see operatorsOnly
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

// operatorsOnly are the operations that concern all tenants: an admin of an operator tenant alone may ask for them.
func operatorsOnly(operation string) bool {
	return operation == "pause-projection" || operation == "resume-projection" || operation == "rebuild-projection"
}

// operates tells whether the caller may do and see what concerns all tenants; with authentication off everybody may.
func (s *server) operates(ctx context.Context) bool {
	return s.Verifier == nil || slices.Contains(s.Operators, callerOf(ctx).Tenant)
}

// permitOperator refuses who is not of an operator tenant what concerns all tenants.
func (s *server) permitOperator(ctx context.Context, operation string) error {
	if !operatorsOnly(operation) || s.operates(ctx) {
		return nil
	}
	caller := callerOf(ctx)
	s.Verifier.Deny(caller.KeyID, operation, "needs an operator tenant")
	return problem(http.StatusForbidden, CodeForbidden, fmt.Sprintf("%s concerns all tenants: it needs an admin key of an operator tenant, "+
		"and %s is none; ask whoever runs this server, or let them list it under operators in phantom.yaml", operation, caller.Tenant))
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
	err := s.permit(ctx.Context(), s.roleOf(operation), operation)
	if err == nil {
		err = s.permitOperator(ctx.Context(), operation)
	}
	if err != nil {
		_, w := humago.Unwrap(ctx)
		write(w, known(err))
		return
	}
	next(ctx)
}
