package domain

// Aggregates are the states that a command reads: those of the streams named by Writes and Guards. A
// stream that does not exist is the zero value.
type Aggregates struct {
	Model    Model
	Training TrainingJob
	Rollout  Rollout
}

// Evolve folds the next event of one of the streams into its aggregate. Events of the inference log
// are not folded.
func (a *Aggregates) Evolve(r Recorded) {
	switch r.Stream.Type {
	case TypeMLModel:
		a.Model.Evolve(r)
	case TypeTrainingJob:
		a.Training.Evolve(r)
	case TypeRollout:
		a.Rollout.Evolve(r)
	case TypeInferenceLog:
	}
}

// Validate looks at a command alone, without any state. What is wrong comes back as *InvalidInput, one
// for each bad field, joined.
func Validate(cmd Command) error {
	var v checks
	cmd.validate(&v)
	return v.err()
}

// Decide answers a command: with the events to append to cmd.Writes(), with none when the command
// changes nothing, or with a refusal that is an ErrInvalidInput, ErrNotFound, ErrAlreadyExists,
// ErrInvalidState or ErrPreconditionFailed.
func Decide(a Aggregates, cmd Command) ([]Event, error) {
	if err := Validate(cmd); err != nil {
		return nil, err
	}
	return cmd.decide(a)
}
