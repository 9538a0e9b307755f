package config

import (
	"slices"
	"strings"
)

// Role is a part of the work that a worker process can take.
type Role string

// The roles. A worker without PHANTOM_ROLES takes all of them.
const (
	RoleWorkflows   Role = "workflows"
	RoleActivities  Role = "activities"
	RoleTraining    Role = "training"
	RoleProjections Role = "projections"
	RoleAPI         Role = "api"
	RoleGateway     Role = "gateway"
	RoleModelServer Role = "modelserver"
)

// AllRoles are the roles in the order in which a worker starts them.
func AllRoles() Roles {
	return Roles{RoleWorkflows, RoleActivities, RoleTraining, RoleProjections, RoleAPI, RoleGateway, RoleModelServer}
}

// Roles are the roles that a process takes, each once.
type Roles []Role

// Has says whether the role is among them.
func (r Roles) Has(role Role) bool { return slices.Contains(r, role) }

// String joins the roles as PHANTOM_ROLES takes them.
func (r Roles) String() string {
	names := make([]string, len(r))
	for i, role := range r {
		names[i] = string(role)
	}
	return strings.Join(names, ",")
}

func (r *reader) roles() Roles {
	value := r.text("PHANTOM_ROLES", "all")
	if value == "all" {
		return AllRoles()
	}
	var roles Roles
	for name := range strings.SplitSeq(value, ",") {
		role := Role(strings.TrimSpace(name))
		if !AllRoles().Has(role) {
			r.refuse("PHANTOM_ROLES", value, "all, or of "+AllRoles().String()+" any, joined by commas")
			return AllRoles()
		}
		if !roles.Has(role) {
			roles = append(roles, role)
		}
	}
	return roles
}
