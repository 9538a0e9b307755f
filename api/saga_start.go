package api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"phantom/domain"
	"phantom/workflows"
)

// The memo of a saga that was started here, beside workflows.MemoRequestHash.
const (
	memoSummary = "summary"
	memoKey     = "idempotency_key"
)

// accepted answers a request whose work goes on.
type accepted struct {
	Location string `header:"Location" doc:"Where the saga is"`
	Body     struct {
		SagaID     string `json:"saga_id"`
		WorkflowID string `json:"workflow_id" doc:"The same: Temporal's name for the saga"`
		Location   string `json:"location"`
	}
}

func accept(id string) *accepted {
	a := &accepted{Location: "/api/v1/sagas/" + id}
	a.Body.SagaID, a.Body.WorkflowID, a.Body.Location = id, id, a.Location
	return a
}

// sagaStart is a saga to start.
type sagaStart struct {
	kind    string
	prefix  string // of the workflow id
	key     string // the last part of the workflow id
	model   domain.ModelID
	target  domain.Target // or ""
	version domain.Version
	input   any // normalised
	reuse   enums.WorkflowIdReusePolicy
	summary string
	details string
	// admit refuses early what the saga would refuse late. It is not asked when the request attaches to a
	// saga that stands already.
	admit func(domain.Model) error
}

func (st sagaStart) id(tenant domain.Tenant) string {
	return strings.Join([]string{st.prefix, string(tenant), string(st.model), st.key}, ":")
}

// begin starts a saga, or attaches to the one that the same request has started.
func (s *server) begin(ctx context.Context, h WriteHeaders, st sagaStart) (*accepted, error) {
	expect, err := h.expect()
	if err != nil {
		return nil, err
	}
	hash, err := workflows.RequestHash(st.kind, st.input)
	if err != nil {
		return nil, fmt.Errorf("hash the input of %s: %w", st.kind, err)
	}
	id := st.id(callerOf(ctx).Tenant)
	if attached, err := s.attach(ctx, id, h.IdempotencyKey, hash); attached || err != nil {
		return acceptUnless(id, err)
	}
	if err := s.admit(ctx, st, expect); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, temporalWrite)
	defer cancel()
	_, err = s.Temporal.ExecuteWorkflow(ctx, s.options(ctx, st, h.IdempotencyKey, hash), st.kind, st.input)
	if _, standing := errors.AsType[*serviceerror.WorkflowExecutionAlreadyStarted](err); standing { // somebody was faster since the look
		attached, err := s.attach(ctx, id, h.IdempotencyKey, hash)
		if !attached && err == nil {
			err = problem(http.StatusConflict, CodeConflict, "saga "+id+" was started by somebody else meanwhile; try again")
		}
		return acceptUnless(id, err)
	}
	return acceptUnless(id, s.temporalError(err, id))
}

func acceptUnless(id string, err error) (*accepted, error) {
	if err != nil {
		return nil, err
	}
	return accept(id), nil
}

// admit looks at the model before anything is started.
func (s *server) admit(ctx context.Context, st sagaStart, expect *int64) error {
	m, err := s.Registry.Model(ctx, callerOf(ctx).Tenant, st.model)
	if err != nil {
		return err
	}
	if expect != nil && m.Revision != *expect {
		return fmt.Errorf("model %s is at revision %d, not at %d: %w", st.model, m.Revision, *expect, domain.ErrPreconditionFailed)
	}
	return st.admit(m)
}

func (s *server) options(ctx context.Context, st sagaStart, key, hash string) client.StartWorkflowOptions {
	tenant := callerOf(ctx).Tenant
	attributes := []temporal.SearchAttributeUpdate{
		attribute(attrTenant).ValueSet(string(tenant)), attribute(attrModel).ValueSet(string(st.model)),
		attribute(attrKind).ValueSet(st.kind),
	}
	if st.target != "" {
		attributes = append(attributes, attribute(attrTarget).ValueSet(string(st.target)))
	}
	if st.version != "" {
		attributes = append(attributes, attribute(attrVersion).ValueSet(string(st.version)))
	}
	memo := map[string]any{workflows.MemoRequestHash: hash, memoSummary: st.summary}
	if key != "" {
		memo[memoKey] = key
	}
	return client.StartWorkflowOptions{
		ID: st.id(tenant), TaskQueue: s.Queue, WorkflowIDReusePolicy: st.reuse,
		WorkflowIDConflictPolicy:                 enums.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
		WorkflowExecutionErrorWhenAlreadyStarted: true,
		Memo:                                     memo, TypedSearchAttributes: temporal.NewSearchAttributes(attributes...),
		StaticSummary: st.summary, StaticDetails: st.details,
	}
}

// attach tells whether the saga that stands under the id is this request's. One that runs for another
// request is a conflict; with this request's key it is a mismatch. One that has ended is this request's
// if it completed under the same key, or if its id is made of the key; else a new one can be started.
func (s *server) attach(ctx context.Context, id, key, hash string) (bool, error) {
	standing, err := s.describe(ctx, id)
	if errors.Is(err, domain.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	sameKey := key != "" && (standing.memo(memoKey) == key || strings.HasPrefix(id, "train:") && strings.HasSuffix(id, ":"+key))
	switch running := standing.state() == stateRunning; {
	case !running && (standing.state() != stateCompleted || !sameKey):
		return false, nil
	case standing.memo(workflows.MemoRequestHash) == hash:
		return true, nil
	case sameKey:
		return false, fmt.Errorf("saga %s: %w", id, domain.ErrIdempotencyMismatch)
	default:
		return false, problem(http.StatusConflict, CodeConflict,
			"saga "+id+" runs already for another request; wait for it, or cancel it: POST /api/v1/sagas/"+id+"/cancel")
	}
}

// parseInput makes a saga's input of a request's body and of what the path and the headers say.
func parseInput[T any](ctx context.Context, model domain.ModelID, body json.RawMessage, parse func([]byte) (T, error)) (T, error) {
	return parsePlaced(ctx, model, "", body, parse)
}

// parsePlaced is parseInput for a path that names the target too.
func parsePlaced[T any](ctx context.Context, model domain.ModelID, target domain.Target, body json.RawMessage, parse func([]byte) (T, error)) (T, error) {
	var none T
	fields := map[string]json.RawMessage{}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &fields); err != nil || fields == nil {
			return none, &domain.InvalidInput{Field: "input", Reason: "must be a JSON object"}
		}
	}
	caller := callerOf(ctx)
	given := map[string]any{"tenant": caller.Tenant, "model_id": model, "actor": caller.claim()}
	if target != "" {
		given["target"] = target
	}
	var bad []error
	for _, name := range []string{"tenant", "model_id", "actor", "target"} {
		value, said := given[name]
		if !said {
			continue
		}
		if _, twice := fields[name]; twice {
			bad = append(bad, &domain.InvalidInput{Field: name, Reason: "is not a field: the path and the headers say it"})
		}
		text, err := json.Marshal(value)
		if err != nil {
			return none, fmt.Errorf("encode %s: %w", name, err)
		}
		fields[name] = text
	}
	text, err := json.Marshal(fields)
	if err != nil {
		return none, fmt.Errorf("encode the input: %w", err)
	}
	input, err := parse(text)
	return input, errors.Join(append(bad, err)...)
}

// newKey names a training that the caller did not name: when it was asked for, and some chance.
func newKey() string {
	chance := make([]byte, 4)
	_, _ = rand.Read(chance) // never fails
	return time.Now().UTC().Format("2006-01-02T15-04-05") + "-" + hex.EncodeToString(chance)
}

// serves tells whether there is such a target.
func (s *server) serves(target domain.Target) bool { return slices.Contains(s.Targets, target) }

func (s *server) noTarget(target domain.Target) string {
	names := make([]string, len(s.Targets))
	for i, known := range s.Targets {
		names[i] = string(known)
	}
	slices.Sort(names)
	if len(names) == 0 {
		return fmt.Sprintf("there is no target %q: the server's phantom.yaml names none", target)
	}
	return fmt.Sprintf("there is no target %q; there is %s", target, strings.Join(names, ", "))
}

// active refuses a model that is not there, or not there any more.
func active(m domain.Model, id domain.ModelID) error {
	switch {
	case !m.Exists():
		return &domain.NotFound{Kind: "model", ID: string(id)}
	case m.Archived || m.Deleted:
		return &domain.InvalidState{Reason: "model " + string(id) + " takes no work any more", Current: string(m.Status())}
	default:
		return nil
	}
}
