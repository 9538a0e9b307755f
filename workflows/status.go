package workflows

import (
	"fmt"
	"strings"
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"phantom/activities"
)

// Waiting is what a saga waits for.
type Waiting string

// What a saga can wait for.
const (
	WaitingApproval  Waiting = "approval"
	WaitingDecision  Waiting = "decision" // a person's word on a canary without a verdict
	WaitingRetryStep Waiting = "retry_step"
	WaitingTurn      Waiting = "turn" // another training of the model runs
)

// The stages that are no steps. A saga that ended well has its outcome as stage.
const (
	StagePending      = "pending" // before the first step
	StageCompensating = "compensating"
	StageCanceled     = "canceled"
	StageFailed       = "failed"
)

// Status answers the query status.
type Status struct {
	Stage          string   `json:"stage"` // the step that runs, compensating, or how the saga ended
	Steps          []Step   `json:"steps"`
	WaitingFor     *Waiting `json:"waiting_for"`
	LastError      *string  `json:"last_error"`
	Revision       int64    `json:"revision"` // of the model's stream, after the saga's last write to it
	Position       int64    `json:"position"` // of the saga's last event in the tenant's log
	AllowedActions []Action `json:"allowed_actions"`
}

// Progress answers the query progress.
type Progress = activities.Progress

// SearchAttributes are the names that sagas are found by; a server must know them before a saga starts.
func SearchAttributes() map[string]enums.IndexedValueType {
	return map[string]enums.IndexedValueType{
		keyTenant().GetName():  keyTenant().GetValueType(),
		keyModel().GetName():   keyModel().GetValueType(),
		keyStage().GetName():   keyStage().GetValueType(),
		keyTarget().GetName():  keyTarget().GetValueType(),
		keyTeam().GetName():    keyTeam().GetValueType(),
		keyKind().GetName():    keyKind().GetValueType(),
		keyVersion().GetName(): keyVersion().GetValueType(),
		keyScore().GetName():   keyScore().GetValueType(),
	}
}

func keyTenant() temporal.SearchAttributeKeyKeyword {
	return temporal.NewSearchAttributeKeyKeyword("MLTenant")
}

func keyModel() temporal.SearchAttributeKeyKeyword {
	return temporal.NewSearchAttributeKeyKeyword("MLModelID")
}

func keyStage() temporal.SearchAttributeKeyKeyword {
	return temporal.NewSearchAttributeKeyKeyword("MLStage")
}

func keyTarget() temporal.SearchAttributeKeyKeyword {
	return temporal.NewSearchAttributeKeyKeyword("MLTarget")
}

func keyTeam() temporal.SearchAttributeKeyKeyword {
	return temporal.NewSearchAttributeKeyKeyword("MLTeam")
}

func keyKind() temporal.SearchAttributeKeyKeyword {
	return temporal.NewSearchAttributeKeyKeyword("MLRunKind")
}

func keyVersion() temporal.SearchAttributeKeyKeyword {
	return temporal.NewSearchAttributeKeyKeyword("MLModelVersion")
}

func keyScore() temporal.SearchAttributeKeyFloat64 {
	return temporal.NewSearchAttributeKeyFloat64("MLScore")
}

// answerQueries sets the handlers of status and progress.
func (s *saga) answerQueries(ctx workflow.Context) error {
	err := workflow.SetQueryHandlerWithOptions(ctx, "status", func() (Status, error) { return s.status(), nil },
		workflow.QueryHandlerOptions{Description: "Where the saga stands, what it waits for, and what can be done now."})
	if err != nil {
		return err
	}
	return workflow.SetQueryHandlerWithOptions(ctx, "progress", func() (Progress, error) { return s.progress, nil },
		workflow.QueryHandlerOptions{Description: "How far the long work is: percentage, epoch, metrics, eta."})
}

func (s *saga) status() Status {
	status := Status{
		Stage: s.stage, Steps: make([]Step, len(s.steps)), WaitingFor: s.waiting,
		Revision: s.revision, Position: s.position, AllowedActions: s.actionsNow(),
	}
	for i, step := range s.steps {
		status.Steps[i] = *step
	}
	if s.lastError != "" {
		status.LastError = &s.lastError
	}
	return status
}

// enter makes a step, or one of the stages that are no steps, the saga's stage.
func (s *saga) enter(ctx workflow.Context, stage string) {
	s.stage = stage
	s.note(ctx, keyStage().ValueSet(stage))
	s.render(ctx)
}

// note upserts search attributes. The SDK refuses an empty set only, which no caller gives.
func (s *saga) note(ctx workflow.Context, updates ...temporal.SearchAttributeUpdate) {
	if err := workflow.UpsertTypedSearchAttributes(ctx, updates...); err != nil {
		workflow.GetLogger(ctx).Warn("search attributes not upserted", "error", err.Error())
	}
}

// render writes the saga's current details, which the Temporal UI shows: Markdown.
func (s *saga) render(ctx workflow.Context) {
	var b strings.Builder
	fmt.Fprintf(&b, "**%s** — %s", s.title, s.stage)
	if s.waiting != nil {
		fmt.Fprintf(&b, ", waiting for **%s** (allowed: %s)", *s.waiting, s.allowedText())
	}
	b.WriteString("\n\n| step | state | started | took | detail |\n|---|---|---|---|---|\n")
	for _, step := range s.steps {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", step.Name, step.State, clock(step.StartedAt), took(step),
			cell(step.Detail))
	}
	if s.progress.Epochs > 0 {
		fmt.Fprintf(&b, "\nepoch %d of %d (%.0f %%)\n", s.progress.Epoch, s.progress.Epochs, s.progress.Percentage)
	}
	if len(s.progress.Metrics) > 0 {
		b.WriteString("\n| metric | value |\n|---|---|\n")
		for _, name := range workflow.DeterministicKeys(s.progress.Metrics) {
			fmt.Fprintf(&b, "| %s | %.4g |\n", cell(name), s.progress.Metrics[name])
		}
	}
	if s.details != nil {
		b.WriteString(s.details())
	}
	if s.lastError != "" {
		fmt.Fprintf(&b, "\nlast error: %s\n", cell(s.lastError))
	}
	workflow.SetCurrentDetails(ctx, b.String())
}

func clock(at *time.Time) string {
	if at == nil {
		return ""
	}
	return at.UTC().Format("15:04:05")
}

func took(step *Step) string {
	if step.StartedAt == nil || step.EndedAt == nil {
		return ""
	}
	return step.EndedAt.Sub(*step.StartedAt).Round(time.Millisecond).String()
}

// cell keeps a text within its Markdown table cell.
func cell(text string) string {
	text = strings.NewReplacer("|", `\|`, "\n", " ").Replace(text)
	if runes := []rune(text); len(runes) > 300 {
		return string(runes[:300]) + "…"
	}
	return text
}
