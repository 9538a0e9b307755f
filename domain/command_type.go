package domain

import "fmt"

// CommandType names a command in logs and in the hash that tells one request from another.
func CommandType(cmd Command) string {
	switch cmd.(type) {
	case CreateModel:
		return "CreateModel"
	case UpdateModelConfiguration:
		return "UpdateModelConfiguration"
	case UpdateModelMetadata:
		return "UpdateModelMetadata"
	case AssignAlias:
		return "AssignAlias"
	case RemoveAlias:
		return "RemoveAlias"
	case ArchiveModel:
		return "ArchiveModel"
	case DeleteModel:
		return "DeleteModel"
	case StartTraining:
		return "StartTraining"
	case RecordTrainingProgress:
		return "RecordTrainingProgress"
	case CompleteTraining:
		return "CompleteTraining"
	case FailTraining:
		return "FailTraining"
	case EvaluateCandidate:
		return "EvaluateCandidate"
	case RequestApproval:
		return "RequestApproval"
	case DecideApproval:
		return "DecideApproval"
	case CreateModelVersion:
		return "CreateModelVersion"
	case StartRollout:
		return "StartRollout"
	case PromoteRollout:
		return "PromoteRollout"
	case RollBackRollout:
		return "RollBackRollout"
	case ShiftTraffic:
		return "ShiftTraffic"
	case AssessRollout:
		return "AssessRollout"
	case DeployModel:
		return "DeployModel"
	case UndeployModel:
		return "UndeployModel"
	case RecordInferences:
		return "RecordInferences"
	case RecordFeedback:
		return "RecordFeedback"
	}
	panic(fmt.Sprintf("domain: %T has no command type", cmd))
}
