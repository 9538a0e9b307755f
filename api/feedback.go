package api

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"phantom/domain"
)

// defaultSource is who says a label when the caller does not.
const defaultSource = "api"

type feedbackPost struct {
	ContentType string `header:"Content-Type" hidden:"true"`
	RawBody     []byte
}

// feedbackBody is the JSON form of feedback.
type feedbackBody struct {
	Feedback []feedbackLabel `json:"feedback" minItems:"1"`
}

// feedbackLabel is the truth about one row. The id of a row of a batch can be given as <id>#<row>.
type feedbackLabel struct {
	InferenceID string          `json:"inference_id" doc:"The gateway's parameters.inference_id; <id>#<row> names a row of a batch"`
	Row         *int            `json:"row,omitempty" doc:"Of the batch, from 0; default 0"`
	Label       json.RawMessage `json:"label" doc:"A text, a number, true or false"`
	LabelledAt  time.Time       `json:"labelled_at,omitzero" doc:"Default: now"`
	Source      string          `json:"source,omitempty" doc:"Who says so; one row has one label of each source. Default: api"`
}

type feedbackRecorded struct {
	Body struct {
		Recorded int `json:"recorded" doc:"How many labels stand in the log now, new or not"`
	}
}

func (s *server) feedback(api huma.API) {
	op := operation("record-feedback", http.MethodPost, "/api/v1/feedback", "Record true labels, as JSON or as CSV with a header", "feedback")
	op.MaxBodyBytes, op.BodyReadTimeout, op.SkipValidateBody = maxFeedback+1, requestLimit, true
	handle(s, api, op, s.recordFeedback)
	labels := api.OpenAPI().Components.Schemas.Schema(typeOf[feedbackBody](), true, "FeedbackBody")
	api.OpenAPI().Paths[op.Path].Post.RequestBody.Content = map[string]*huma.MediaType{
		"application/json": {Schema: labels},
		"text/csv": {Schema: &huma.Schema{
			Type: huma.TypeString, Description: "A header inference_id,row,label and optionally labelled_at,source; a line a label",
		}},
	}
}

// recordFeedback checks all labels before the first is written. Labels that are stored already are left
// out, so what broke off can be sent again as a whole.
func (s *server) recordFeedback(ctx context.Context, in *feedbackPost) (*feedbackRecorded, error) {
	labels, err := readFeedback(in)
	if err != nil {
		return nil, err
	}
	now := time.Now().UTC()
	streams := map[domain.StreamID][]domain.FeedbackRecorded{}
	var order []domain.StreamID
	var bad []error
	for i, label := range labels {
		event, err := label.event(i, now)
		if err != nil {
			bad = append(bad, err)
			continue
		}
		stream, _ := event.InferenceID.Stream()
		if _, known := streams[stream]; !known {
			order = append(order, stream)
		}
		streams[stream] = append(streams[stream], event)
	}
	if len(bad) > 0 {
		return nil, errors.Join(bad[:min(len(bad), maxBadFields)]...)
	}
	m, err := meta(ctx, WriteHeaders{})
	if err != nil {
		return nil, err
	}
	for _, stream := range order {
		if _, err := s.Registry.Handle(ctx, callerOf(ctx).Tenant, domain.RecordFeedback{Feedback: streams[stream]}, m); err != nil {
			return nil, err
		}
	}
	answer := &feedbackRecorded{}
	answer.Body.Recorded = len(labels)
	return answer, nil
}

// maxBadFields bounds how many bad labels one answer names.
const maxBadFields = 100

// event checks a label and makes its event.
func (f feedbackLabel) event(index int, now time.Time) (domain.FeedbackRecorded, error) {
	prefix := fmt.Sprintf("feedback.%d", index)
	event := domain.FeedbackRecorded{
		InferenceID: domain.InferenceID(f.InferenceID), Label: f.Label, LabelledAt: f.LabelledAt, Source: f.Source,
	}
	if f.Row != nil {
		event.Row = *f.Row
	}
	if id, row, named := strings.Cut(f.InferenceID, "#"); named {
		number, err := strconv.Atoi(row)
		if err != nil || f.Row != nil && *f.Row != number {
			return event, &domain.InvalidInput{Field: prefix + ".row", Reason: "must be the number after the # of inference_id"}
		}
		event.InferenceID, event.Row = domain.InferenceID(id), number
	}
	if event.LabelledAt.IsZero() {
		event.LabelledAt = now
	}
	if event.Source == "" {
		event.Source = defaultSource
	}
	var bad []error
	for _, field := range invalidPaths(domain.Validate(domain.RecordFeedback{Feedback: []domain.FeedbackRecorded{event}})) {
		bad = append(bad, &domain.InvalidInput{Field: prefix + strings.TrimPrefix(field.Field, "feedback.0"), Reason: field.Reason})
	}
	return event, errors.Join(bad...)
}

func readFeedback(in *feedbackPost) ([]feedbackLabel, error) {
	kind, _, err := mime.ParseMediaType(in.ContentType)
	if in.ContentType == "" {
		kind, err = "application/json", nil
	}
	switch {
	case err == nil && kind == "application/json":
		return feedbackJSON(in.RawBody)
	case err == nil && kind == "text/csv":
		return feedbackCSV(in.RawBody)
	default:
		return nil, problem(http.StatusBadRequest, CodeMalformed, "Content-Type must be application/json or text/csv",
			ProblemField{Pointer: "Content-Type", Detail: "must be application/json or text/csv"})
	}
}

func feedbackJSON(raw []byte) ([]feedbackLabel, error) {
	if !json.Valid(raw) {
		return nil, problem(http.StatusBadRequest, CodeMalformed, "the body is not JSON")
	}
	var body struct {
		Feedback []json.RawMessage `json:"feedback"`
	}
	if err := strictly(raw, "", &body); err != nil {
		return nil, err
	}
	if len(body.Feedback) == 0 {
		return nil, &domain.InvalidInput{Field: "feedback", Reason: "needs at least one label"}
	}
	labels := make([]feedbackLabel, len(body.Feedback))
	var bad []error
	for i, label := range body.Feedback {
		if err := strictly(label, fmt.Sprintf("feedback.%d.", i), &labels[i]); err != nil && len(bad) < maxBadFields {
			bad = append(bad, err)
		}
	}
	return labels, errors.Join(bad...)
}

// strictly decodes valid JSON, and names the field that is unknown or has the wrong type below a prefix.
func strictly(raw []byte, prefix string, into any) error {
	reader := json.NewDecoder(bytes.NewReader(raw))
	reader.DisallowUnknownFields()
	err := reader.Decode(into)
	if err == nil {
		return nil
	}
	if mismatch, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		kind, _, _ := strings.Cut(mismatch.Value, " ") // "number 1e99": what was sent is not repeated
		return &domain.InvalidInput{Field: strings.TrimSuffix(prefix+mismatch.Field, "."), Reason: "must not be this " + kind}
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return &domain.InvalidInput{Field: prefix + strings.Trim(name, `"`), Reason: "is not a field"}
	}
	return &domain.InvalidInput{Field: prefix + "labelled_at", Reason: "must be a time like 2026-11-23T10:00:00Z"} // the only one that reads itself
}

// feedbackCSV reads a header and a line a label. Labels are texts: "7" is the same label as 7.
func feedbackCSV(raw []byte) ([]feedbackLabel, error) {
	reader := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(raw, []byte("\ufeff"))))
	header, err := reader.Read()
	if err != nil {
		return nil, problem(http.StatusBadRequest, CodeMalformed, "the body is no CSV with a header inference_id,row,label")
	}
	column, err := columns(header)
	if err != nil {
		return nil, err
	}
	var labels []feedbackLabel
	for {
		record, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			line, _ := reader.FieldPos(0)
			return nil, problem(http.StatusBadRequest, CodeMalformed, fmt.Sprintf("the CSV cannot be read at label %d (near line %d)", len(labels), line))
		}
		label, err := labelOf(record, column, len(labels))
		if err != nil {
			return nil, err
		}
		labels = append(labels, label)
	}
	if len(labels) == 0 {
		return nil, &domain.InvalidInput{Field: "feedback", Reason: "needs at least one label"}
	}
	return labels, nil
}

// columns finds the columns by the header. What stands there else may be data, and is not repeated.
func columns(header []string) (map[string]int, error) {
	column := map[string]int{}
	for i, name := range header {
		name = strings.TrimSpace(name)
		_, twice := column[name]
		if !twice && slices.Contains([]string{"inference_id", "row", "label", "labelled_at", "source"}, name) {
			column[name] = i
			continue
		}
		return nil, &domain.InvalidInput{Field: "header", Reason: fmt.Sprintf(
			"column %d must be another one of inference_id, row, label, labelled_at, source", i+1)}
	}
	for _, name := range []string{"inference_id", "label"} {
		if _, there := column[name]; !there {
			return nil, &domain.InvalidInput{Field: name, Reason: "is required: the header is inference_id,row,label"}
		}
	}
	return column, nil
}

func labelOf(record []string, column map[string]int, index int) (feedbackLabel, error) {
	cell := func(name string) string {
		if i, there := column[name]; there {
			return strings.TrimSpace(record[i])
		}
		return ""
	}
	bad := func(name, reason string) (feedbackLabel, error) {
		return feedbackLabel{}, &domain.InvalidInput{Field: fmt.Sprintf("feedback.%d.%s", index, name), Reason: reason}
	}
	label := feedbackLabel{InferenceID: cell("inference_id"), Source: cell("source")}
	if text := cell("row"); text != "" {
		row, err := strconv.Atoi(text)
		if err != nil {
			return bad("row", "must be a whole number")
		}
		label.Row = &row
	}
	if text := cell("labelled_at"); text != "" {
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return bad("labelled_at", "must be a time like 2026-11-23T10:00:00Z")
		}
		label.LabelledAt = at
	}
	text := cell("label")
	if text == "" {
		return bad("label", "is required")
	}
	encoded, err := json.Marshal(text)
	if err != nil {
		return bad("label", "must be text")
	}
	label.Label = encoded
	return label, nil
}
