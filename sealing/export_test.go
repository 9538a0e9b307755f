package sealing

import "phantom/domain"

// Covered is what a seal covers of its place, for the test that nothing is left out of it: keys are bound to
// their tenant too, so no seal made by a Keyring shows what the place alone does.
func Covered(tenant domain.Tenant, made domain.InferenceMade, field string) string {
	return string(placeOf(tenant, &made, field))
}
