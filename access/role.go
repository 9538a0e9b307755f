package access

import "slices"

// Role is what a key may do. Each role may do what those before it may.
type Role string

// The roles, from least to most.
const (
	Viewer   Role = "viewer"   // reads, and asks models
	Trainer  Role = "trainer"  // makes and changes models, trains, labels
	Deployer Role = "deployer" // brings versions into and out of service
	Approver Role = "approver" // approves and rejects
	Admin    Role = "admin"    // makes and revokes keys
)

// Roles are all of them, from least to most.
func Roles() []Role { return []Role{Viewer, Trainer, Deployer, Approver, Admin} }

// Valid tells a role from another word.
func (r Role) Valid() bool { return slices.Contains(Roles(), r) }

// Allows says whether who has this role may do what needs the other one. What is no role allows nothing, and is
// allowed to nobody.
func (r Role) Allows(needed Role) bool {
	return r.Valid() && needed.Valid() && slices.Index(Roles(), r) >= slices.Index(Roles(), needed)
}
