package workflows

import (
	"errors"
	"strings"
	"unicode"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// wasCanceled reports whether the story ended because somebody cancelled the saga.
func wasCanceled(ctx workflow.Context, err error) bool {
	return ctx.Err() != nil || temporal.IsCanceledError(err)
}

// applicationError is the refusal inside an activity's error, so that Temporal shows its type and its
// details outermost. Another error comes back as it is.
func applicationError(err error) error {
	if app, ok := errors.AsType[*temporal.ApplicationError](err); ok {
		return app
	}
	return err
}

// errorText is an error in words for people: without Temporal's account of retries and identities.
func errorText(err error) string {
	if app, ok := errors.AsType[*temporal.ApplicationError](err); ok {
		return app.Message()
	}
	if timeout, ok := errors.AsType[*temporal.TimeoutError](err); ok {
		return "timed out (" + timeout.TimeoutType().String() + ")"
	}
	return err.Error()
}

// storable is a text as events take it: UTF-8 without control characters, and not endless. What a backend
// says of its failure must not keep that failure from being recorded.
func storable(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if runes := []rune(text); len(runes) > maxErrorText {
		return string(runes[:maxErrorText]) + "…"
	}
	return text
}

// maxErrorText is in characters.
const maxErrorText = 4000
