package domain_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/domain"
)

// The notation of the scenarios: a name and fields. Here stands how it becomes JSON and back.

// spelled gives the full ids for their short names in a line.
func spelled(line string) string {
	return shortName.ReplaceAllStringFunc(line, func(name string) string { return full(name[0], name[1:]) })
}

var shortName = regexp.MustCompile(`\b[jrai][0-9]\b`)

func full(kind byte, number string) string {
	switch kind {
	case 'j':
		return "00000000-0000-4000-8000-00000000000" + number
	case 'r':
		return "10000000-0000-4000-8000-00000000000" + number
	case 'i':
		return "digits:local:2026-11-23:20000000-0000-4000-8000-00000000000" + number
	default:
		return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(number)))
	}
}

// aliased gives the short names for full ids in a text.
func aliased(text string) string {
	var pairs []string
	for _, kind := range []byte("irja") {
		for number := range 10 {
			digit := strconv.Itoa(number)
			pairs = append(pairs, full(kind, digit), string(kind)+digit)
		}
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// longName is the JSON path of a field's short name.
func longName(name, field string) string {
	if long, has := byName()[name][field]; has {
		return long
	}
	if long, has := everywhere()[field]; has {
		return long
	}
	return field
}

func everywhere() map[string]string {
	return map[string]string{
		"job": "training_job_id", "rollout": "rollout_id", "artifact": "artifacts_location",
		"percent": "progress_percentage",
	}
}

func byName() map[string]map[string]string {
	return map[string]map[string]string{
		"StartTraining": {
			"trainer": "training_config.trainer", "algorithm": "training_config.algorithm",
			"gates": "training_config.gates", "params": "training_config.params", "data": "dataset_info",
		},
		"TrainingStarted":           {"config": "training_config", "gates": "training_config.gates", "data": "dataset_info"},
		"CompleteTraining":          {"metrics": "final_metrics", "ms": "training_duration_ms"},
		"TrainingCompleted":         {"metrics": "final_metrics", "ms": "training_duration_ms"},
		"FailTraining":              {"reason": "failure_reason", "details": "error_details"},
		"TrainingFailed":            {"reason": "failure_reason", "details": "error_details"},
		"CreateModelVersion":        {"metrics": "performance_metrics"},
		"ModelVersionCreated":       {"metrics": "performance_metrics", "previous": "previous_version"},
		"AliasAssigned":             {"previous": "previous_version"},
		"RolloutStarted":            {"previous": "previous_version"},
		"RolloutRolledBack":         {"restored": "restored_version"},
		"DeployModel":               {"target": "deployment_target", "config": "deployment_config"},
		"PromoteRollout":            {"config": "deployment_config"},
		"ModelDeployed":             {"target": "deployment_target", "config": "deployment_config", "previous": "previous_version"},
		"UndeployModel":             {"target": "deployment_target"},
		"ModelUndeployed":           {"target": "deployment_target"},
		"UpdateModelConfiguration":  {"config": "new_config", "reason": "change_reason"},
		"ModelConfigurationUpdated": {"config": "new_config", "previous": "previous_config", "reason": "change_reason"},
		"CreateModel":               {"config": "initial_config"},
		"ModelCreated":              {"config": "initial_config"},
		"DeleteModel":               {"keep": "data_retention_policy.kind", "after": "data_retention_policy.delay"},
		"ModelDeleted":              {"policy": "data_retention_policy"},
		"RequestApproval":           {"job": "subject.training_job_id", "rollout": "subject.rollout_id", "by": "requested_by"},
		"ApprovalRequested":         {"by": "requested_by"},
		"DecideApproval":            {"job": "subject.training_job_id", "rollout": "subject.rollout_id"},
	}
}

// usual are the fields that a command has when its line does not say otherwise.
func usual() map[string]string {
	return map[string]string{
		"CreateModel":     "name=Digits model_type=classification algorithm=mlp",
		"StartTraining":   "trainer=embedded algorithm=mlp data=digits.csv",
		"RequestApproval": "expires_at=2026-11-24T10:00:00Z",
	}
}

// isText tells fields whose bare number is a text.
func isText(path string) bool {
	return slices.Contains([]string{"version", "previous_version", "restored_version", "expected", "alias", "name", "description", "note"}, path)
}

func parseCommand(t *testing.T, line string) domain.Command {
	t.Helper()
	name, fields, _ := strings.Cut(spelled(line), " ")
	object := map[string]any{"model_id": "digits"}
	setFields(t, name, usual()[name], object)
	setFields(t, name, fields, object)
	if name == "RecordInferences" || name == "RecordFeedback" {
		delete(object, "model_id")
	}
	text, err := json.Marshal(object)
	require.NoError(t, err)
	read, known := commands()[name]
	require.True(t, known, "unknown command %s", name)
	return read(t, text)
}

// parseEvent reads an event; a field job or rollout that the event lacks names its stream.
func parseEvent(t *testing.T, line string) (domain.StreamID, domain.Event) {
	t.Helper()
	name, fields, _ := strings.Cut(spelled(line), " ")
	object := map[string]any{}
	setFields(t, name, fields, object)
	text, err := json.Marshal(object)
	require.NoError(t, err)
	event, err := domain.Decode(name, domain.SchemaVersion(name), text)
	require.NoError(t, err, line)
	job, _ := object["training_job_id"].(string)
	rollout, _ := object["rollout_id"].(string)
	switch event.(type) {
	case domain.TrainingProgressUpdated, domain.CandidateEvaluated:
		return domain.TrainingStream("digits", domain.JobID(job)), event
	case domain.TrafficShifted, domain.RolloutAssessed:
		return domain.RolloutStream("digits", domain.RolloutID(rollout)), event
	case domain.ApprovalRequested, domain.ApprovalDecided:
		if rollout != "" {
			return domain.RolloutStream("digits", domain.RolloutID(rollout)), event
		}
		return domain.TrainingStream("digits", domain.JobID(job)), event
	default:
		return domain.ModelStream("digits"), event
	}
}

// setFields reads "key=value key=value"; a value is JSON, or a bare word.
func setFields(t *testing.T, name, fields string, object map[string]any) {
	t.Helper()
	for fields = strings.TrimSpace(fields); fields != ""; fields = strings.TrimSpace(fields) {
		key, rest, found := strings.Cut(fields, "=")
		require.True(t, found, "%s: a field without a value: %s", name, fields)
		path := longName(name, key)
		var value any
		if rest != "" && strings.ContainsAny(rest[:1], `"{[`) {
			decoder := json.NewDecoder(strings.NewReader(rest))
			decoder.UseNumber()
			require.NoError(t, decoder.Decode(&value), "%s: %s", name, fields)
			fields = rest[decoder.InputOffset():]
		} else {
			word, after, _ := strings.Cut(rest, " ")
			value, fields = bare(path, word), after
		}
		setPath(object, strings.Split(path, "."), value)
	}
}

func bare(path, word string) any {
	switch {
	case strings.HasSuffix(path, "gates"):
		return parseGates(word)
	case path == "dataset_info":
		return []any{map[string]any{"uri": word}}
	case path == "by" || path == "requested_by":
		return domain.Actor{Subject: word, Auth: domain.AuthAPIKey, Verified: true}
	case isText(path):
		return word
	}
	var value any
	if json.Unmarshal([]byte(word), &value) == nil {
		return value
	}
	return word
}

func setPath(object map[string]any, path []string, value any) {
	for ; len(path) > 1; path = path[1:] {
		if object[path[0]] == nil {
			object[path[0]] = map[string]any{}
		}
		object = object[path[0]].(map[string]any)
	}
	object[path[0]] = value
}

var gateForm = regexp.MustCompile(`^(\w+)(>=|<=|>|<)(.+)$`)

// parseGates reads "accuracy>=0.95,loss<1".
func parseGates(word string) []any {
	var gates []any
	for text := range strings.SplitSeq(word, ",") {
		parts := gateForm.FindStringSubmatch(text)
		gates = append(gates, map[string]any{"metric": parts[1], "op": parts[2], "threshold": json.RawMessage(parts[3])})
	}
	return gates
}

// formatEvent writes an event as the scenarios write it.
func formatEvent(t *testing.T, event domain.Event) string {
	t.Helper()
	name, _, text, err := domain.Encode(event)
	require.NoError(t, err)
	short := map[string]string{}
	for _, names := range []map[string]string{everywhere(), byName()[name]} {
		for field, long := range names {
			short[long] = field
		}
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	_, err = decoder.Token()
	require.NoError(t, err)
	words := []string{name}
	for decoder.More() {
		key, err := decoder.Token()
		require.NoError(t, err)
		var value json.RawMessage
		require.NoError(t, decoder.Decode(&value))
		field := key.(string)
		if alias, has := short[field]; has {
			field = alias
		}
		words = append(words, field+"="+formatValue(field, value))
	}
	return strings.Join(words, " ")
}

func formatValue(field string, value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) == nil && text != "" && !strings.ContainsAny(text, ` "`) {
		return text
	}
	var actor domain.Actor
	if (field == "by" || field == "requested_by") && json.Unmarshal(value, &actor) == nil {
		return actor.Subject
	}
	return string(value)
}

func commands() map[string]func(*testing.T, []byte) domain.Command {
	return map[string]func(*testing.T, []byte) domain.Command{
		"AssignAlias":              readCommand[domain.AssignAlias],
		"RemoveAlias":              readCommand[domain.RemoveAlias],
		"CreateModel":              readCommand[domain.CreateModel],
		"UpdateModelConfiguration": readCommand[domain.UpdateModelConfiguration],
		"UpdateModelMetadata":      readCommand[domain.UpdateModelMetadata],
		"ArchiveModel":             readCommand[domain.ArchiveModel],
		"DeleteModel":              readCommand[domain.DeleteModel],
		"StartTraining":            readCommand[domain.StartTraining],
		"RecordTrainingProgress":   readCommand[domain.RecordTrainingProgress],
		"CompleteTraining":         readCommand[domain.CompleteTraining],
		"FailTraining":             readCommand[domain.FailTraining],
		"EvaluateCandidate":        readCommand[domain.EvaluateCandidate],
		"RequestApproval":          readCommand[domain.RequestApproval],
		"DecideApproval":           readCommand[domain.DecideApproval],
		"CreateModelVersion":       readCommand[domain.CreateModelVersion],
		"StartRollout":             readCommand[domain.StartRollout],
		"PromoteRollout":           readCommand[domain.PromoteRollout],
		"RollBackRollout":          readCommand[domain.RollBackRollout],
		"ShiftTraffic":             readCommand[domain.ShiftTraffic],
		"AssessRollout":            readCommand[domain.AssessRollout],
		"DeployModel":              readCommand[domain.DeployModel],
		"UndeployModel":            readCommand[domain.UndeployModel],
		"RecordInferences":         readCommand[domain.RecordInferences],
		"RecordFeedback":           readCommand[domain.RecordFeedback],
	}
}

func readCommand[C domain.Command](t *testing.T, text []byte) domain.Command {
	t.Helper()
	var cmd C
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(&cmd), "%s", text)
	require.Contains(t, commands(), domain.CommandType(cmd))
	return cmd
}
