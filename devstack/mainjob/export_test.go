package mainjob

import (
	"encoding/json"
	"io"
)

// Event makes an event as the API gives it.
func Event(position int64, stream, eventType, data string) event {
	return event{Position: position, AggregateType: "MLModel", AggregateID: stream, EventType: eventType, EventData: json.RawMessage(data)}
}

// VerifyTraining is verifyTraining.
func VerifyTraining(log []event, t TrainingReport) error { return verifyTraining(log, t) }

// VerifyDeployment is verifyDeployment.
func VerifyDeployment(log []event, d DeploymentReport) error { return verifyDeployment(log, d) }

// Transpose is transpose.
func Transpose(raw []byte) ([]byte, error) { return transpose(raw) }

// Events is a log.
type Events = []event

// Panel is a panel.
type Panel struct{ *panel }

// NewPanel is newPanel.
func NewPanel(out io.Writer, width int) Panel { return Panel{newPanel(out, width)} }

// Status is status.
func (p Panel) Status(key, format string, args ...any) { p.status(key, format, args...) }

// Line is line.
func (p Panel) Line(format string, args ...any) { p.line(format, args...) }
