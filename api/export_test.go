package api

import "phantom/access"

// OperationRoles is what operations need, as declared.
func OperationRoles() map[string]access.Role { return operationRoles() }
