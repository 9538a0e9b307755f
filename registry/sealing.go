package registry

import (
	"context"
	"fmt"

	"phantom/domain"
)

// Sealer keeps the private content of inferences from whoever reads the log without its keys. It changes
// the inferences in place.
type Sealer interface {
	// Seal replaces private content in clear by its sealed form, and by the erased one where the key that
	// it would need was destroyed.
	Seal(ctx context.Context, tenant domain.Tenant, inferences []domain.InferenceMade) error
	// Open replaces sealed content by its clear form, and by the erased one where its key was destroyed.
	Open(ctx context.Context, tenant domain.Tenant, inferences []domain.InferenceMade) error
}

// NewSealing makes a registry that seals what is private on its way into the log. One without a sealer
// refuses it.
func NewSealing(store Store, sealer Sealer) *Registry {
	sealing := New(store)
	sealing.sealer = sealer
	return sealing
}

// seal replaces the inferences among the events by sealed ones. The ids of events do not depend on their
// content, so a batch that is sent again, and sealed again, is still the same.
func (r *Registry) seal(ctx context.Context, tenant domain.Tenant, events []domain.Event) error {
	var places []int
	var inferences []domain.InferenceMade
	for i, event := range events {
		if made, is := event.(domain.InferenceMade); is && len(made.Private()) > 0 {
			places, inferences = append(places, i), append(inferences, made)
		}
	}
	if len(inferences) == 0 {
		return nil
	}
	if r.sealer == nil {
		return &domain.InvalidInput{
			Field:  fmt.Sprintf("inferences.%d.%s", places[0], inferences[0].Private()[0].Field),
			Reason: "is private, and there are no keys here to seal it with",
		}
	}
	if err := r.sealer.Seal(ctx, tenant, inferences); err != nil {
		return fmt.Errorf("seal inferences of tenant %s: %w", tenant, err)
	}
	for i, place := range places {
		events[place] = inferences[i]
	}
	return nil
}

// Open puts the sealed content of recorded inferences in clear, in place; what was erased says so. Without
// a sealer everything stays as it is.
func (r *Registry) Open(ctx context.Context, tenant domain.Tenant, recorded []domain.Recorded) error {
	var places []int
	var inferences []domain.InferenceMade
	for i, one := range recorded {
		if made, is := one.Event.(domain.InferenceMade); is && (made.InputFeatures.Sealed != nil || made.Prediction.Sealed != nil) {
			places, inferences = append(places, i), append(inferences, made)
		}
	}
	if len(inferences) == 0 || r.sealer == nil {
		return nil
	}
	if err := r.sealer.Open(ctx, tenant, inferences); err != nil {
		return fmt.Errorf("open inferences of tenant %s: %w", tenant, err)
	}
	for i, place := range places {
		recorded[place].Event = inferences[i]
	}
	return nil
}
