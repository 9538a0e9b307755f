package activities

import (
	"context"
	"errors"

	"phantom/domain"
	"phantom/training"
)

// Datasets takes snapshots of data.
type Datasets interface {
	// Snapshot stores what uri names and describes it. Bad data, and a URI outside the allowed roots, is a
	// *domain.InvalidInput of the field "uri", "label" or "".
	Snapshot(ctx context.Context, uri, label string) (domain.DatasetInfo, error)
}

// SnapshotRequest is the input of SnapshotData.
type SnapshotRequest struct {
	// Channels are the data sets in order: train, and test where there is one.
	Channels []domain.DatasetInfo `json:"channels"`
}

// SnapshotData stores the data sets of a training by their digests, so that what was trained on can be
// told for ever. Refusals name the field as TrainModel's input has it: data.train.label.
func (t *Trainer) SnapshotData(ctx context.Context, in SnapshotRequest) ([]domain.DatasetInfo, error) {
	return beating(ctx, func(ctx context.Context) ([]domain.DatasetInfo, error) {
		names := []string{"train", "test"}
		stored := make([]domain.DatasetInfo, len(in.Channels))
		var bad []error
		for i, channel := range in.Channels {
			info, err := t.Datasets.Snapshot(ctx, channel.URI, channel.Label)
			if err != nil {
				if !errors.Is(err, domain.ErrInvalidInput) {
					return nil, err
				}
				bad = append(bad, training.Under("data."+names[i], err))
				continue
			}
			info.URI, info.Label, info.Split = channel.URI, channel.Label, names[i]
			if len(in.Channels) == 1 {
				info.Split = training.SplitRowHash
			}
			stored[i] = info
		}
		if len(bad) > 0 {
			return nil, Refusal(errors.Join(bad...))
		}
		return stored, nil
	})
}
