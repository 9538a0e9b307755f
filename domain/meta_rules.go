package domain

// maxID is the longest id of a command, cause or correlation, in characters.
const maxID = 512

// Validate looks at what travels with a command. What is wrong comes back as *InvalidInput, one for
// each bad field, joined.
func (m Meta) Validate() error {
	var v checks
	v.text("command_id", m.CommandID, maxID)
	v.text("causation_id", m.CausationID, maxID)
	v.text("correlation_id", m.CorrelationID, maxID)
	v.text("workflow_id", m.WorkflowID, maxID)
	v.text("run_id", m.RunID, maxID)
	v.text("trace", m.Trace, maxID)
	v.text("actor.subject", m.Actor.Subject, maxName)
	v.require(m.At.IsZero() || m.At.Year() >= 1970 && m.At.Year() <= 9999, "at", "must be a year from 1970 to 9999")
	v.require(m.Expect == nil || *m.Expect >= 0, "expect", "must be a revision: 0 for none, else 1, 2, …")
	return v.err()
}

// ValidateTenant returns an *InvalidInput unless the tenant has its form.
func ValidateTenant(t Tenant) error {
	var v checks
	v.require(t.Valid(), "tenant", "must match [a-z0-9][a-z0-9-]{0,62}")
	return v.err()
}
