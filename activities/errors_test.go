package activities_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"phantom/activities"
	"phantom/domain"
)

func TestRefusal(t *testing.T) {
	t.Parallel()
	for kind, err := range map[string]error{
		activities.TypeInvalidState:  &domain.InvalidState{Reason: "job j does not run"},
		activities.TypeNotFound:      &domain.NotFound{Kind: "model", ID: "m"},
		activities.TypeAlreadyExists: domain.ErrAlreadyExists,
		activities.TypeConflict:      domain.ErrIdempotencyMismatch,
		"":                           domain.ErrConflict,
	} {
		err = fmt.Errorf("handle: %w", err)
		refused := activities.Refusal(err)
		require.Equal(t, kind, activities.ErrorType(refused))
		require.Equal(t, kind != "", activities.Refused(refused))
		if kind == "" {
			require.Equal(t, err, refused, "contention is retried")
			continue
		}
		app, ok := refused.(*temporal.ApplicationError) //nolint:errorlint // the outermost error must be it
		require.True(t, ok)
		require.True(t, app.NonRetryable())
		require.Equal(t, refused, activities.Refusal(refused), "once is enough")
	}
	require.NoError(t, activities.Refusal(nil))
	require.Equal(t, activities.TypeConflict, activities.ErrorType(activities.Refusal(domain.ErrPreconditionFailed)))
}

func TestRefusalListsEveryBadField(t *testing.T) {
	t.Parallel()
	refused := activities.Refusal(fmt.Errorf("check: %w", errors.Join(
		&domain.InvalidInput{Field: "a", Reason: "is required"},
		errors.Join(&domain.InvalidInput{Field: "b.c", Reason: "must be text"}),
	)))
	require.Equal(t, activities.TypeInvalidInput, activities.ErrorType(refused))
	require.ErrorContains(t, refused, "invalid input: a: is required; b.c: must be text")
	var app *temporal.ApplicationError
	require.ErrorAs(t, refused, &app)
	var fields []activities.FieldError
	require.NoError(t, app.Details(&fields))
	require.Equal(t, []activities.FieldError{{"a", "is required"}, {"b.c", "must be text"}}, fields)
}
